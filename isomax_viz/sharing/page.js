"use strict";
// The page's own controls and numbers; figures are drawn by Vega-Lite. Names come from data: they are set as text only.
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const ID = "ID", BARS = 60, SPIKE_RATIO = 4, SPIKE_BINS = 3;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const state = { ...page.start };
  const drawn = { left: null, right: null };
  let request = 0;

  const get = (id) => document.getElementById(id);
  const network = () => page.networks[state.network];
  const score = () => network().scores[state.score];
  const sets = () => state.ood.filter((name) => name in network().n);
  const usesScore = () => state.view === "scores" || state.view === "roc";
  const minus = (text) => text.replace("-", "\u2212");
  const number = (value, digits = 3) => minus(Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en")
    : String(Number(value.toPrecision(digits))));
  const count = (value) => value.toLocaleString("en");
  const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
  const color = (look) => (dark.matches ? look.on_dark : look.color);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const label = (name) => (name === ID ? network().known : name in page.sets ? page.sets[name].label : name);

  // ------------------------------------------------------------------------------------------------ thresholds

  function thresholds() {
    const kept = score().thresholds;
    if (!kept.accepted) {
      kept.accepted = {};
      kept.edges = kept.edges.map((edge) => (kept.single ? Math.fround(edge) : edge));
      for (const [name, steps] of Object.entries(kept.rejected)) {
        let left = network().n[name];
        kept.accepted[name] = steps.map((step) => (left -= step));
      }
    }
    return kept;
  }

  function ruled(rule) {
    const { accepted, edges } = thresholds(), n = network().n, chosen = sets();
    let best = 0, found = -1;
    for (let k = edges.length - 1; k >= 0; k -= 1) {  // of equally good ones, the largest
      if (rule === "tpr95" && accepted[ID][k] >= network().needed) return k;
      if (rule === "dtacc") {
        const all = chosen.reduce((sum, name) => sum + n[name], 0);
        const passed = chosen.reduce((sum, name) => sum + accepted[name][k], 0);
        const value = (accepted[ID][k] / n[ID] + 1 - passed / all) / 2;
        if (value > found) [best, found] = [k, value];
      }
    }
    return best;
  }

  function nearest(value) {
    const { edges } = thresholds();
    let best = 0;
    edges.forEach((edge, k) => { if (Math.abs(edge - value) < Math.abs(edges[best] - value)) best = k; });
    return best;
  }

  const step = () => (typeof state.threshold === "string" ? ruled(state.threshold) : nearest(state.threshold));

  // ------------------------------------------------------------------------------------------------ figures

  const merged = (counts, first, last, size) => {
    const sums = [];
    for (let cell = first; cell < last; cell += size) {
      let sum = 0;
      for (let k = cell; k < Math.min(cell + size, counts.length); k += 1) sum += counts[k];
      sums.push(sum);
    }
    return sums;
  };

  // Neighbouring fine bins make one bar; the axis spans what the chosen groups fill.
  function bars(binned) {
    const groups = binned.groups.filter((group) => !group.ood || state.ood.includes(group.name));
    const cells = binned.groups[0].counts.length, filled = [];
    for (let k = 0; k < cells; k += 1) if (groups.some((group) => group.counts[k])) filled.push(k);
    const first = filled[0], width = (binned.high - binned.low) / cells;
    const size = Math.max(1, Math.ceil((filled[filled.length - 1] + 1 - first) / BARS));
    const amount = Math.ceil((filled[filled.length - 1] + 1 - first) / size);
    const edges = Array.from({ length: amount + 1 }, (_, k) => binned.low + (first + k * size) * width);
    return { edges, groups: groups.map((group) => {
      const counts = merged(group.counts, first, first + amount * size, size);
      return { ...group, bars: counts, density: counts.map((item) => item / (group.n * size * width)) };
    }) };
  }

  function densityTop(groups) {
    const tallest = groups[0].density.map((_, k) => Math.max(...groups.map((group) => group.density[k])));
    tallest.sort((a, b) => b - a);
    for (let k = 1; k <= Math.min(SPIKE_BINS, tallest.length - 1); k += 1) {
      if (tallest[k] > 0 && tallest[k - 1] >= SPIKE_RATIO * tallest[k]) return 1.6 * tallest[k];
    }
    return 1.06 * tallest[0];
  }

  function saysWhatIsCut({ edges, groups }, top) {
    // To a thousandth of the axis: 7e-09 beside 2 is 0; adding 0 makes -0 one too.
    const unit = 10 ** (Math.ceil(Math.log10(edges[edges.length - 1] - edges[0])) - 3);
    const rounded = (value) => number(Math.round(value / unit) * unit + 0);
    const parts = [];
    for (let k = 0; k + 1 < edges.length; k += 1) {
      const over = groups.filter((group) => group.density[k] > top);
      const shares = over.map((group) => `${percent(group.bars[k] / group.n)} of ${label(group.name)}`);
      if (over.length) parts.push(`the bar from ${rounded(edges[k])} to ${rounded(edges[k + 1])} holds ${shares.join(", ")}`);
    }
    return parts.length ? `Cut off by the axis: ${parts.join("; ")}.` : "";
  }

  function looks(groups) {
    const unit = { logits: " logits", distances: " distances" }[state.view] || "";
    return groups.map((group) => {
      const set = page.sets[group.name], look = group.ood ? set : network();
      const dash = group.ood ? set.dash : group.name === "inter-class ID" ? [2, 2] : [];
      const crowded = groups.filter((item) => item.ood).length > 2;
      const fill = group.ood ? (crowded ? 0 : 0.16) : group.name === "inter-class ID" ? 0.18 : 0.5;
      return { label: `${label(group.name)} (n = ${count(group.n)}${unit})`, color: color(look), dash, fill };
    });
  }

  function legend(items, columns) {
    const domain = items.map((item) => item.label);
    const shown = { orient: "top", title: null, columns, labelLimit: 340, symbolType: "stroke", symbolSize: 500 };
    return {
      color: { field: "group", type: "nominal", legend: shown, scale: { domain, range: items.map((item) => item.color) } },
      strokeDash: { field: "group", type: "nominal", legend: shown, scale: { domain, range: items.map((item) => item.dash) } },
    };
  }

  function histogram(binned, movable, width) {
    const shown = bars(binned), top = densityTop(shown.groups), items = looks(shown.groups);
    const values = shown.groups.flatMap((group, g) => shown.edges.map((x, k) => (
      { group: items[g].label, fill: items[g].fill, x, y: k < group.density.length ? group.density[k] : 0 })));
    const limits = [shown.edges[0], shown.edges[shown.edges.length - 1]];
    const x = { field: "x", type: "quantitative", title: binned.label, axis: { tickCount: 7 },
      scale: { domain: limits, nice: false, zero: false } };
    const y = { field: "y", type: "quantitative", title: "density", stack: null, scale: { domain: [0, top] } };
    const channels = legend(items, width < 520 ? 1 : 2);
    const layer = [
      { mark: { type: "area", interpolate: "step-after", clip: true, line: false },
        encoding: { x, y, color: channels.color, fillOpacity: { field: "fill", type: "quantitative", scale: null } } },
      { mark: { type: "line", interpolate: "step-after", clip: true, strokeWidth: 1.6 }, encoding: { x, y, ...channels } },
    ];
    if (movable) {
      const at = { datum: { expr: "threshold" }, type: "quantitative" };
      layer.push(
        { data: { values: [{}] }, mark: { type: "rule", strokeWidth: 2, color: css("--ink"), clip: true }, encoding: { x: at } },
        { data: { values: [{}] }, encoding: { x: at, y: { value: 2 } },
          mark: { type: "text", text: { expr: "words" }, align: { expr: "side" }, dx: { expr: "side === 'left' ? 6 : -6" },
            baseline: "top", color: css("--ink"), fontSize: 12 } });
    }
    get("cut").textContent = saysWhatIsCut(shown, top);
    return { width, height: 270, data: { values }, layer, params: movable ? [
      { name: "threshold", value: limits[0] }, { name: "words", value: "" }, { name: "side", value: "left" }] : [] };
  }

  function roc(width) {
    const { accepted, edges } = thresholds(), n = network().n;
    const items = sets().map((name) => ({ label: `${label(name)} (AUROC ${percent(score().metrics[name].AUROC)})`,
      color: color(page.sets[name]), dash: page.sets[name].dash }));
    const values = sets().flatMap((name, s) => [...edges.keys(), edges.length].map((k) => ({ group: items[s].label, k,
      fpr: k < edges.length ? accepted[name][k] / n[name] : 0, tpr: k < edges.length ? accepted[ID][k] / n[ID] : 0 })));
    values.push(...items.map((item) => ({ group: item.label, k: -1, fpr: 1, tpr: 1 })));
    const axis = (field, title) => ({ field, type: "quantitative", title, scale: { domain: [0, 1] }, axis: { tickCount: 5, format: "%" } });
    const place = { x: axis("fpr", "OOD accepted (FPR)"), y: axis("tpr", "ID accepted (TPR)") };
    const channels = legend(items, 1);
    return { width, height: 270, layer: [
      { data: { values: [{ fpr: 0, tpr: 0 }, { fpr: 1, tpr: 1 }] }, encoding: place,
        mark: { type: "line", color: css("--line"), strokeWidth: 1 } },
      { data: { values }, mark: { type: "line", strokeWidth: 2 }, encoding: { ...place, ...channels, order: { field: "k" } } },
      { data: { name: "points", values: [] }, mark: { type: "point", filled: true, size: 110, opacity: 1, stroke: css("--paper") },
        encoding: { ...place, color: channels.color } }] };
  }

  const config = () => {
    const text = { labelColor: css("--soft"), titleColor: css("--ink"), labelFontSize: 12, titleFontSize: 13, titleFontWeight: 400 };
    return { background: css("--paper"), font: "system-ui, sans-serif", view: { stroke: null },
      axis: { ...text, domainColor: css("--soft"), tickColor: css("--soft"), gridColor: css("--raised") },
      legend: { labelColor: css("--ink"), labelFontSize: 12.5 } };
  };

  async function embed(side, spec) {
    const mine = request;
    if (drawn[side]) drawn[side].finalize();
    drawn[side] = null;
    get(side).replaceChildren();
    if (!spec) return;
    const options = { mode: "vega-lite", renderer: "svg", actions: false, tooltip: false };
    const result = await vegaEmbed(get(side), { ...spec, autosize: { type: "fit-x", contains: "padding" } }, options);
    if (mine !== request) result.finalize(); else drawn[side] = result;
  }

  // Of drawings that were asked for meanwhile, only the last is made.
  let drawing = Promise.resolve();
  function draw() {
    const mine = (request += 1);
    drawing = drawing.then(async () => {
      if (mine !== request) return;
      const both = state.view === "scores", values = state.view === "scores" ? score().values : network().values[state.view];
      get("left").className = both ? "movable" : "";
      get("cut").textContent = "";
      const full = get("charts").clientWidth, narrow = full < 700;
      const left = narrow ? full : both ? Math.floor((full - 16) * 0.58) : Math.min(full, 820);
      const right = narrow || !both ? Math.min(full, 560) : full - 16 - left;
      await embed("left", state.view === "roc" ? null : { ...histogram(values, both, left), config: config() });
      await embed("right", usesScore() ? { ...roc(right), config: config() } : null);
      await moved();
      document.body.dataset.drawn = mine;
    }).catch(failed);
  }

  async function moved() {
    if (!usesScore()) return;
    const { accepted, edges } = thresholds(), n = network().n, k = step();
    if (drawn.left) {
      const view = drawn.left.view, [low, high] = view.scale("x").domain();
      view.signal("threshold", Math.min(Math.max(edges[k], low), high));
      view.signal("words", `score \u2265 ${number(edges[k])} accepts ${percent(accepted[ID][k] / n[ID])} of ID`
        + (edges[k] < (low + high) / 2 ? " \u2192" : ""));
      view.signal("side", edges[k] < (low + high) / 2 ? "left" : "right");
      await view.runAsync();
    }
    if (drawn.right) {
      const points = sets().map((name) => ({ fpr: accepted[name][k] / n[name], tpr: accepted[ID][k] / n[ID],
        group: `${label(name)} (AUROC ${percent(score().metrics[name].AUROC)})` }));
      await drawn.right.view.data("points", points).runAsync();
    }
  }

  // ------------------------------------------------------------------------------------------------ numbers

  function cell(row, tag, text, value) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (value !== undefined) made.dataset.value = value;
    if (tag === "th") made.scope = row.parentNode.tagName === "THEAD" ? "col" : "row";
    row.append(made);
    return made;
  }

  function table(id, words, head) {
    const made = get(id);
    made.replaceChildren();
    made.createCaption().textContent = words;
    const row = made.createTHead().insertRow();
    for (const [name, meaning] of head) {
      const item = cell(row, "th", name);
      if (meaning) item.title = meaning;
      if (meaning === null) item.className = "words";
    }
    return made.createTBody();
  }

  function showCounts() {
    const { accepted, edges } = thresholds(), n = network().n, k = step();
    const body = table("counts", `What score \u2265 ${number(edges[k], 4)} does: ${network().title}, ${page.scores[state.score].name}`, [
      ["against", null], ["ID accepted", "in-distribution test images with a score at or above the threshold"],
      ["ID rejected", "in-distribution test images below it: errors"],
      ["OOD accepted", "out-of-distribution images at or above it: errors"],
      ["OOD rejected", "out-of-distribution images below it"]]);
    for (const name of sets()) {
      const row = body.insertRow();
      cell(row, "th", label(name));
      for (const set of [ID, name]) {
        for (const value of [accepted[set][k], n[set] - accepted[set][k]]) {
          cell(row, "td", `${count(value)} of ${count(n[set])} (${percent(value / n[set])})`, value);
        }
      }
    }
    const slider = get("threshold");
    slider.max = edges.length - 1;
    slider.value = k;
    slider.setAttribute("aria-valuetext", `score at least ${number(edges[k], 4)}, accepts ${percent(accepted[ID][k] / n[ID])} of ID`);
    get("threshold-value").textContent = `score \u2265 ${number(edges[k], 4)}`;
    get("threshold-value").dataset.value = edges[k];
    for (const rule of ["tpr95", "dtacc"]) get(`rule-${rule}`).setAttribute("aria-pressed", state.threshold === rule);
  }

  function showMetrics() {
    const body = table("metrics", `Detection with the ${page.scores[state.score].name}, over all thresholds`, [
      ["network", null], ["against", null], ["n ID", "in-distribution test images"], ["n OOD", "out-of-distribution images"],
      ...Object.entries(page.metrics), ["accuracy", "share of the test images that are classified correctly"]]);
    page.networks.forEach((item, position) => {
      for (const name of state.ood.filter((set) => item.scores[state.score] && set in item.n)) {
        const row = body.insertRow();
        if (position === state.network) row.className = "chosen";
        cell(row, "th", item.title);
        cell(row, "td", page.sets[name].label).className = "words";
        cell(row, "td", count(item.n[ID]), item.n[ID]);
        cell(row, "td", count(item.n[name]), item.n[name]);
        for (const metric of Object.keys(page.metrics)) {
          const value = item.scores[state.score].metrics[name][metric];
          cell(row, "td", percent(value), value);
        }
        cell(row, "td", item.accuracy === null ? "" : percent(item.accuracy), item.accuracy ?? "");
      }
    });
  }

  function sentence() {
    const n = network().n, chosen = sets();
    if (usesScore()) {
      const { accepted, edges } = thresholds(), k = step(), score_ = page.scores[state.score].label;
      const rejected = chosen.map((name) => `${count(n[name] - accepted[name][k])} of ${count(n[name])} ${label(name)} `
        + `(${percent(1 - accepted[name][k] / n[name])}; AUROC ${percent(score().metrics[name].AUROC)})`);
      return `${network().title}: ${score_} \u2265 ${number(edges[k], 4)} accepts ${count(accepted[ID][k])} of ${count(n[ID])} `
        + `known images (${percent(accepted[ID][k] / n[ID])}) and rejects ${rejected.join(", ")}.`;
    }
    const shown = network().values[state.view].groups.filter((group) => !group.ood || chosen.includes(group.name));
    const medians = shown.map((group) => `${label(group.name)} ${number(group.median)} (n = ${count(group.n)})`);
    return `${network().title}, ${page.views[state.view].label.toLowerCase()}: medians ${medians.join(", ")}.`;
  }

  // ------------------------------------------------------------------------------------------------ controls

  function chooser(name, title, options, type = "radio") {
    const box = document.createElement("fieldset");
    box.id = `choose-${name}`;
    const words = document.createElement("legend");
    words.textContent = title;
    box.append(words);
    for (const { value, text, tooltip } of options) {
      const holder = document.createElement("label"), input = document.createElement("input"), shown = document.createElement("span");
      Object.assign(input, { type, name, value });
      shown.textContent = text;
      if (tooltip) holder.title = tooltip;
      input.addEventListener("change", () => chosen(name, input));
      holder.append(input, shown);
      box.append(holder);
    }
    get("controls").append(box);
  }

  function chosen(name, input) {
    if (name === "ood") {
      const wanted = [...document.querySelectorAll("input[name=ood]:checked")].map((item) => item.value);
      if (wanted.length) state.ood = wanted;  // one set stays: there would be nothing to compare with
    } else {
      state[name] = name === "network" ? Number(input.value) : input.value;
    }
    // Scores of another network or kind have another range: a number would mean something else there.
    if (name !== "view" && typeof state.threshold === "number") state.threshold = "tpr95";
    show();
  }

  // What the network lacks is switched off; where nothing would be left, something else is chosen.
  function offer() {
    const has = { ood: Object.keys(page.sets).filter((name) => name in network().n), score: Object.keys(network().scores),
      view: ["scores", "roc", ...Object.keys(network().values)], network: page.networks.map((_, k) => String(k)) };
    for (const name of ["score", "view"]) if (!has[name].includes(state[name])) state[name] = has[name][0];
    state.ood = has.ood.filter((name) => state.ood.includes(name));
    if (!state.ood.length) state.ood = has.ood.slice(0, 1);
    for (const input of get("controls").elements) {
      if (!input.name) continue;
      input.disabled = !has[input.name].includes(input.value);
      input.checked = input.name === "ood" ? state.ood.includes(input.value) : String(state[input.name]) === input.value;
    }
    get("threshold-bar").hidden = !usesScore();
    for (const words of document.querySelectorAll(".score")) words.hidden = words.dataset.score !== state.score;
  }

  function numbers() {
    showCounts();
    get("summary").textContent = sentence();
  }

  function show() {
    try {
      offer();
      showMetrics();
      numbers();
      get("note").textContent = network().note;
      draw();
    } catch (error) { failed(error); }
  }

  function failed(error) {
    get("message").textContent = `This page could not be drawn: ${error.message || error}`;
    get("message").hidden = false;
    throw error;
  }

  function move(threshold) {
    state.threshold = threshold;
    numbers();
    drawing = drawing.then(moved).catch(failed);
  }

  chooser("network", page.chooser, page.networks.map((item, k) => ({ value: k, text: item.title, tooltip: item.note })));
  chooser("score", "Score", Object.entries(page.scores).map(([value, item]) => ({ value, text: item.label, tooltip: item.name })));
  chooser("ood", "Against", Object.entries(page.sets).map(([value, item]) => ({ value, text: item.label })), "checkbox");
  chooser("view", "View", Object.entries(page.views).map(([value, item]) => ({ value, text: item.label, tooltip: item.tooltip })));
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  get("threshold").addEventListener("input", (event) => move(thresholds().edges[Number(event.target.value)]));
  for (const rule of ["tpr95", "dtacc"]) get(`rule-${rule}`).addEventListener("click", () => move(rule));

  // A click or a drag in the distributions moves the threshold to that score.
  function pointed(event) {
    if (!(event.buttons & 1) || state.view !== "scores" || !drawn.left) return;
    const svg = get("left").querySelector("svg"), view = drawn.left.view;
    if (!svg) return;
    const x = event.clientX - svg.getBoundingClientRect().left - view.origin()[0] - view.padding().left;
    move(thresholds().edges[nearest(view.scale("x").invert(x))]);
  }
  get("left").addEventListener("pointerdown", pointed);
  get("left").addEventListener("pointermove", pointed);

  dark.addEventListener("change", draw);
  let width = window.innerWidth, later;
  window.addEventListener("resize", () => {
    clearTimeout(later);
    later = setTimeout(() => { if (window.innerWidth !== width) { width = window.innerWidth; draw(); } }, 150);
  });
  show();
})();

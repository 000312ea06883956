// Second part: the figures, drawn by Vega-Lite.
const BARS = 60, SPIKE_RATIO = 4, SPIKE_BINS = 3;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const drawn = { left: null, right: null };
let request = 0;

const color = (look) => (dark.matches ? look.on_dark : look.color);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

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
  const x = { field: "x", type: "quantitative", title: binned.label, axis: { tickCount: width < 420 ? 5 : 7 },
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
    const room = view.width() > 440;  // for the number too, which stands beside the slider anyway
    view.signal("words", `${room ? `score \u2265 ${number(edges[k])} ` : ""}accepts ${percent(accepted[ID][k] / n[ID])}`
      + `${room ? " of ID" : ""} \u2192`);  // to the right of the line
    view.signal("side", edges[k] < (low + high) / 2 ? "left" : "right");
    await view.runAsync();
  }
  if (drawn.right) {
    const points = sets().map((name) => ({ fpr: accepted[name][k] / n[name], tpr: accepted[ID][k] / n[ID],
      group: `${label(name)} (AUROC ${percent(score().metrics[name].AUROC)})` }));
    await drawn.right.view.data("points", points).runAsync();
  }
}

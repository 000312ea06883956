// Explorer: the controls, and what follows from a change. mount() is all that pages and notebooks use.
import { accepted, atShare, count, extent, ID, number, percent } from "./numbers.js";
import { source } from "./source.js";
import { html, row, table } from "./marks.js";
import { choosable, PRESETS, selected } from "./select.js";
import { comparison, failures } from "./compare.js";
import { chosenColumns, details, paired, requests, scored, sidesOf, stage } from "./stage.js";
import { drawer, TABS } from "./drawer.js";

const AXES = { shared: "same axes", own: "own axes", rank: "rank axis" };
const START = {
  network: 0,
  beside: null,
  score: "es",
  ood: [],
  view: "scores",
  threshold: "tpr95",
  axes: "shared",
  quantity: "accuracy",
  selection: null,
  zoom: null,
  drawer: "",
  present: false,
};

export function darkBehind(node) {
  for (let at = node; at; at = at.parentElement) {
    const parts = getComputedStyle(at).backgroundColor.match(/[\d.]+/g).map(Number);
    if (parts.length < 4 || parts[3] > 0) return 0.3 * parts[0] + 0.59 * parts[1] + 0.11 * parts[2] < 128;
  }
  return globalThis.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Make a state whole and possible: what a network lacks gives way to what it has. */
function possible(data, wanted) {
  const state = { ...START, ...wanted }, about = data.networks[state.network] || data.networks[0];
  state.network = data.networks.indexOf(about);
  const first = (list, value) => (list.includes(value) ? value : list[0]);
  state.ood = Object.keys(data.sets).filter((name) => state.ood.includes(name) && Object.hasOwn(about.n, name));
  if (!state.ood.length) state.ood = Object.keys(data.sets).filter((name) => Object.hasOwn(about.n, name)).slice(0, 1);
  state.score = first(about.scores, state.score);
  if (state.beside && !data.networks[state.beside.network]) state.beside = null;
  const other = state.beside && data.networks[state.beside.network];
  if (other && !other.scores.includes(state.beside.score || state.score)) {
    state.beside = { ...state.beside, score: other.scores[0] };
  }
  const views = Object.keys(data.views).filter((key) =>
    about.views.includes(key) && (!other || other.views.includes(key)) &&
    (key !== "compare" || (other && !data.counts_only && paired(about, other, ID)))
  );
  state.view = first(views, state.view);
  if (state.selection && !choosable(data.views[state.view].kind, state.selection.by)) state.selection = null;
  return { state, views };
}

/**
 * Show an explorer in an element.
 *
 * data: what can be chosen; state: what is chosen first; ask(request, buffers): a kernel's answer, absent on a page;
 * saved: answers that the page holds; changed(state), picked(images): told of every change. Returns { restore, close }.
 */
export function mount(
  element,
  { data, state: wanted = {}, ask = null, saved = null, changed = (_state) => {}, picked = (_images) => {} },
) {
  let { state, views } = possible(data, wanted), shown = null, sides = [], turn = 0, waiting = false, mine = {};
  const numbers = source({ saved, ask });
  const root = html("section", {
    class: "isomax-viz-explorer",
    "aria-label": "Explorer of out-of-distribution detection",
  });
  const controls = html("form", { autocomplete: "off", onsubmit: (event) => event.preventDefault() });
  const plotted = html("div", {}),
    hover = html("div", { class: "hover" }),
    message = html("p", { class: "error", role: "alert", hidden: true });
  const spoken = html("p", { role: "status", "aria-live": "polite" }),
    apart = html("p", { role: "status" }),
    counts = html("div", { class: "scroll" }),
    aside = html("aside", { hidden: true }),
    note = html("p", { class: "small" });
  const main = html("div", {}, message, plotted, hover, counts, spoken, apart, note),
    parts = html("div", { class: "parts" }, controls, main, aside);
  root.append(parts);
  element.replaceChildren(root);
  const tell = (text) => {
    hover.textContent = text;
  };
  const failed = (error) => {
    message.textContent = error.message || String(error);
    message.hidden = false;
    console.error(error);
  };

  const side = drawer(aside, {
    data,
    source: numbers,
    saved,
    ask,
    change,
    told: failed,
    place: () => ({
      state,
      sides,
      stage: shown || {},
      failed: data.views[state.view].kind === "compare" && shown ? failures(sides, state, shown.values) : null,
    }),
    judged: (rows) => {
      mine = Object.fromEntries(rows.filter((row) => row.scores).map((row) => [row.network, row.scores]));
      show();
    },
  });

  /** Take new settings; a change of what is shown drops zoom and choice, which belonged to the former picture. */
  function change(patch) {
    const moves = ["network", "beside", "score", "view"].some((name) => name in patch);
    const kept = moves && state.selection && PRESETS[state.selection.by] ? state.selection : null;
    if (moves || "ood" in patch || "selection" in patch) side.forget();
    const opened = patch.selection && !("drawer" in patch) ? { drawer: "pictures" } : {};
    ({ state, views } = possible(data, {
      ...state,
      ...(moves ? { zoom: null, selection: kept } : {}),
      ...opened,
      ...patch,
    }));
    show();
  }

  const hands = {
    tell,
    chosen: (selection) => change({ selection }),
    drag: (value, s = 0) => {
      if (s) { // on B: the same share of A
        const [one, two] = sides.map(({ answer }) => answer.columns[ID].sorted);
        return hold(atShare(one, accepted(two, value) / two.length));
      }
      return hold(value);
    },
    step: (event) => {
      const columns = chosenColumns(sides[0], state).map(({ sorted }) => sorted),
        [low, high] = extent(columns),
        at = shown.values[0].threshold;
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
      const next = event.key === "Home"
        ? low
        : event.key === "End"
        ? high
        : step
        ? at + (step * (high - low)) / 400
        : null;
      if (next === null) return;
      event.preventDefault();
      hold(next);
    },
  };

  /** Hold a number as the threshold; one picture a frame, whatever the pointer sends. */
  function hold(value) {
    const [low, high] = extent(chosenColumns(sides[0], state).map(({ sorted }) => sorted));
    state = { ...state, threshold: Math.min(Math.max(value, low), high) };
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      follow();
    });
  }

  function follow() {
    shown.follow(state);
    spoken.textContent = shown.sentence;
    if (shown.counts) {
      fillTable();
      fillThreshold();
    }
    later(() => {
      changed(state);
      side.refresh();
    });
  }
  let timer = null;
  const later = (action) => {
    clearTimeout(timer);
    timer = setTimeout(action, 120);
  };

  const option = (type, name, value, text, tooltip, checked, onchange) =>
    html(
      "label",
      { class: "option", title: tooltip },
      html("input", { type, name, value, onchange, checked, "aria-label": tooltip ? `${text}: ${tooltip}` : text }),
      html("span", {}, text),
    );
  const unique = `x${Math.random().toString(36).slice(2)}`;
  function choose(title, name, options, value, tooltip, onchange) {
    if (options.length < 2) return null;
    if (options.length > 9) {
      const list = html("select", {
        "aria-label": title,
        title: tooltip,
        "data-name": name,
        onchange: () => onchange(options[list.selectedIndex][0]),
      }, options.map(([item, text]) => html("option", { selected: item === value }, text)));
      return html("fieldset", {}, html("legend", {}, title), list);
    }
    return html(
      "fieldset",
      { "data-name": name },
      html("legend", { title: tooltip }, title),
      options.map(([item, text, words]) =>
        option("radio", `${name}-${unique}`, item, text, words || "", item === value, () => onchange(item))
      ),
    );
  }

  /** Follow a chooser of captures: what was chosen last is kept, the rest gives way where no capture has both. */
  function nearest(dimension, value, from) {
    const names = Object.keys(data.dimensions), wanted_ = { ...data.networks[from].place, [dimension]: value };
    let found = from, most = -1;
    data.networks.forEach(({ place }, k) => {
      const same = names.reduce((total, name, n) =>
        total + (place[name] === wanted_[name] ? 2 ** (names.length - n) : 0), 0) +
        (place[dimension] === value ? 1e6 : 0);
      if (same > most) [found, most] = [k, same];
    });
    return found;
  }

  let fields = {};
  function drawControls() {
    const focused = controls.querySelector(":focus");
    const about = data.networks[state.network], kind = data.views[state.view].kind, rules = scored(kind);
    const names = (keys, of) => keys.map((key) => [key, of[key].label, of[key].tooltip || of[key].name || ""]);
    const titles = data.networks.map((network, k) => [k, network.title]);
    const usesScore = scored(kind), sets = Object.keys(data.sets).filter((name) => Object.hasOwn(about.n, name));
    const items = Object.entries(data.dimensions).map(([name, { label, tooltip, options }]) =>
      choose(
        label,
        name,
        options,
        about.place[name],
        tooltip,
        (value) => change({ network: nearest(name, value, state.network) }),
      )
    );
    if (usesScore) {
      items.push(
        choose(
          "Score",
          "score",
          names(about.scores, data.scores),
          state.score,
          "Number by which known and unknown images are told apart",
          (score) => change({ score, ...(state.beside ? { beside: { ...state.beside, score: null } } : {}) }),
        ),
      );
    }
    if (!["lines", "matrix"].includes(kind) && sets.length > 1) {
      items.push(
        html(
          "fieldset",
          { "data-name": "ood" },
          html("legend", {}, "Against"),
          sets.map((name) =>
            option(
              "checkbox",
              `ood-${unique}`,
              name,
              data.sets[name].label,
              `Compare with ${data.sets[name].label}`,
              state.ood.includes(name),
              (event) =>
                change({
                  ood: event.target.checked
                    ? [...state.ood, name]
                    : state.ood.length > 1
                    ? state.ood.filter((item) => item !== name)
                    : state.ood,
                }),
            )
          ),
        ),
      );
    }
    items.push(
      html(
        "fieldset",
        {},
        html("legend", {}, "View"),
        select("view", "What the picture shows", names(views, data.views), state.view, (view) => change({ view })),
      ),
    );
    if (kind === "lines") {
      const answer = numbers.get(requests(data, state)[0]);
      const quantities = answer ? Object.keys(answer.panels).filter(Boolean) : [];
      if (quantities.length > 1) {
        items.push(
          html(
            "fieldset",
            {},
            html("legend", {}, "Quantity"),
            select(
              "quantity",
              "What to follow",
              quantities.map((name) => [name, name.replaceAll("_", " ")]),
              state.quantity,
              (quantity) => change({ quantity }),
            ),
          ),
        );
      }
    }
    const beside = select(
      "beside",
      "A second network or score beside the first",
      [[-1, "nothing"], ...titles],
      state.beside ? state.beside.network : -1,
      (network) =>
        change({ beside: network < 0 ? null : { network, score: state.beside ? state.beside.score : null } }),
    );
    const other = state.beside && usesScore
      ? select(
        "beside_score",
        "Score of B",
        data.networks[state.beside.network].scores.map((key) => [key, data.scores[key].label]),
        state.beside.score || state.score,
        (score) => change({ beside: { ...state.beside, score } }),
      )
      : null;
    const ranks = ["scores", "columns"].includes(kind),
      axed = ranks || (state.beside && ["binned", "points"].includes(kind));
    const axes = axed
      ? select(
        "axes",
        "Axes of A and B",
        Object.entries(AXES).filter(([key]) => (key === "rank" ? ranks : key === "own" || state.beside)),
        state.axes === "shared" && !state.beside ? "own" : state.axes,
        (value) => change({ axes: value, zoom: null, selection: null }),
      )
      : null;
    items.push(html("fieldset", {}, html("legend", {}, "Beside (B)"), beside, other, axes));
    if (rules) items.push(thresholdControls());
    const drawers = Object.entries(TABS).map(([key, label]) =>
      html("button", {
        type: "button",
        "aria-pressed": String(state.drawer === key),
        onclick: () => change({ drawer: state.drawer === key ? "" : key }),
      }, label)
    );
    items.push(
      html("fieldset", {}, html("legend", {}, "More"), drawers),
      html(
        "fieldset",
        {},
        html("button", {
          type: "button",
          "aria-pressed": String(state.present),
          title: "Everything larger, for the back row",
          onclick: () => change({ present: !state.present }),
        }, "present"),
        html("button", {
          type: "button",
          title: "Back to the first settings",
          onclick: () => change({ ...START, ...wanted, present: state.present }),
        }, "reset"),
        state.zoom ? html("button", { type: "button", onclick: () => change({ zoom: null }) }, "zoom back") : null,
      ),
    );
    controls.replaceChildren(...items.filter(Boolean));
    if (focused) {
      const same = (item) => ["name", "value", "textContent"].every((name) => item[name] === focused[name]);
      const again = [...controls.elements].find(same);
      if (again) again.focus();
    }
  }
  function select(name, tooltip, options, value, onchange) {
    const list = html("select", {
      name,
      title: tooltip,
      "aria-label": tooltip,
      onchange: () => onchange(options[list.selectedIndex][0]),
    }, options.map(([item, text]) => html("option", { value: item, selected: item === value }, text)));
    return list;
  }

  function thresholdControls() {
    const take = (threshold) => {
      state = { ...state, threshold };
      follow();
    };
    const slider = html("input", {
      type: "range",
      min: 0,
      max: 400,
      step: 1,
      "aria-label": "Threshold",
      title: "Images with a score at or above it are accepted (arrow keys move it)",
      oninput: () => {
        const [low, high] = extent(chosenColumns(sides[0], state).map(({ sorted }) => sorted));
        hold(low + ((high - low) * slider.valueAsNumber) / 400);
      },
    });
    const field = html("input", {
      type: "number",
      step: "any",
      "aria-label": "Threshold as a number",
      onchange: () => {
        if (Number.isFinite(field.valueAsNumber)) typed(field.valueAsNumber);
      },
    });
    const share = html("input", {
      type: "number",
      min: 0.1,
      max: 100,
      step: 0.1,
      "aria-label": "Share of ID to accept, in percent",
      title: "Accept this share of the known images",
      onchange: () => {
        const value = share.valueAsNumber / 100;
        if (value > 0 && value <= 1) take({ share: value });
        else said.textContent = "A share lies between 0 and 100\u00a0%.";
      },
    });
    const rule = (text, wanted_, tooltip) =>
      html("button", {
        type: "button",
        title: tooltip,
        "data-rule": JSON.stringify(wanted_),
        onclick: () => take(wanted_),
      }, text);
    const cost = (name, text, value, max) =>
      html(
        "label",
        { class: "small", title: text },
        `${text} `,
        html("input", {
          type: "number",
          name,
          "aria-label": text,
          min: 0,
          max,
          step: "any",
          value,
          oninput: () =>
            take({
              costs: Object.fromEntries(
                ["accept_unknown", "reject_known", "share_unknown"].map((
                  key,
                ) => [key, Math.max(0, Number(costs.querySelector(`[name=${key}]`).value))]),
              ),
            }),
        }),
      );
    const held_ = state.threshold.costs || { accept_unknown: 1, reject_known: 1, share_unknown: 0.5 };
    const costs = html(
      "details",
      { open: Boolean(state.threshold.costs) },
      html("summary", { class: "small" }, "by cost"),
      cost("accept_unknown", "accept unknown", held_.accept_unknown),
      cost("reject_known", "reject known", held_.reject_known),
      cost("share_unknown", "share unknown", held_.share_unknown, 1),
    );
    const said = html("p", { class: "small", role: "alert" });
    const typed = (value) => {
      const [low, high] = extent(chosenColumns(sides[0], state).map(({ sorted }) => sorted));
      if (value >= low && value <= high) {
        take(value);
        return;
      }
      said.textContent = `${number(value, 4)} lies outside these scores (${number(low)} to ${
        number(high)
      }); the threshold stays.`;
      field.value = Number(shown.values[0].threshold.toPrecision(4));
    };
    fields = {
      slider,
      field,
      share,
      said,
      rules: [
        rule("95 % of ID", "tpr95", "The largest threshold that accepts at least 95 % of the ID images"),
        rule("99 %", { share: 0.99 }, "The largest threshold that accepts at least 99 % of the ID images"),
        rule("best DTACC", "dtacc", "The threshold with the best mean of accepted ID and rejected OOD images"),
      ],
    };
    return html(
      "fieldset",
      { "data-name": "threshold" },
      html("legend", {}, "Threshold"),
      slider,
      html("label", { class: "small" }, "score \u2265 ", field),
      html("label", { class: "small" }, share, " % of ID"),
      fields.rules,
      costs,
      said,
    );
  }

  function fillThreshold() {
    if (!fields.slider) return;
    const [low, high] = extent(chosenColumns(sides[0], state).map(({ sorted }) => sorted)),
      at = shown.values[0].threshold,
      known = shown.counts[0][0],
      share = known.accepted / known.n;
    fields.slider.value = Math.round((400 * (Math.min(at, high) - low)) / (high - low || 1));
    fields.slider.setAttribute("aria-valuetext", `score at least ${number(at, 4)}, accepts ${percent(share)} of ID`);
    if (document.activeElement !== fields.field) {
      fields.field.value = Number.isFinite(at) ? Number(at.toPrecision(4)) : "";
    }
    if (document.activeElement !== fields.share) {
      fields.share.value = state.threshold.share
        ? Number((100 * state.threshold.share).toPrecision(6))
        : (100 * share).toFixed(1);
    }
    for (const button of fields.rules) {
      button.setAttribute("aria-pressed", String(button.dataset.rule === JSON.stringify(state.threshold)));
    }
    fields.said.textContent = shown.values.map(({ words }) => words).filter(Boolean)[0] || "";
  }

  let cells = null;
  function drawTable() {
    cells = [];
    if (!shown.counts) {
      counts.replaceChildren();
      return;
    }
    const metrics = ["AUROC", "TNR@TPR95", "DTACC"], head = ["", "accepted", "rejected", ...metrics];
    const rows = shown.counts.flatMap((sets, s) =>
      sets.map((set) => {
        const title = `${sides.length > 1 ? `${sides[s].title}: ` : ""}${set.label}`;
        const values = metrics.map((name) => (set.metrics ? [percent(set.metrics[name]), set.metrics[name]] : ""));
        const line = row(title, ["", "", ...values], { "data-set": set.name, "data-side": s });
        cells.push([line.children[1], line.children[2]]);
        return line;
      })
    );
    counts.replaceChildren(table(head, rows, data.metrics));
    fillTable();
  }
  function fillTable() {
    shown.counts.flat().forEach((set, k) =>
      [set.accepted, set.n - set.accepted].forEach((value, c) => {
        cells[k][c].textContent = `${count(value)}\u00a0of\u00a0${count(set.n)} (${percent(value / set.n)})`;
        cells[k][c].dataset.value = value;
      })
    );
  }

  async function show() {
    const now = (turn += 1), wanted_ = [...requests(data, state), ...details(data, state).filter(numbers.offers)];
    root.classList.toggle("present", state.present);
    parts.classList.toggle("open", Boolean(state.drawer));
    root.classList.toggle("dark", darkBehind(element));
    message.hidden = true;
    const missing = wanted_.filter((request) => !numbers.get(request));
    const clear = () => {
      plotted.replaceChildren();
      counts.replaceChildren();
      spoken.textContent = apart.textContent = "";
      aside.hidden = true;
      tell("");
    };
    if (missing.length) {
      const slow = setTimeout(() => {
        if (now !== turn) return;
        clear();
        spoken.textContent = ask
          ? "Waiting for the kernel \u2026 If it was restarted, run the cell again."
          : "Reading \u2026";
      }, 400);
      try {
        await Promise.all(missing.map(numbers.load));
      } catch (error) {
        if (now === turn) {
          clear();
          drawControls();
          failed(error);
        }
        return;
      } finally {
        clearTimeout(slow);
      }
      if (now !== turn || !root.isConnected) return;
    }
    try {
      draw();
    } catch (error) {
      failed(error);
    }
  }

  function draw() {
    sides = sidesOf(data, state);
    const answers_ = requests(data, state).map(numbers.get);
    sides.forEach((item, s) => {
      item.answer = answers_[s];
      item.details = details(data, state).map(numbers.get);
    });
    const size = parseFloat(getComputedStyle(root).fontSize);
    aside.hidden = !state.drawer;
    drawControls();
    const width = Math.max(220, Math.floor(main.getBoundingClientRect().width) - 2);
    tell("");
    shown = stage(plotted, {
      data,
      state,
      sides,
      width,
      size,
      hands,
      mine: Object.fromEntries(Object.entries(mine).map(([network, scores]) => [network, scores[state.score]])),
    });
    spoken.textContent = shown.sentence;
    note.textContent = [...new Set(sides.map(({ about }) => about.note).filter(Boolean))].join(" ");
    drawTable();
    if (shown.counts) fillThreshold();
    else fields = {};
    apart.textContent = "";
    const now = turn, compares = data.views[state.view].kind === "compare";
    if (compares) setTimeout(() => now === turn && (apart.textContent = comparison(data, state, sides)));
    side.refresh();
    const found = state.selection ? selected(data, state, sides, shown.values) : [];
    const names = new Set((found || []).map(({ set, index }) => JSON.stringify([set === ID ? "test" : set, index])));
    picked([...names].map((name) => JSON.parse(name)));
    root.dataset.drawn = Number(root.dataset.drawn || 0) + 1;
    changed(state);
  }

  let last = 0;
  const watch = new ResizeObserver(() => {
    const { width } = root.getBoundingClientRect();
    if (width && width !== last) {
      last = width;
      show();
    }
  });
  watch.observe(root);
  const theme = new MutationObserver(() => {
    if (root.classList.contains("dark") !== darkBehind(element)) show();
  });
  for (const node of [document.body, document.documentElement]) theme.observe(node, { attributes: true });
  const system = globalThis.matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", show);
  return {
    restore: (next) => {
      side.forget();
      ({ state, views } = possible(data, next));
      show();
    },
    state: () => state,
    close: () => {
      watch.disconnect();
      theme.disconnect();
      system.removeEventListener("change", show);
      turn += 1;
    },
  };
}

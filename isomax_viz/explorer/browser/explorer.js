// Explorer: the controls, and what follows from a change. mount() is all that pages and notebooks use.
import { accepted, atShare, count, extent, ID, percent } from "./numbers.js";
import { source } from "./source.js";
import { html, row, table } from "./marks.js";
import { dress, onLook } from "./surroundings.js";
import { choosable, PRESETS, selected } from "./select.js";
import { comparison, failures } from "./compare.js";
import { chosenColumns, details, isFull, paired, requests, scored, sidesOf, stage } from "./stage.js";
import { fillControls } from "./controls.js";
import { drawer } from "./drawer.js";
import { thresholdControls } from "./threshold.js";

/** Make a state whole and possible: what a network lacks gives way to what it has. */
function possible(data, wanted) {
  const state = { ...data.start, ...wanted }, about = data.networks[state.network] || data.networks[0];
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
  state.costs = { ...data.start.costs, ...(state.threshold.costs || state.costs) };
  const views = Object.keys(data.views).filter((key) =>
    about.views.includes(key) && (!other || (other.views.includes(key) && key !== "cost")) &&
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
  let { state, views } = possible(data, wanted),
    shown = null,
    sides = [],
    turn = 0,
    waiting = false,
    mine = {},
    told = "[]";
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
    step: (event, way = 1) => { // way: -1 where the threshold falls to the right
      const [low, high] = span(), [home, end] = way < 0 ? [high, low] : [low, high];
      const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
      const next = steps
        ? shown.values[0].threshold + (way * steps * (high - low)) / 400
        : { Home: home, End: end }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      hold(next);
    },
  };

  const span = () => extent(chosenColumns(sides[0], state).map(({ sorted }) => sorted));

  /** Hold a number as the threshold; one picture a frame, whatever the pointer sends. */
  function hold(value) {
    const [low, high] = span();
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

  const unique = `x${Math.random().toString(36).slice(2)}`;
  let threshold = null;
  function drawControls() {
    const { kind } = data.views[state.view];
    const take = (wanted_) => {
      state = { ...state, threshold: wanted_, costs: wanted_.costs || state.costs };
      follow();
    };
    const price = (costs) => { // what else is held stays
      state = { ...state, costs, threshold: state.threshold.costs ? { costs } : state.threshold };
      follow();
    };
    const given = { wanted: state.threshold, costs: state.costs, costly: kind === "cost", span, take, price, hold };
    threshold = scored(kind) ? thresholdControls(given) : null;
    const panels = (kind === "lines" && numbers.get(requests(data, state)[0])?.panels) || {};
    fillControls(controls, {
      data,
      state,
      views,
      kind,
      unique,
      change,
      foresee,
      threshold: threshold?.node,
      quantities: Object.keys(panels).filter(Boolean),
      first: { ...data.start, ...wanted },
    });
  }

  /** Ask for the numbers of what the pointer is over, so that they are there when it is chosen. */
  function foresee(patch) {
    const next = possible(data, { ...state, ...patch }).state;
    for (const request of requests(data, next)) numbers.load(request).catch(() => {});
  }

  function fillThreshold() {
    const [{ threshold: at }] = shown.values, [[known]] = shown.counts;
    const words = shown.values.map((value) => value.words).find(Boolean) || "";
    threshold?.fill({ at, accepts: known.accepted / known.n, held: state.threshold, words });
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
    dress(root, element, state.present);
    root.classList.toggle("full", isFull(state));
    parts.classList.toggle("open", Boolean(state.drawer));
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
    const own = Object.fromEntries(Object.entries(mine).map(([network, scores]) => [network, scores[state.score]]));
    shown = stage(plotted, { data, state, sides, width, size, hands, mine: own });
    spoken.textContent = shown.sentence;
    // Where room is short, what the table says too (all but costs) is heard only, so that the rest fits the screen.
    const repeats = Boolean(shown.counts) && data.views[state.view].kind !== "cost";
    spoken.classList.toggle("heard", repeats && isFull(state));
    note.textContent = [...new Set(sides.map(({ about }) => about.note).filter(Boolean))].join("; ");
    drawTable();
    if (shown.counts) fillThreshold();
    apart.textContent = "";
    const now = turn, compares = data.views[state.view].kind === "compare";
    if (compares) setTimeout(() => now === turn && (apart.textContent = comparison(data, state, sides)));
    side.refresh();
    const found = state.selection ? selected(data, state, sides, shown.values) : [];
    const names = new Set((found || []).map(({ set, index }) => JSON.stringify([set === ID ? "test" : set, index])));
    const all = `[${[...names]}]`;
    if (all !== told) picked(JSON.parse(all));
    told = all;
    root.dataset.drawn = Number(root.dataset.drawn || 0) + 1;
    changed(state);
  }

  const stop = onLook(root, element, show);
  return {
    restore: (next) => {
      side.forget();
      ({ state, views } = possible(data, next));
      show();
    },
    state: () => state,
    close: () => {
      stop();
      turn += 1;
    },
  };
}

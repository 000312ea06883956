// Stage: from what is chosen to charts, counts and the sentence. It knows state and answers, not the controls.
import {
  accepted,
  atShare,
  binned,
  costAt,
  costCurve,
  count,
  curve,
  densityTop,
  extent,
  held,
  ID,
  linspace,
  number,
  percent,
  sum,
} from "./numbers.js";
import { html, legend, renew, small, titleOf } from "./marks.js";
import { costs, histogram, lines, matrix, roc, scatter } from "./charts.js";

const BARS = 60;
/** Return the unit of heights: large words leave room on the screen for what belongs together. */
export const tallOf = (size) => Math.min(size, innerHeight / 55);
const NO_LOOK = { color: "#7a7a7a", dark: "#9a9aa2", dash: [4, 3] };

/** Return both sides of what is shown: each a network with a score. */
export function sidesOf(data, state) {
  const sides = [{ network: state.network, score: state.score }];
  if (state.beside) sides.push({ network: state.beside.network, score: state.beside.score || state.score });
  const titles = sides.map((side) => data.networks[side.network].title);
  const twice = sides.length === 2 && titles[0] === titles[1];
  return sides.map((side, k) => ({
    ...side,
    about: data.networks[side.network],
    answer: null,
    details: null,
    title: twice || sides[0].score !== sides[sides.length - 1].score
      ? `${titles[k]} \u00b7 ${data.scores[side.score].label}`
      : titles[k],
  }));
}

export const scored = (kind) => ["scores", "roc", "cost", "compare"].includes(kind);
export const setsOf = (about, state) => state.ood.filter((name) => Object.hasOwn(about.n, name));

/** Whether two networks saw the same images of a set, in the same order, as far as the captures say. */
export function paired(one, two, name) {
  const [a, b] = [one.seen[name], two.seen[name]];
  return one.n[name] === two.n[name] && (a === b || a === null || b === null);
}
export const pairedSets = ([one, two], state) =>
  [ID, ...setsOf(one.about, state)].filter((name) => paired(one.about, two.about, name));

/** Return what has to be known before a state can be drawn. */
export function requests(data, state) {
  const { kind } = data.views[state.view];
  const asked = ({ network, score }) =>
    scored(kind) ? { what: "scores", network, name: score } : { what: "view", network, name: state.view };
  return sidesOf(data, state).map(asked);
}

/** Return what a choice in a histogram over classes needs to name its images. */
export function details(data, state) {
  if (!state.selection || data.views[state.view].kind !== "binned") return [];
  const { network, about } = sidesOf(data, state)[state.selection.side || 0], sets = [ID, ...setsOf(about, state)];
  return [{ what: "labels", network, name: ID }, ...sets.map((name) => ({ what: "logits", network, name }))];
}

export function look(data, about, name, crowded) {
  if (name === ID || name === "intra-class ID") return { ...about, fill: 0.45 };
  if (name === "inter-class ID") return { ...about, dash: [2, 2], fill: 0.15 };
  return { ...data.sets[name], fill: crowded ? 0 : 0.16 };
}
export function labelOf(data, about, name) {
  if (name === ID) return about.known;
  return Object.hasOwn(data.sets, name) ? data.sets[name].label : name;
}

/** Return columns of the sets that are chosen, the known images first. */
export function chosenColumns({ about, answer }, state) {
  return [ID, ...setsOf(about, state)].map((name) => ({ name, ...answer.columns[name] }));
}

export function withDensity(groups, positions) {
  return groups.map((group) => ({
    ...group,
    density: group.counts.map((value, k) => value / (group.n * (positions[k + 1] - positions[k] || Infinity))),
  }));
}

function merged({ groups, low, high }, state) {
  const shown = groups.filter((group) => !group.ood || state.ood.includes(group.name));
  const cells = shown[0].counts.length, width = (high - low) / cells, used = [];
  const [from, to] = (state.zoom || [low, high]).map((value) => (value - low) / width);
  for (let k = 0; k < cells; k += 1) {
    if (k + 1 > from && k < to && shown.some((group) => group.counts[k])) used.push(k);
  }
  const first = used[0] ?? 0, filled = (used.at(-1) ?? 0) + 1 - first;
  const size = Math.max(1, Math.ceil(filled / BARS)), bars = Math.ceil(filled / size);
  const edges = Array.from({ length: bars + 1 }, (_, k) => low + (first + k * size) * width);
  return {
    edges,
    groups: shown.map((group) => ({
      ...group,
      counts: Array.from(
        { length: bars },
        (_, k) => sum([...group.counts.subarray(first + k * size, first + (k + 1) * size)]),
      ),
    })),
  };
}

/** Return the histogram of each side: edges, positions (ranks where asked for), groups with counts and densities. */
function histograms(data, state, sides) {
  const kind = data.views[state.view].kind, ranked = state.axes === "rank" && kind !== "binned";
  const all = kind === "binned" ? [] : sides.map((side) => chosenColumns(side, state));
  const spans = all.map((columns) => state.zoom || extent(columns.map(({ sorted }) => sorted)));
  const shared = [Math.min(...spans.map(([low]) => low)), Math.max(...spans.map(([, high]) => high))];
  return sides.map((side, s) => {
    let found;
    if (kind === "binned") found = merged(side.answer, state);
    else {
      const known = all[s][0].sorted, parts = 50;
      const edges = ranked
        ? Array.from(
          { length: parts + 1 },
          (_, k) => known[Math.min(known.length - 1, Math.round((k * known.length) / parts))],
        )
        : linspace(...(state.axes === "shared" ? shared : spans[s]), BARS);
      if (ranked) [edges[0], edges[parts]] = [Math.min(edges[0], spans[s][0]), Math.max(edges[parts], spans[s][1])];
      found = {
        edges,
        positions: ranked ? edges.map((_, k) => k / parts) : edges,
        groups: all[s].map(({ name, sorted }) => ({
          name,
          n: sorted.length,
          counts: binned(sorted, edges),
          median: (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2,
        })),
      };
    }
    const positions = found.positions || found.edges, crowded = found.groups.length > 4;
    const groups = withDensity(found.groups, positions).map((group) => ({
      ...group,
      look: look(data, side.about, group.name, crowded),
      label: labelOf(data, side.about, group.name),
    }));
    return {
      ...found,
      positions,
      groups,
      top: densityTop(groups),
      label: ranked ? "share of ID below" : scored(kind) ? `${data.scores[side.score].label} score` : side.answer.label,
    };
  });
}

function cutWords({ edges, groups, top }) {
  const parts = [];
  for (let k = 0; k + 1 < edges.length; k += 1) {
    const over = groups.filter((group) => group.density[k] > top).map((group) =>
      `${percent(group.counts[k] / group.n)} of ${group.label}`
    );
    if (over.length) parts.push(`the bar from ${number(edges[k])} to ${number(edges[k + 1])} holds ${over.join(", ")}`);
  }
  return parts.length ? `Cut off by the axis: ${parts.join("; ")}.` : "";
}

/** Return the threshold of each side for what is held: a number on A is the same share of ID on B. */
function thresholds(sides, state) {
  const found = [];
  for (const side of sides) {
    const [known, ...unknown] = chosenColumns(side, state).map(({ sorted }) => sorted);
    if (found.length && typeof state.threshold === "number" && !found[0].words) {
      const first = sides[0].answer.columns[ID].sorted;
      found.push({ threshold: atShare(known, accepted(first, found[0].threshold) / first.length), words: "" });
    } else {
      const key = JSON.stringify([state.threshold, state.ood]);
      if (side.answer.heldFor !== key) {
        Object.assign(side.answer, { heldFor: key, heldAt: held(state.threshold, known, unknown) });
      }
      found.push(side.answer.heldAt);
    }
  }
  return found;
}

/** Return what a threshold does, per side: name, label, n, accepted and metrics of every set. */
function counted(data, state, sides, values) {
  return sides.map((side, s) =>
    chosenColumns(side, state).map(({ name, sorted }) => ({
      name,
      label: labelOf(data, side.about, name),
      n: sorted.length,
      accepted: accepted(sorted, values[s].threshold),
      metrics: name === ID ? null : side.answer.metrics[name],
    }))
  );
}

function sentence(data, state, sides, values, counts, hists) {
  if (values) {
    return sides.map((side, s) => {
      const [known, ...unknown] = counts[s],
        parts = unknown.map((set) =>
          `${count(set.n - set.accepted)} of ${count(set.n)} ${set.label} (${
            percent(1 - set.accepted / set.n)
          }; AUROC ${percent(set.metrics.AUROC)})`
        );
      return `${side.about.title}: ${data.scores[side.score].label} \u2265 ${number(values[s].threshold, 4)} accepts ${
        count(known.accepted)
      } of ${count(known.n)} known images (${percent(known.accepted / known.n)}) and rejects ${parts.join(", ")}.`;
    }).join(" ");
  }
  if (hists) {
    return sides.map((side, s) =>
      `${side.title}, ${data.views[state.view].label.toLowerCase()}: medians ${
        hists[s].groups.map((group) => `${group.label} ${number(group.median)} (n = ${count(group.n)})`).join(", ")
      }.`
    ).join(" ");
  }
  return `${sides.map((side) => side.title).join(" and ")}: ${data.views[state.view].tooltip.toLowerCase()}.`;
}

const titled = ({ sides, two }, s) => (two ? titleOf(sides[s].title) : "");
const holder = ({ width }, ...children) => html("div", { style: `width:${width}px` }, ...children);
const pointLegend = (groups) => groups.map((group) => ({ ...group, mark: "point" }));

/** Whether room is short: two of large words, two sides and an open drawer. */
export const isFull = ({ present, beside, drawer }) => [present, beside, drawer].filter(Boolean).length > 1;

/** How high a histogram is; for the back row, words need more of the screen. */
function rowsOf(kind, { present, drawer }) {
  if (kind === "cost") return present ? 11 : 14;
  if (kind === "scores") return present && drawer ? 12 : 21;
  return 27;
}

/** One histogram a side, with the threshold where scores are shown. */
function drawHistograms({ data, state, sides, width, size, tall, kind, words, hands, mine, two, beside }) {
  const hists = histograms(data, state, sides), shared = state.axes === "shared", notes = [];
  const ranked = state.axes === "rank" && kind !== "binned",
    ends = hists.map(({ positions: all }) => [all[0], all.at(-1)]);
  const [low, high] = [Math.min(...ends.map(([first]) => first)), Math.max(...ends.map(([, last]) => last))];
  const tops = hists.map((found) => (shared ? Math.max(...hists.map((item) => item.top)) : found.top));
  const box = {
    size,
    width: beside ? Math.floor(width * 0.6) : width,
    height: (two ? (state.present ? 10 : 12) : rowsOf(kind, state)) * tall,
  };
  const node = holder(box);
  const charts = hists.map((found, s) => {
    const span = shared ? { low, high } : { low: ends[s][0], high: ends[s][1] };
    const chart = histogram({
      ...found,
      box,
      top: tops[s],
      words: `${sides[s].title}: ${words}`,
      x: { ...(ranked ? { low: 0, high: 1, percent: true } : span), label: found.label },
      tell: hands.tell,
      drag: (value) => hands.drag(value, s),
      step: scored(kind) && hands.step,
      chosen: (range) => hands.chosen({ by: "value", side: s, range }),
    });
    const names = found.groups.map((group) => ({ look: group.look, label: `${group.label} (n = ${count(group.n)})` }));
    node.append(titled({ sides, two }, s), legend(names), chart.node);
    notes.push(cutWords({ ...found, top: tops[s] }));
    if (kind !== "binned" && kind !== "columns" && mine[sides[s].network] !== undefined) {
      chart.own(mine[sides[s].network]);
    }
    return chart;
  });
  return {
    nodes: [node],
    notes,
    hists,
    box,
    follow: ({ values, shares }) => values && charts.forEach((chart, s) => chart.move(values[s].threshold, shares[s])),
    mark: (chosen) =>
      charts.forEach((chart, s) => chart.mark(chosen?.by === "value" && chosen.side === s ? chosen.range : null)),
  };
}

function drawRoc({ data, state, sides, width, size, tall, kind, hands, two, beside }) {
  const curves = sides.flatMap((side, s) =>
    chosenColumns(side, state).slice(1).map(({ name, sorted }) => {
      const auroc = percent(side.answer.metrics[name].AUROC), of = two ? `${side.title}, ` : "";
      const label = `${of}${labelOf(data, side.about, name)} (AUROC ${auroc})`;
      const points = curve(side.answer.columns[ID].sorted, sorted);
      return { side: s, name, look: { ...data.sets[name], dash: two && s ? [2, 3] : [] }, label, points };
    })
  );
  const box = kind === "roc" ? { size, width: Math.min(width, 40 * size), height: 27 * tall } : {
    size,
    width: beside ? Math.floor(width * 0.4 - 1.1 * size) : width,
    height: (kind === "cost" ? 2 * rowsOf(kind, state) + 1 : rowsOf("scores", state)) * tall,
  };
  const known = sides[0].answer.columns[ID].sorted;
  const chart = roc({
    curves,
    equal: kind === "cost",
    box,
    words: "ROC curves",
    tell: hands.tell,
    drag: hands.drag,
    step: (event) => hands.step(event, -1),
    chosen: ([low, high]) => { // thresholds that accept these shares of ID
      const range = [atShare(known, high), Math.min(atShare(known, low), known.at(-1))];
      hands.chosen({ by: "value", side: 0, range });
    },
  });
  return {
    nodes: [holder(box, legend(curves), chart.node)],
    follow: ({ counts, shares, now }) => {
      const places = curves.map(({ side, name }) => {
        const set = counts[side].find((item) => item.name === name);
        return { fpr: set.accepted / set.n, tpr: shares[side] };
      });
      chart.move(places, now.costs);
    },
  };
}

/** The histogram, and below it over the same axis what every threshold costs. */
function drawCosts(shown) {
  const { sides: [side], hands } = shown, above = drawHistograms(shown), below = html("div", {});
  const { positions, label } = above.hists[0], x = { low: positions[0], high: positions.at(-1), label };
  let drawnFor = null, chart = null, price = null, cheapest = null;
  above.nodes[0].append(below);
  const redraw = (now) => {
    if (drawnFor === now.costs) return;
    drawnFor = now.costs;
    const [known, ...unknown] = chosenColumns(side, now).map(({ sorted }) => sorted);
    price = (value) => costAt(known, unknown, now.costs, value);
    const best = held({ costs: now.costs }, known, unknown).threshold;
    cheapest = [best, price(best)];
    const words = "Cost per image at every threshold", points = costCurve(known, unknown, now.costs);
    chart = costs({ points, cheapest, x, box: above.box, words, ...hands });
    renew(below, [chart.node]);
  };
  redraw(shown.state); // before it takes the place of the former picture, so that a focused point is found again
  return {
    ...above,
    follow: (all) => {
      const { now, values: [{ threshold }] } = all;
      redraw(now);
      above.follow(all);
      chart.move(threshold, price(threshold));
    },
    said: ({ values: [{ threshold }] }) => {
      const least = `the cheapest, at score \u2265 ${number(cheapest[0], 4)}, ${number(cheapest[1])}`;
      return ` It costs ${number(price(threshold))} per image; ${least}.`;
    },
  };
}

function drawLines({ state, sides, width, size, tall, words, hands, two }) {
  const panels = sides.map((side) => side.answer.panels[state.quantity] || Object.values(side.answer.panels)[0]);
  const dashOf = (line, s) => (two && s ? [...(line.dash.length ? line.dash : [8]), 2, 1, 2] : line.dash);
  const curves = panels.flatMap((panel, s) =>
    panel.curves.map((line) => ({
      ...line,
      look: { ...sides[s].about, dash: dashOf(line, s) },
      label: `${sides[s].title}: ${line.label}`,
    }))
  );
  const box = { size, width: Math.min(width, 62 * size), height: 27 * tall };
  const chart = linesOf(panels[0], curves, { box, words, tell: hands.tell });
  return { nodes: [html("div", {}, legend(chart.curves), chart.node)] };
}

/** Draw curves on the axes of a panel, which end where the curves do unless it says otherwise. */
export function linesOf({ x, y, diagonal }, curves, given) {
  const span = (axis, k) => {
    const all = curves.flatMap(({ points }) => points.map((point) => point[k]));
    const low = Math.min(...all), high = Math.max(...all);
    return { low, high: k && !axis.high ? high + 0.05 * (high - low) : high, ...axis };
  };
  const calibrated = diagonal ? [{ look: NO_LOOK, label: "calibrated", points: [[0, 0], [1, 1]] }] : [];
  const all = [...calibrated, ...curves];
  return { curves: all, ...lines({ curves: all, x: span(x, 0), y: span(y, 1), ...given }) };
}

/** A plane a side, beside each other where there is room. */
function inPlanes({ sides, width, size, tall, two, narrow }, draw) {
  const box = {
    size,
    width: Math.floor(two && !narrow ? width / 2 - size : Math.min(width, 52 * size)),
    height: 27 * tall,
  };
  const charts = sides.map((side, s) => draw(side, s, box));
  return {
    nodes: charts.map(({ node, key }, s) => holder(box, titled({ sides, two }, s), key, node)),
    mark: (chosen) =>
      charts.forEach((chart, s) => chart.mark?.(chosen?.by === "plane" && chosen.side === s ? chosen : null)),
  };
}

const drawMatrix = (shown) =>
  inPlanes(shown, (side, _, box) => {
    const most = Math.max(...side.answer.values);
    const key = small(`darker = nearer; from 0 to ${number(most)}`);
    return { key, ...matrix({ ...side.answer, most, box, words: shown.words, tell: shown.hands.tell }) };
  });

/** Ends of values on an axis, with some room for the points there. */
function roomy(zoom, axis, values) {
  if (zoom?.[axis]) return { low: zoom[axis][0], high: zoom[axis][1] };
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  return { low: low - 0.02 * (high - low), high: high + 0.02 * (high - low) };
}

function drawPoints(shown) {
  const { data, state, words, hands } = shown;
  return inPlanes(shown, (side, s, box) => {
    const { classes } = side.about;
    const groups = side.answer.groups.filter(({ name }) => name === ID || state.ood.includes(name)).map((group) => ({
      look: look(data, side.about, group.name),
      label: labelOf(data, side.about, group.name),
      xs: group.x,
      ys: group.y,
      names: (k) => (group.labels[k] < 0 ? "" : classes[group.labels[k]]),
    }));
    // Each network has a plane of its own: places in two of them have nothing in common.
    const span = (axis) => roomy(state.zoom, axis, side.answer.groups.flatMap((group) => [...group[axis]]));
    const chart = scatter({
      groups,
      x: { ...span("x"), label: side.answer.label },
      y: { ...span("y"), label: "its other axis" },
      box,
      words,
      tell: hands.tell,
      names: side.answer.marks,
      chosen: (range) => hands.chosen({ by: "plane", side: s, ...range }),
    });
    const crosses = side.answer.marks.length ? [{ label: side.answer.marked, mark: "cross" }] : [];
    return { ...chart, key: legend([...pointLegend(groups), ...crosses]) };
  });
}

function drawCompare({ data, state, sides, width, size, tall, words, hands }) {
  const [one, two] = sides.map(({ answer }) => answer.columns);
  const groups = pairedSets(sides, state).map((name) => ({
    name,
    look: look(data, sides[0].about, name),
    label: labelOf(data, sides[0].about, name),
    xs: one[name].values,
    ys: two[name].values,
    names: (k) => `image ${k}`,
  }));
  const span = ({ title, score, answer }, axis) => ({
    ...roomy(state.zoom, axis, extent(groups.map(({ name }) => answer.columns[name].sorted))),
    label: `${title} (${data.scores[score].label})`,
  });
  const box = { size, width: Math.min(width, 56 * size), height: (state.present ? 19 : 24) * tall };
  const chart = scatter({
    groups,
    x: span(sides[0], "x"),
    y: span(sides[1], "y"),
    limits: true,
    box,
    words,
    tell: hands.tell,
    chosen: (range) => hands.chosen({ by: "plane", side: 0, ...range }),
  });
  const key = legend([...pointLegend(groups), { label: "thresholds", mark: "limit" }]);
  return {
    nodes: [html("div", {}, key, chart.node)],
    follow: ({ values }) => chart.move(values.map(({ threshold }) => threshold)),
    mark: (chosen) => chart.mark(chosen?.by === "plane" ? chosen : null),
  };
}

const DRAWN = {
  scores: [drawHistograms, drawRoc],
  roc: [drawRoc],
  cost: [drawCosts, drawRoc],
  compare: [drawCompare],
  columns: [drawHistograms],
  binned: [drawHistograms],
  lines: [drawLines],
  matrix: [drawMatrix],
  points: [drawPoints],
};

/** Draw a state into a node. Returns { follow(state), counts, values, sentence }; hands: what the charts report to. */
export function stage(node, { data, state, sides, width, size, hands, mine }) {
  const { kind, tooltip: words } = data.views[state.view], narrow = width < 34 * size;
  const tall = tallOf(size);
  const shown = { data, state, sides, width, size, hands, mine, kind, words, narrow, two: sides.length === 2, tall };
  const parts = DRAWN[kind].map((draw) => draw({ ...shown, beside: ["scores", "cost"].includes(kind) && !narrow }));
  const notes = parts.flatMap((part) => part.notes || []).filter(Boolean);
  const charts = html("div", { class: "charts" }, parts.flatMap((part) => part.nodes));
  renew(node, [charts, ...notes.map((text) => small(text))]);
  const answer = { counts: null, values: null, sentence: "" };
  answer.follow = (now) => {
    if (scored(kind)) {
      answer.values = thresholds(sides, now);
      answer.counts = counted(data, now, sides, answer.values);
    }
    const shares = answer.counts?.map(([known]) => known.accepted / known.n);
    for (const part of parts) part.follow?.({ ...answer, shares, now });
    answer.sentence = sentence(data, now, sides, answer.values, answer.counts, parts[0].hists);
    if (parts[0].said) answer.sentence += parts[0].said(answer);
  };
  answer.follow(state);
  for (const part of parts) part.mark?.(state.selection);
  return answer;
}

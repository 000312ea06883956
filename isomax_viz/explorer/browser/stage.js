// Stage: from what is chosen to charts, counts and the sentence. It knows state and answers, not the controls.
import {
  accepted,
  atShare,
  binned,
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
import { html, legend } from "./marks.js";
import { histogram, lines, matrix, roc, scatter } from "./charts.js";

const BARS = 60;
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
    title: twice || sides[0].score !== sides[sides.length - 1].score
      ? `${titles[k]} \u00b7 ${data.scores[side.score].label}`
      : titles[k],
  }));
}

export const scored = (kind) => ["scores", "roc", "compare"].includes(kind);
export const setsOf = (about, state) => state.ood.filter((name) => Object.hasOwn(about.n, name));

/** Return what has to be known before a state can be drawn. */
export function requests(data, state) {
  const { kind } = data.views[state.view];
  const asked = ({ network, score }) =>
    scored(kind) ? { what: "scores", network, name: score } : { what: "view", network, name: state.view };
  return sidesOf(data, state).map(asked);
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

function withDensity(groups, positions) {
  return groups.map((group) => ({
    ...group,
    density: group.counts.map((value, k) => value / (group.n * (positions[k + 1] - positions[k] || Infinity))),
  }));
}

function merged({ groups, low, high }, state) {
  const shown = groups.filter((group) => !group.ood || state.ood.includes(group.name));
  const cells = shown[0].counts.length, width = (high - low) / cells, used = [];
  for (let k = 0; k < cells; k += 1) if (shown.some((group) => group.counts[k])) used.push(k);
  const first = used[0], size = Math.max(1, Math.ceil((used[used.length - 1] + 1 - first) / BARS));
  const bars = Math.ceil((used[used.length - 1] + 1 - first) / size);
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

/**
 * Draw a state into a node. Returns { follow(state), counts, sentence, mark(range) }; hands: what the charts report to.
 */
export function stage(node, { data, state, sides, width, size, hands, mine }) {
  const { kind } = data.views[state.view],
    two = sides.length === 2,
    charts = html("div", { class: "charts" }),
    notes = [];
  const narrow = width < 44 * size, beside = kind === "scores" && !narrow, parts = {};
  const room = {
    size,
    width: beside ? Math.floor(width * 0.6) : width,
    height: (two && kind !== "roc" ? 14 : 21) * size,
  };
  const words = data.views[state.view].tooltip;
  if (kind === "scores" || kind === "binned" || kind === "columns") {
    const hists = histograms(data, state, sides), shared = state.axes === "shared";
    const low = Math.min(...hists.map(({ positions }) => positions[0])),
      high = Math.max(...hists.map(({ positions }) => positions[positions.length - 1]));
    const top = Math.max(...hists.map((found) => found.top));
    const column = html("div", { style: `width:${room.width}px` });
    parts.histograms = hists.map((found, s) => {
      const ends = state.axes === "rank" && kind !== "binned"
        ? { low: 0, high: 1, percent: true }
        : shared
        ? { low, high }
        : { low: found.positions[0], high: found.positions[found.positions.length - 1] };
      const chart = histogram({
        ...found,
        top: shared ? top : found.top,
        box: room,
        words: `${sides[s].title}: ${words}`,
        x: { ...ends, label: found.label },
        threshold: kind === "scores",
        tell: hands.tell,
        drag: (value) => hands.drag(value, s),
        step: hands.step,
        chosen: kind === "binned" ? null : (range) => hands.chosen({ by: "value", side: s, range }),
      });
      if (two) column.append(html("div", { class: "title" }, sides[s].title));
      column.append(
        legend(found.groups.map((group) => ({ look: group.look, label: `${group.label} (n = ${count(group.n)})` }))),
        chart.node,
      );
      const cut = cutWords({ ...found, top: shared ? top : found.top });
      if (cut) notes.push(cut);
      return chart;
    });
    charts.append(column);
    parts.hists = hists;
  }
  if (kind === "scores" || kind === "roc") {
    const curves = sides.flatMap((side, s) =>
      chosenColumns(side, state).slice(1).map(({ name, sorted }) => ({
        side: s,
        name,
        look: two && s ? { ...data.sets[name], dash: [2, 3] } : { ...data.sets[name], dash: [] },
        label: `${two ? `${side.title}, ` : ""}${labelOf(data, side.about, name)} (AUROC ${
          percent(side.answer.metrics[name].AUROC)
        })`,
        points: curve(side.answer.columns[ID].sorted, sorted),
      }))
    );
    const box = kind === "roc"
      ? { size, width: Math.min(width, 40 * size), height: 27 * size }
      : { size, width: beside ? Math.floor(width * 0.4) - 1.1 * size : width, height: 21 * size };
    parts.roc = roc({
      curves,
      box,
      words: "ROC curves",
      tell: hands.tell,
      drag: hands.drag,
      chosen: ([low, high]) => {
        const known = sides[0].answer.columns[ID].sorted; // thresholds that accept these shares of ID
        hands.chosen({
          by: "value",
          side: 0,
          range: [atShare(known, high), Math.min(atShare(known, low), known[known.length - 1])],
        });
      },
    });
    charts.append(html("div", { style: `width:${box.width}px` }, legend(curves), parts.roc.node));
    parts.curves = curves;
  }
  if (kind === "lines") {
    const panels = sides.map((side) => side.answer.panels[state.quantity] || Object.values(side.answer.panels)[0]);
    const curves = panels.flatMap((panel, s) =>
      panel.curves.map((line) => ({
        ...line,
        look: { ...sides[s].about, dash: two && s ? [...(line.dash.length ? line.dash : [8]), 2, 1, 2] : line.dash },
        label: `${sides[s].title}: ${line.label}`,
      }))
    );
    const flat = (k) => curves.flatMap(({ points }) => points.map((point) => point[k]));
    const span = (axis, k) => ({ low: Math.min(...flat(k)), high: Math.max(...flat(k)), ...axis });
    const diagonal = panels[0].diagonal ? [{ look: NO_LOOK, label: "calibrated", points: [[0, 0], [1, 1]] }] : [];
    const chart = lines({
      curves: [...diagonal, ...curves],
      x: span(panels[0].x, 0),
      y: span(panels[0].y, 1),
      box: { size, width: Math.min(width, 62 * size), height: 24 * size },
      words,
      tell: hands.tell,
    });
    charts.append(html("div", {}, legend(curves), chart.node));
  }
  if (kind === "matrix" || kind === "points") {
    const box = {
      size,
      width: Math.floor(two && !narrow ? width / 2 - size : Math.min(width, 52 * size)),
      height: 27 * size,
    };
    const flat = (side, axis) => side.answer.groups.flatMap((group) => [...group[axis]]);
    const span = (side, axis) => {
      const of = (state.axes === "shared" ? sides : [side]).flatMap((item) => flat(item, axis));
      return { low: of.reduce((a, b) => Math.min(a, b)), high: of.reduce((a, b) => Math.max(a, b)) };
    };
    parts.planes = sides.map((side, s) => {
      const called = (group) => (k) => (group.labels[k] < 0 ? "" : side.about.classes[group.labels[k]]);
      const groups = kind === "matrix"
        ? []
        : side.answer.groups.filter((group) => group.name === ID || state.ood.includes(group.name)).map((group) => ({
          look: look(data, side.about, group.name),
          label: labelOf(data, side.about, group.name),
          xs: group.x,
          ys: group.y,
          names: called(group),
        }));
      const zoomed = (
        axis,
      ) => (state.zoom && state.zoom[axis]
        ? { low: state.zoom[axis][0], high: state.zoom[axis][1] }
        : span(side, axis));
      const chart = kind === "matrix" ? matrix({ ...side.answer, box, words, tell: hands.tell }) : scatter({
        groups,
        x: { ...zoomed("x"), label: side.answer.label },
        y: { ...zoomed("y"), label: "" },
        box,
        words,
        tell: hands.tell,
        names: side.answer.marks,
        chosen: (range) => hands.chosen({ by: "plane", side: s, ...range }),
      });
      const marks = groups.length ? legend([...groups.map((group) => ({ ...group, mark: "point" }))]) : "";
      charts.append(
        html(
          "div",
          { style: `width:${box.width}px` },
          two ? html("div", { class: "title" }, side.title) : "",
          marks,
          chart.node,
        ),
      );
      return chart;
    });
  }
  if (kind === "compare") {
    const names = [ID, ...setsOf(sides[0].about, state).filter((name) => Object.hasOwn(sides[1].answer.columns, name))];
    const groups = names.map((name) => ({
      look: look(data, sides[0].about, name),
      label: labelOf(data, sides[0].about, name),
      xs: sides[0].answer.columns[name].values,
      ys: sides[1].answer.columns[name].values,
    }));
    const span = (side, axis) => {
      const [low, high] = state.zoom && state.zoom[axis]
        ? state.zoom[axis]
        : extent(names.map((name) => side.answer.columns[name].sorted));
      return { low, high, label: `${side.title} (${data.scores[side.score].label})` };
    };
    const at = thresholds(sides, state);
    parts.planes = [
      scatter({
        groups,
        x: span(sides[0], "x"),
        y: span(sides[1], "y"),
        limits: { x: at[0].threshold, y: at[1].threshold },
        box: { size, width: Math.min(width, 56 * size), height: 27 * size },
        words,
        tell: hands.tell,
        chosen: (range) => hands.chosen({ by: "plane", side: 0, ...range }),
      }),
    ];
    charts.append(html("div", {}, legend(groups.map((group) => ({ ...group, mark: "point" }))), parts.planes[0].node));
  }
  node.replaceChildren(charts, ...notes.map((text) => html("p", { class: "small" }, text)));
  const answer = { mark: () => {}, counts: null, values: null };
  answer.follow = (now) => {
    if (scored(kind)) {
      answer.values = thresholds(sides, now);
      answer.counts = counted(data, now, sides, answer.values);
      const shares = answer.counts.map(([known]) => known.accepted / known.n);
      if (parts.histograms) parts.histograms.forEach((chart, s) => chart.move(answer.values[s].threshold, shares[s]));
      if (parts.roc) {
        parts.roc.move(parts.curves.map(({ side, name }) => {
          const set = answer.counts[side].find((item) => item.name === name);
          return { fpr: set.accepted / set.n, tpr: shares[side] };
        }));
      }
    }
    answer.sentence = sentence(data, now, sides, answer.values, answer.counts, parts.hists);
  };
  answer.mark = () => {
    const chosen = state.selection;
    (parts.histograms || []).forEach((chart, s) =>
      chart.mark(chosen && chosen.by === "value" && chosen.side === s ? chosen.range : null)
    );
    (parts.planes || []).forEach((chart, s) =>
      chart.mark && chart.mark(chosen && chosen.by === "plane" && chosen.side === s ? chosen : null)
    );
  };
  if (kind === "scores") {
    parts.histograms.forEach((chart, s) => {
      if (mine[sides[s].network] !== undefined) chart.own(mine[sides[s].network]);
    });
  }
  answer.follow(state);
  answer.mark();
  return answer;
}

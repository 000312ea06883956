// Charts: one function a kind of picture. Each returns { node, move?, mark? }: move follows the threshold, mark a range.
import { count, number, percent } from "./numbers.js";
import { answers, canvasOf, colors, dashes, fill, html, lineOf, path, plot, spot, svg } from "./marks.js";

/** Return in which bin a value lies. */
const bin = (edges, value) => {
  let k = 0;
  while (k < edges.length - 2 && edges[k + 1] <= value) k += 1;
  return k;
};
/** Return the place of a value between other edges: of a score on an axis of ranks, or the score at a place there. */
const moved = (value, from, to) => {
  if (from === to) return value;
  const k = bin(from, value), share = (value - from[k]) / (from[k + 1] - from[k] || 1);
  return to[k] + Math.min(1, Math.max(0, share)) * (to[k + 1] - to[k]);
};

/** What makes a mark a slider, where step takes its keys; a picture with one in it is a group for screen readers. */
function slider(axes, step, label, low, high) {
  if (!step) return {};
  axes.node.setAttribute("role", "group");
  const named = { role: "slider", "aria-label": label, "aria-valuemin": low, "aria-valuemax": high };
  return { ...named, tabindex: 0, onkeydown: step };
}

/** Say where a slider stands; a value beyond the picture, exact in the data, lies at its end. */
function stands(node, value, words) {
  const [low, high] = ["min", "max"].map((end) => Number(node.getAttribute(`aria-value${end}`)));
  const now = Math.min(Math.max(value, low), high);
  fill(node, { "aria-valuenow": now, "aria-valuetext": words, "data-value": value });
}

/** The line of a threshold, which can be dragged and has the keys of a slider; place(px, value, share) moves it. */
function thresholdLine(axes, step, edges) {
  const { size, top, bottom, left, right } = axes, label = svg("text", { class: "label", y: top - 0.5 * size });
  const line = svg(
    "g",
    {
      class: "threshold",
      "aria-orientation": "horizontal",
      ...slider(axes, step, "Threshold", edges[0], edges.at(-1)),
    },
    svg("line", { y1: top, y2: bottom }),
    svg("rect", { x: -5, y: top - 0.35 * size, width: 10, height: 0.7 * size, rx: 3 }),
  );
  axes.body.append(line, label);
  return (at, value, share) => {
    line.setAttribute("transform", `translate(${at},0)`);
    stands(line, value, `score at least ${number(value, 4)}, accepts ${percent(share)} of ID`);
    const early = at < (left + right) / 2, room = early ? right - at : at - left;
    const accepts = `${percent(share)} of ID \u2192`, most = room / (0.56 * size); // letters
    const least = `${percent(share)} \u2192`;
    const texts = [`score \u2265 ${number(value)} accepts ${accepts}`, `accepts ${accepts}`, accepts];
    label.setAttribute("x", early ? at + 8 : at - 8);
    label.setAttribute("text-anchor", early ? "start" : "end");
    label.textContent = texts.find(({ length }) => length < most) || least;
  };
}

/** Histograms over shared bins, with a threshold where step is given. */
export function histogram(given) {
  const { edges, positions = edges, groups, x, top, box, words, tell, chosen = null, drag = null, step = null } = given;
  const axes = plot({ ...box, x, y: { low: 0, high: top, label: "density" }, words }), { px, py } = axes;
  const id = `clip-${Math.random().toString(36).slice(2)}`, [width, height] = [axes.right, axes.bottom];
  const inside = { x: axes.left, y: axes.top, width: width - axes.left, height: height - axes.top };
  const marks = svg("g", { "clip-path": `url(#${id})` });
  for (const { look, density } of groups) {
    const steps = density.map((value, k) =>
      `V${py(Math.min(value, 2 * top)).toFixed(1)}H${px(positions[k + 1]).toFixed(1)}`
    );
    const d = `M${px(positions[0]).toFixed(1)},${py(0)}${steps.join("")}V${py(0)}`;
    const style = `${colors(look)};fill-opacity:${look.fill}`;
    marks.append(svg("path", { class: "area", style, "stroke-dasharray": dashes(look), d }));
  }
  const said = ({ x: value }) => {
    const k = bin(positions, value),
      parts = groups.map((group) => `${group.label} ${count(group.counts[k])} (${percent(group.counts[k] / group.n)})`);
    return `${number(edges[k])} to ${number(edges[k + 1])}: ${parts.join(", ")}`;
  };
  const score = (value) => moved(value, positions, edges);
  const there = (value) => px(Math.min(Math.max(moved(value, edges, positions), x.low), x.high));
  const mine = svg("line", { class: "mine", y1: axes.top, y2: axes.bottom, transform: "translate(-1e4,0)" });
  axes.body.append(svg("clipPath", { id }, svg("rect", inside)), marks, mine);
  const place = step && thresholdLine(axes, step, edges);
  let at = null;
  answers(axes, {
    tell,
    said,
    moved: (_, place) => drag(score(place.x)),
    grabs: (pointed) => (place && Math.abs(pointed.px - at) < 9 ? "threshold" : null),
    chosen: chosen && (({ x: range }) => chosen(range.map(score))),
    clicked: chosen && (({ x: value }) => chosen(edges.slice(bin(positions, value)).slice(0, 2))),
  });
  return {
    node: axes.node,
    axes,
    mark: (range) => axes.show(range && { x: range.map((value) => moved(value, edges, positions)), y: null }),
    own: (value) => mine.setAttribute("transform", `translate(${value === null ? -1e4 : there(value)},0)`),
    move: (value, share) => {
      at = there(value);
      place(at, value, share);
    },
  };
}

/** Return the ends of the line of equal cost through the mean of some places, within the unit square. */
function equalCost(places, { accept_unknown: accept, reject_known: reject, share_unknown: share }) {
  const mean = (name) => places.reduce((total, place) => total + place[name], 0) / places.length;
  const [fpr, tpr] = [mean("fpr"), mean("tpr")], across = reject * (1 - share), up = accept * share;
  const ends = [-1, 1].map((way) => {
    // As far as the square reaches; a direction of nothing stays where it is.
    const room = [[fpr, across], [tpr, up]].map((
      [from, step],
    ) => (step ? (way > 0 ? 1 - from : from) / step : Infinity));
    const far = Math.min(...room);
    return Number.isFinite(far) ? [fpr + way * far * across, tpr + way * far * up] : [fpr, tpr];
  });
  return ends;
}

/** ROC curves of all sides and sets, with a point on each that can be dragged, and moved by keys where step is given. */
export function roc({ curves, equal = false, box, words, chosen, drag, tell, step = null }) {
  const axes = plot({
    ...box,
    words,
    x: { low: 0, high: 1, label: "OOD accepted (FPR)", percent: true },
    y: { low: 0, high: 1, label: "ID accepted (TPR)", percent: true },
  });
  axes.body.append(svg("path", { class: "grid", d: lineOf(axes, [[0, 0], [1, 1]]) }));
  const points = curves.map(({ look, points: all }) => {
    axes.body.append(path(axes, look, all.map(({ fpr, tpr }) => [fpr, tpr])));
    return spot(axes, look);
  });
  const line = svg("path", { class: "limit", visibility: equal ? "visible" : "hidden" });
  const movable = svg("g", slider(axes, step, "Point of the ROC curve", 0, 1), ...points.map(({ node }) => node));
  axes.body.append(line, movable);
  const far = (place, point) => Math.hypot(axes.px(point.fpr) - place.px, axes.py(point.tpr) - place.py);
  const nearest = (all, place) => all.reduce((found, point) => (far(place, point) < far(place, found) ? point : found));
  const held = [];
  answers(axes, {
    both: true,
    tell,
    chosen: chosen && (({ y }) => chosen(y)),
    grabs: (place) => {
      const k = held.findIndex((point) => far(place, point) < 12);
      return k < 0 ? null : { curve: curves[k] };
    },
    moved: ({ curve: { points: all, side } }, place) => {
      const point = nearest(all.slice(1), place);
      drag(point.threshold, side);
    },
    said: (place) =>
      curves.map(({ label, points: all }) => {
        const point = nearest(all, place);
        return `${label}: FPR ${percent(point.fpr)}, TPR ${percent(point.tpr)} at score \u2265 ${
          number(point.threshold)
        }`;
      }).join("; "),
  });
  return {
    node: axes.node,
    move: (places, costs = null) => {
      places.forEach((point, k) => {
        held[k] = point;
        points[k].at(point.fpr, point.tpr);
      });
      if (equal) line.setAttribute("d", lineOf(axes, equalCost(places, costs)));
      if (!step) return;
      const said = places.map(({ fpr, tpr }) => `FPR ${percent(fpr)}, TPR ${percent(tpr)}`);
      stands(movable, places[0].tpr, said.join("; "));
    },
  };
}

/** Lines over a common abscissa, such as epochs. */
export function lines({ curves, x, y, box, words, tell }) {
  const axes = plot({ ...box, x, y, words });
  for (const { look, points, dots } of curves) {
    axes.body.append(path(axes, look, points), ...(dots ? points : []).map((at) => spot(axes, look, at, 0.3).node));
  }
  const far = ([at], value) => Math.abs(at - value);
  const said = ({ x: value }) =>
    curves.map(({ label, points }) => {
      const [at, here] = points.reduce((found, point) => (far(point, value) < far(found, value) ? point : found));
      return `${label} ${number(here)} at ${number(at)}`;
    }).join("; ");
  answers(axes, { tell, said });
  return { node: axes.node, axes };
}

/** The cost per image at every threshold, as [threshold, cost]; the line of the held one can be dragged, and has keys. */
export function costs({ points, cheapest, x, box, words, drag, tell, step = null }) {
  const y = { low: 0, high: 1.08 * Math.max(...points.map(([, cost]) => cost)) || 1, label: "cost per image" };
  const axes = plot({ ...box, x, y, words });
  // Between two scores, a threshold decides as the higher one does.
  const steps = points.flatMap(([at, cost], k) => (k ? [[points[k - 1][0], cost], [at, cost]] : [[at, cost]]));
  const line = svg("line", { class: "limit", y1: axes.top, y2: axes.bottom });
  const point = svg("circle", {
    class: "chosen",
    r: 0.45 * axes.size,
    ...slider(axes, step, "Point of the cost curve", x.low, x.high),
  });
  const [cx, cy] = [axes.px(Math.min(cheapest[0], x.high)), axes.py(cheapest[1])];
  const title = svg("title", {}, "the cheapest threshold");
  const best = svg("circle", { class: "stop", cx, cy, r: 0.4 * axes.size }, title);
  axes.body.append(svg("path", { class: "way", d: lineOf(axes, steps) }), line, best, point);
  let held = null;
  answers(axes, {
    tell,
    grabs: (place) => (Math.abs(place.px - held) < 9 ? "threshold" : null),
    moved: (_, place) => drag(place.x),
    said: ({ x: value }) => {
      const found = points.find(([at]) => at >= value) || points[points.length - 1];
      return `score \u2265 ${number(value)} costs ${number(found[1])} per image`;
    },
  });
  return {
    node: axes.node,
    move: (threshold, cost) => {
      held = axes.px(Math.min(Math.max(threshold, x.low), x.high));
      for (const [name, value] of Object.entries({ x1: held, x2: held })) line.setAttribute(name, value);
      point.setAttribute("cx", held);
      point.setAttribute("cy", axes.py(cost));
      if (step) stands(point, threshold, `score at least ${number(threshold, 4)} costs ${number(cost)} per image`);
    },
  };
}

/** A square of distances, darker = nearer. */
export function matrix({ names, values, most, box, words, tell }) {
  const n = names.length,
    side = Math.min(box.width - 7 * box.size, box.height - 3 * box.size) / n,
    left = 6 * box.size;
  const node = canvasOf(box, words), letters = Math.max(1, Math.floor(side / (0.6 * box.size)));
  names.forEach((name, row) => {
    if (side > 0.9 * box.size) {
      const below = { x: left + (row + 0.5) * side, y: n * side + 1.2 * box.size, "text-anchor": "middle" };
      node.append(
        svg("text", { x: left - 5, y: (row + 0.65) * side, "text-anchor": "end" }, name.slice(0, 9)),
        svg("text", below, name.slice(0, letters)),
      );
    }
    names.forEach((other, column) => {
      const value = values[row * n + column];
      node.append(
        svg("rect", {
          class: "cell",
          x: left + column * side,
          y: row * side,
          width: side,
          height: side,
          "fill-opacity": 1 - 0.9 * (value / most),
          onpointermove: () => tell(`${name} \u2013 ${other}: ${number(value, 4)}`),
        }),
      );
    });
  });
  return { node };
}

/** Points in a plane on a canvas below the axes; a rectangle chooses some. Each group: { look, label, xs, ys, names }. */
export function scatter({ groups, x, y, box, words, chosen, tell, limits = false, names = [] }) {
  const axes = plot({ ...box, x, y, words }), canvas = html("canvas", { "aria-hidden": "true" });
  const ratio = globalThis.devicePixelRatio || 1;
  canvas.width = box.width * ratio;
  canvas.height = box.height * ratio;
  canvas.style.width = `${box.width}px`;
  canvas.style.height = `${box.height}px`;
  const holder = html("div", { class: "layers" }, canvas, axes.node);
  const paint = () => {
    const pen = canvas.getContext("2d"), dark = holder.closest(".dark") !== null;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.beginPath();
    pen.rect(axes.left, axes.top, axes.right - axes.left, axes.bottom - axes.top);
    pen.clip();
    for (const { look, xs, ys } of groups) {
      pen.fillStyle = dark ? look.dark : look.color;
      pen.globalAlpha = xs.length > 2000 ? 0.35 : 0.65;
      for (let k = 0; k < xs.length; k += 1) {
        pen.beginPath();
        pen.arc(axes.px(xs[k]), axes.py(ys[k]), 2, 0, 7);
        pen.fill();
      }
    }
  };
  requestAnimationFrame(paint);
  for (const { x: at, y: height, text } of names) {
    axes.body.append(
      svg("path", {
        class: "cross",
        transform: `translate(${axes.px(at)},${axes.py(height)})`,
        d: "M-5,-5L5,5M-5,5L5,-5",
      }),
      svg("text", { class: "name", x: axes.px(at) + 7, y: axes.py(height) + 4 }, text),
    );
  }
  const lines = limits ? [svg("path", { class: "limit" }), svg("path", { class: "limit" })] : [];
  axes.body.append(...lines);
  const said = (place) => {
    let found = "", least = 144;
    for (const { label, xs, ys, names: called } of groups) {
      for (let k = 0; k < xs.length; k += 1) {
        const away = (axes.px(xs[k]) - place.px) ** 2 + (axes.py(ys[k]) - place.py) ** 2;
        if (away < least) {
          [least, found] = [away, `${label}${called ? ` ${called(k)}` : ""}: ${number(xs[k])}, ${number(ys[k])}`];
        }
      }
    }
    return found;
  };
  answers(axes, { both: true, tell, said, chosen });
  return {
    node: holder,
    mark: (range) => axes.show(range),
    move: ([across, up]) => {
      lines[0].setAttribute("d", lineOf(axes, [[across, y.low], [across, y.high]]));
      lines[1].setAttribute("d", lineOf(axes, [[x.low, up], [x.high, up]]));
    },
  };
}

// Moons: a network trained in the page on points that can be dragged; its scores over the plane and over its features.
import { accepted, atShare, number, percent } from "../numbers.js";
import { ARROWS, button, chooser, html } from "../marks.js";
import { judged } from "./network.js";
import { lengthOf, toyNetwork, toyTraining } from "./toy.js";

const GRID = 61, PLOT = { input: "Input: drag a point", features: "Features: drag a prototype" };
const KEY = [
  "Circles and squares: the two moons. Crosses: unknown points, which no network is trained on. Stars: prototypes (SoftMax: class means, which follow the features).",
  "Bright: high score, known, as the network says. White line: where its decision changes.",
  "A point that is moved trains the network anew; a prototype that is moved changes the surface at once.",
  "With the keyboard: n and shift n choose, arrows move, shift and arrows choose what lies there.",
];
// Cividis, dark = low; from Matplotlib's table at equal steps.
const CIVIDIS = [
  [0, 34, 78],
  [18, 53, 112],
  [59, 73, 108],
  [87, 93, 109],
  [112, 113, 115],
  [138, 134, 120],
  [165, 156, 116],
  [194, 178, 104],
  [225, 204, 84],
  [254, 232, 56],
];
const CLASS_MARKS = ["circle", "square"];
const PATHS = {
  circle: (pen, x, y, size) => pen.arc(x, y, size, 0, 7),
  square: (pen, x, y, size) => pen.rect(x - size, y - size, 2 * size, 2 * size),
  cross: (pen, x, y, size) => {
    for (const way of [-1, 1]) {
      pen.moveTo(x - size, y - way * size);
      pen.lineTo(x + size, y + way * size);
    }
  },
  star: (pen, x, y, size) => {
    for (let k = 0; k < 10; k += 1) {
      const radius = k % 2 ? size / 2.4 : size, angle = (Math.PI * k) / 5 - Math.PI / 2;
      pen.lineTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
    }
    pen.closePath();
  },
};
// Strokes one over the other, as [colour, width]; what is filled is white.
const STROKES = {
  circle: [["#000", 1]],
  square: [["#000", 1]],
  star: [["#000", 2]],
  cross: [["#fff", 3], ["#b34700", 1.5]],
  line: [["#4d4d4d", 4], ["#fff", 2.2]],
  ring: [["#fff", 5], ["#000", 2.5]],
};

function shadeOf(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (CIVIDIS.length - 1), k = Math.floor(at), t = at - k;
  return CIVIDIS[k].map((value, c) => Math.round(value + t * (CIVIDIS[k + 1][c] - value)));
}

function stroke(pen, kind) {
  for (const [color, width] of STROKES[kind]) {
    [pen.strokeStyle, pen.lineWidth] = [color, width];
    pen.stroke();
  }
}

function mark(pen, x, y, kind, size) {
  pen.beginPath();
  PATHS[kind](pen, x, y, size);
  pen.fillStyle = "#fff";
  if (kind !== "cross") pen.fill();
  stroke(pen, kind);
}

/** Draw where the first of two logits falls behind the second: through every square of the grid, straight. */
function boundary(pen, margins, step) {
  pen.beginPath();
  for (let k = 0; k < GRID * (GRID - 1); k += 1) {
    if (k % GRID === GRID - 1) continue;
    const corners = [k, k + 1, k + GRID + 1, k + GRID];
    const cuts = corners.flatMap((one, c) => {
      const other = corners[(c + 1) % 4], share = margins[one] / (margins[one] - margins[other]);
      if (margins[one] < 0 === margins[other] < 0) return [];
      const place = (from, to) => step * (from + share * (to - from) + 0.5);
      return [[place(one % GRID, other % GRID), place(Math.floor(one / GRID), Math.floor(other / GRID))]];
    });
    cuts.forEach(([x, y], c) => (c % 2 ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  }
  stroke(pen, "line");
}

/** Return the number of the item that lies next in a direction; where there is none, that of the item itself. */
function towards(items, from, by) {
  let found = items.indexOf(from), least = Infinity;
  items.forEach(({ x, y }, k) => {
    const [dx, dy] = [x - from.x, y - from.y], along = dx * by[0] + dy * by[1], away = Math.hypot(dx, dy);
    if (along > 0.7 * away && away < least) [found, least] = [k, away];
  });
  return Math.max(0, found);
}

/** Show the network in training. toy: { points, labels, unknown, classes }; losses, scores: what is known of each. */
export function moons(element, { toy, losses, scores, offered, state: { moved, ...state }, changed = (_now) => {} }) {
  const planes = {}, chosen = { input: -1, features: -1 };
  let points = toy.points.map((point, k) => [...(moved[k] || point)]),
    trained = null,
    running = 0,
    epoch = 0,
    held_ = null;
  const words = html("p", { role: "status", "aria-live": "polite" }),
    hover = html("p", { class: "hover" }),
    bar_ = html("progress", { max: 40, value: 0, "aria-label": "Epochs trained" });
  const titles = Object.fromEntries(Object.keys(PLOT).map((name) => [name, html("figcaption", {}, PLOT[name])]));
  const canvases = Object.fromEntries(
    Object.entries(PLOT).map((
      [name, title],
    ) => [
      name,
      html("canvas", {
        class: "plane",
        role: "application",
        tabindex: 0,
        "aria-label": `${title}. Keys: n and shift n choose one, arrows move it`,
      }),
    ]),
  );

  function train() {
    const mine = (running += 1),
      network = toyNetwork(state.loss, toy.classes.length, state.seed),
      steps = toyTraining(network, points, toy.labels, { seed: state.seed });
    trained = network;
    const go = () => {
      if (mine !== running) return;
      const end = performance.now() + 40;
      let done = false;
      while (!done && performance.now() < end) {
        const next = steps.next();
        done = next.done;
        if (!done) epoch = Number(next.value);
      }
      bar_.value = epoch;
      paint();
      if (!done) setTimeout(go);
      else say();
    };
    epoch = 0;
    words.textContent = `${losses[state.loss].label} is being trained\u2026`;
    delete element.dataset.epochs;
    go();
  }
  function say() {
    const right = toy.test.filter((point, k) => {
      const { logits } = trained.at(trained.feature(point));
      return logits.indexOf(Math.max(...logits)) === toy.testLabels[k];
    }).length;
    const of = (all) =>
      Float32Array.from(all, (point) => judged(trained.at(trained.feature(point))).scores[state.score]).sort();
    const known = of(toy.test), unknown = of(toy.unknown), at = atShare(known, 0.95);
    words.textContent = `${losses[state.loss].label} after ${epoch} epochs: ${
      percent(right / toy.test.length)
    } of the test points right; at 95\u00a0% of them accepted, ${scores[state.score].label} rejects ${
      percent(1 - accepted(unknown, at) / unknown.length)
    } of the unknown points (crosses).`;
    element.dataset.epochs = epoch;
    changed({
      ...state,
      moved: Object.fromEntries(
        Object.entries(points).filter(([k, [x, y]]) => x !== toy.points[k][0] || y !== toy.points[k][1]),
      ),
    });
  }

  const movable = (name) =>
    planes[name].marks.filter(({ index, prototype }) =>
      name === "input" ? index !== undefined : prototype !== undefined && state.loss !== "softmax"
    );
  /** @returns {number[]} */
  const bounds = (all) => {
    const flat = all.flat(), low = Math.min(...flat), high = Math.max(...flat), room = 0.12 * (high - low || 1);
    return [low - room, high + room];
  };
  /** Paint a plane: the score as a shade, the boundary between classes as a line, points and prototypes over it. */
  function plane(name, at, marks, limits) {
    const [low, high] = limits;
    const canvas = canvases[name],
      side = canvas.clientWidth || 300,
      ratio = globalThis.devicePixelRatio || 1,
      pen = canvas.getContext("2d"),
      image = new ImageData(GRID, GRID),
      values = [],
      margins = [];
    for (let k = 0; k < GRID * GRID; k += 1) {
      const said = at([
        low + ((high - low) * ((k % GRID) + 0.5)) / GRID,
        high - ((high - low) * (Math.floor(k / GRID) + 0.5)) / GRID,
      ]);
      values.push(judged(said).scores[state.score]);
      margins.push(said.logits[0] - said.logits[1]);
    }
    const [least, most] = [Math.min(...values), Math.max(...values)];
    values.forEach((value, k) => image.data.set([...shadeOf((value - least) / (most - least || 1)), 255], 4 * k));
    [canvas.width, canvas.height] = [side * ratio, side * ratio];
    const small = new OffscreenCanvas(GRID, GRID);
    small.getContext("2d").putImageData(image, 0, 0);
    pen.drawImage(small, 0, 0, canvas.width, canvas.height);
    pen.scale(ratio, ratio);
    const px = (x) => (side * (x - low)) / (high - low), py = (y) => side - px(y);
    boundary(pen, margins, side / GRID);
    for (const { x, y, kind, size } of marks) mark(pen, px(x), py(y), kind, size);
    planes[name] = { at, low, high, marks, side };
    const item = movable(name)[chosen[name]];
    if (!item) return;
    pen.beginPath();
    pen.arc(px(item.x), py(item.y), item.size + 6, 0, 7);
    stroke(pen, "ring");
  }
  function paint() {
    const { loss, head: { prototypes } } = trained,
      features = points.map((point) => [...trained.feature(point)]),
      far = toy.unknown.map((point) => [...trained.feature(point)]);
    const around = loss === "softmax" ? trained.means : prototypes,
      stars = toy.classes.map((name, j) => ({
        x: around[2 * j],
        y: around[2 * j + 1],
        kind: "star",
        size: 11,
        prototype: j,
        label: `Prototype (${name})`,
      }));
    const dot = (all) =>
      all.map(([x, y], index) => {
        const label = `Point (${toy.classes[toy.labels[index]]})`;
        return { x, y, kind: CLASS_MARKS[toy.labels[index]], size: 3, index, label };
      });
    const cross = (all) => all.map(([x, y]) => ({ x, y, kind: "cross", size: 4 }));
    plane(
      "input",
      (point) => trained.at(trained.feature(point)),
      [...cross(toy.unknown), ...dot(points)],
      held_ ? [planes.input.low, planes.input.high] : bounds([...points, ...toy.unknown]),
    );
    const onUnit = loss === "isomax+",
      placed = onUnit
        ? [
          stars.map(({ x, y, ...more }) => ({ ...more, x: x / lengthOf(x, y), y: y / lengthOf(x, y) })),
          features.map(([x, y]) => [x / lengthOf(x, y), y / lengthOf(x, y)]),
          far.map(([x, y]) => [x / lengthOf(x, y), y / lengthOf(x, y)]),
        ]
        : [stars, features, far];
    plane(
      "features",
      trained.at,
      [...cross(placed[2]), ...dot(placed[1]), ...placed[0]],
      held_
        ? [planes.features.low, planes.features.high]
        : onUnit
        ? [-1.55, 1.55]
        : bounds([...placed[1], ...placed[0].map(({ x, y }) => [x, y])]),
    );
    const { low, high } = planes.features,
      outside = placed[2].filter((place) => Math.min(...place) < low || Math.max(...place) > high).length;
    const title = loss === "softmax" ? "Features and their class means" : PLOT.features;
    titles.features.textContent = `${title}${onUnit ? "; all at length 1" : ""}${
      outside ? `; ${outside} ${outside === 1 ? "cross lies" : "crosses lie"} outside` : ""
    }`;
  }

  for (const [name, canvas] of Object.entries(canvases)) {
    const place = (event) => {
      const box = canvas.getBoundingClientRect(), { low, high } = planes[name];
      const share = (part) => Math.min(1, Math.max(0, part));
      return [
        low + (high - low) * share((event.clientX - box.left) / box.width),
        high - (high - low) * share((event.clientY - box.top) / box.height),
      ];
    };
    const grabbed = (at) => {
      const [x, y] = at;
      const { low, high, side } = planes[name], reach = (14 * (high - low)) / side;
      const found = movable(name).map((item) => [Math.hypot(item.x - x, item.y - y), item]);
      const [away, item] = found.sort(([one], [other]) => one - other)[0] || [Infinity];
      return away < reach ? item : null;
    };
    const take = (item) => {
      held_ = item;
      chosen[name] = movable(name).indexOf(item);
      running += 1; // what is being trained stops
    };
    const carry = (to) => {
      if (name === "input") points[held_.index] = to;
      else [trained.head.prototypes[2 * held_.prototype], trained.head.prototypes[2 * held_.prototype + 1]] = to;
      paint();
    };
    const release = () => {
      if (!held_) return;
      held_ = null;
      if (name === "input") return train();
      paint();
      return say();
    };
    canvas.addEventListener("pointerdown", (event) => {
      const item = grabbed(place(event));
      if (!item) return;
      take(item);
      canvas.setPointerCapture(event.pointerId);
    });
    // A finger that holds nothing scrolls the page: on a phone the planes are as wide as the screen.
    canvas.addEventListener("touchstart", (event) => held_ && event.preventDefault(), { passive: false });
    canvas.addEventListener("pointermove", (event) => {
      const at = place(event);
      if (held_) {
        carry(at);
        return;
      }
      const { probabilities, scores: all } = judged(planes[name].at(at)),
        j = probabilities.indexOf(Math.max(...probabilities));
      canvas.style.cursor = grabbed(at) ? "grab" : "crosshair";
      hover.textContent = `${toy.classes[j]}, p = ${percent(probabilities[j])}; ${
        offered.score.map((key) => `${scores[key].label} ${number(all[key])}`).join(", ")
      }`;
    });
    canvas.addEventListener("pointerleave", () => hover.replaceChildren());
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, release);
    canvas.addEventListener("blur", () => {
      chosen[name] = -1;
      paint();
    });
    canvas.addEventListener("keydown", (event) => {
      const all = movable(name), now = all[chosen[name]], by = ARROWS[event.key], back = event.shiftKey;
      const { low, high } = planes[name],
        step = (high - low) / 40,
        middle = { x: (low + high) / 2, y: (low + high) / 2 };
      if (!by && event.key.toLowerCase() !== "n") return;
      event.preventDefault();
      if (!all.length) {
        words.textContent = "SoftMax has no prototypes to move: the stars are class means.";
      } else if (by && now && !back) {
        take(now);
        carry([now.x + by[0] * step, now.y + by[1] * step]);
        release();
      } else {
        const next = by ? towards(all, now || middle, by) : (Math.max(chosen[name], back ? 0 : -1) + (back ? -1 : 1));
        chosen[name] = (next + all.length) % all.length;
        paint();
        const { x, y, label } = all[chosen[name]];
        words.textContent = `${label} at ${number(x)}, ${number(y)} is chosen (${
          chosen[name] + 1
        } of ${all.length}): arrows move it, shift and arrows choose another.`;
      }
    });
  }

  const choose = (title, name, labels, then) =>
    chooser(title, name, offered[name].map((key) => [key, labels[key].label]), state[name], (value) => {
      state[name] = value;
      then();
    });
  const seeds = html("input", {
    type: "number",
    min: 0,
    max: 999,
    step: 1,
    value: state.seed,
    "aria-label": "Seed",
    onchange: () => {
      state.seed = Math.max(0, Math.floor(seeds.valueAsNumber || 0));
      train();
    },
  });
  element.replaceChildren(
    html(
      "div",
      { class: "tabs" },
      choose("Loss", "loss", losses, train),
      choose("Score", "score", scores, () => {
        paint();
        say();
      }),
      html("label", {}, "Seed ", seeds),
      button("train again", train),
      button("points back", () => {
        points = toy.points.map((point) => [...point]);
        train();
      }),
      bar_,
    ),
    words,
    html(
      "div",
      { class: "planes" },
      Object.entries(canvases).map(([name, canvas]) => html("figure", {}, titles[name], canvas)),
      html("div", { class: "small" }, KEY.map((text) => html("p", {}, text))),
    ),
    hover,
  );
  train();
  const stop = () => running += 1;
  return {
    train,
    stop,
    repaint: () => trained && paint(),
    state: () => ({ ...state, points }),
    network: () => trained,
  };
}

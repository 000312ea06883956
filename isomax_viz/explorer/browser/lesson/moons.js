// Moons: a network trained in the page on points that can be dragged; its scores over the plane and over its features.
import { accepted, atShare, number, percent } from "../numbers.js";
import { html } from "../marks.js";
import { judged } from "./network.js";
import { lengthOf, START_OF_HEAD, toyNetwork, toyTraining } from "./toy.js";
const GRID = 61, PLOT = { input: "Input: drag a point", features: "Features: drag a prototype" };
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
const CLASS_MARKS = ["circle", "square", "triangle"];

function shadeOf(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (CIVIDIS.length - 1), k = Math.floor(at), t = at - k;
  return CIVIDIS[k].map((value, c) => Math.round(value + t * (CIVIDIS[k + 1][c] - value)));
}

/** Show the network in training. toy: { points, labels, unknown, classes }; losses: what is known of each loss. */
export function moons(element, { toy, losses, scores, state: wanted = {}, changed = (_now) => {} }) {
  const { moved, ...state } = { loss: "isomax+", score: "mds", seed: 0, moved: {}, ...wanted }, planes = {};
  if (!Object.hasOwn(START_OF_HEAD, state.loss)) state.loss = "isomax+";
  if (!Object.hasOwn(scores, state.score)) state.score = "mds";
  let points = toy.points.map((point, k) => [...(moved[k] || point)]),
    trained = null,
    running = 0,
    epoch = 0,
    held_ = null;
  const words = html("p", { role: "status", "aria-live": "polite" }),
    hover = html("p", { class: "hover" }),
    bar_ = html("progress", { max: 40, value: 0, "aria-label": "Epochs trained" });
  const canvases = Object.fromEntries(
    Object.entries(PLOT).map((
      [name, title],
    ) => [name, html("canvas", { class: "plane", role: "img", tabindex: 0, "aria-label": title })]),
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

  /** @returns {number[]} */
  const bounds = (all) => {
    const flat = all.flat(), low = Math.min(...flat), high = Math.max(...flat), room = 0.12 * (high - low || 1);
    return [low - room, high + room];
  };
  /** Paint a plane: the score as a shade, the boundary between classes as a light line, points and prototypes over it. */
  function plane(name, at, marks, limits) {
    const [low, high] = limits;
    const canvas = canvases[name],
      side = canvas.clientWidth || 300,
      ratio = globalThis.devicePixelRatio || 1,
      pen = canvas.getContext("2d"),
      image = new ImageData(GRID, GRID),
      values = [],
      best_ = [];
    for (let k = 0; k < GRID * GRID; k += 1) {
      const said = at([
        low + ((high - low) * ((k % GRID) + 0.5)) / GRID,
        high - ((high - low) * (Math.floor(k / GRID) + 0.5)) / GRID,
      ]);
      values.push(judged(said).scores[state.score]);
      best_.push(said.logits.indexOf(Math.max(...said.logits)));
    }
    const [least, most] = [Math.min(...values), Math.max(...values)];
    values.forEach((value, k) => {
      const edge = (k % GRID && best_[k] !== best_[k - 1]) || (k >= GRID && best_[k] !== best_[k - GRID]);
      image.data.set([...(edge ? [255, 255, 255] : shadeOf((value - least) / (most - least || 1))), 255], 4 * k);
    });
    [canvas.width, canvas.height] = [side * ratio, side * ratio];
    const small = new OffscreenCanvas(GRID, GRID);
    small.getContext("2d").putImageData(image, 0, 0);
    pen.drawImage(small, 0, 0, canvas.width, canvas.height);
    pen.scale(ratio, ratio);
    const px = (x) => (side * (x - low)) / (high - low), py = (y) => side - px(y);
    for (const { x, y, kind, size } of marks) mark(pen, px(x), py(y), kind, size);
    planes[name] = { at, low, high, marks, side, least, most };
  }
  function mark(pen, x, y, kind, size) {
    [pen.strokeStyle, pen.fillStyle, pen.lineWidth] = ["#000", "#fff", kind === "star" ? 2 : 1];
    pen.beginPath();
    if (kind === "circle") pen.arc(x, y, size, 0, 7);
    else if (kind === "square") pen.rect(x - size, y - size, 2 * size, 2 * size);
    else if (kind === "triangle") {
      pen.moveTo(x, y - size);
      pen.lineTo(x + size, y + size);
      pen.lineTo(x - size, y + size);
      pen.closePath();
    } else if (kind === "cross") {
      pen.moveTo(x - size, y - size);
      pen.lineTo(x + size, y + size);
      pen.moveTo(x - size, y + size);
      pen.lineTo(x + size, y - size);
      pen.lineWidth = 3;
      pen.strokeStyle = "#fff";
      pen.stroke();
      pen.lineWidth = 1.5;
      pen.strokeStyle = "#b34700";
    } else {
      for (let k = 0; k < 10; k += 1) {
        const radius = k % 2 ? size / 2.4 : size, angle = (Math.PI * k) / 5 - Math.PI / 2;
        pen.lineTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
      }
      pen.closePath();
    }
    if (kind !== "cross") pen.fill();
    pen.stroke();
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
        name,
      }));
    const dot = (all, offset = 0) =>
      all.map(([x, y], k) => ({ x, y, kind: CLASS_MARKS[toy.labels[k]], size: 3, index: k + offset }));
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
      const { marks, low, high, side } = planes[name],
        reach = (14 * (high - low)) / side,
        wanted_ = marks.filter((
          { prototype, index },
        ) => (name === "input" ? index !== undefined : prototype !== undefined && state.loss !== "softmax"));
      const found = wanted_.map((item) => [Math.hypot(item.x - x, item.y - y), item]).sort((a, b) => a[0] - b[0])[0];
      return found && found[0] < reach ? found[1] : null;
    };
    const carry = (to) => {
      const [x, y] = to;
      if (held_.prototype === undefined) points[held_.index] = [x, y];
      else [trained.head.prototypes[2 * held_.prototype], trained.head.prototypes[2 * held_.prototype + 1]] = [x, y];
      paint();
    };
    const release = () => {
      if (!held_) return;
      const point = held_.prototype === undefined;
      held_ = null;
      if (point) train();
      else {
        paint();
        say();
      }
    };
    canvas.addEventListener("pointerdown", (event) => {
      held_ = grabbed(place(event));
      if (held_) {
        running += 1;
        canvas.setPointerCapture(event.pointerId);
        event.preventDefault();
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = place(event);
      if (held_) {
        carry(at);
        return;
      }
      const said = planes[name].at(at),
        { probabilities, scores: all } = judged(said),
        j = probabilities.indexOf(Math.max(...probabilities));
      canvas.style.cursor = grabbed(at) ? "grab" : "crosshair";
      hover.textContent = `${toy.classes[j]}, p = ${percent(probabilities[j])}; ${
        Object.entries(scores).map(([key, { label }]) => `${label} ${number(all[key])}`).join(", ")
      }`;
    });
    canvas.addEventListener("pointerup", release);
    let chosen = -1;
    canvas.addEventListener("keydown", (event) => { // n: the next point or prototype; arrows move it
      const movable = planes[name].marks.filter((
          { prototype, index },
        ) => (name === "input" ? index !== undefined : prototype !== undefined && state.loss !== "softmax")
        ),
        step = (planes[name].high - planes[name].low) / 40;
      if (event.key === "n" && movable.length) {
        chosen = (chosen + 1) % movable.length;
        hover.textContent = `${name === "input" ? "Point" : "Prototype"} ${
          chosen + 1
        } of ${movable.length} is chosen: the arrow keys move it.`;
        return;
      }
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key],
        item = movable[chosen];
      if (!by || !item) return;
      event.preventDefault();
      held_ = item;
      running += 1;
      carry([item.x + by[0] * step, item.y + by[1] * step]);
      release();
    });
  }

  const choose = (title, name, options) =>
    html(
      "label",
      {},
      `${title} `,
      html("select", {
        name,
        onchange: (event) => {
          state[name] = options[event.target.selectedIndex][0];
          if (name === "score") {
            paint();
            say();
          } else train();
        },
      }, options.map(([key, text]) => html("option", { selected: key === state[name] }, text))),
    );
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
      choose("Loss", "loss", Object.keys(START_OF_HEAD).map((key) => [key, losses[key].label])),
      choose("Score", "score", Object.entries(scores).map(([key, { label }]) => [key, label])),
      html("label", {}, "Seed ", seeds),
      html("button", { type: "button", onclick: train }, "train again"),
      html("button", {
        type: "button",
        onclick: () => {
          points = toy.points.map((point) => [...point]);
          train();
        },
      }, "points back"),
      bar_,
    ),
    words,
    html(
      "div",
      { class: "planes" },
      Object.entries(canvases).map(([name, canvas]) => html("figure", {}, html("figcaption", {}, PLOT[name]), canvas)),
    ),
    hover,
    html(
      "p",
      { class: "small" },
      "Bright = high score = known, as the network says; white line = where its decision changes; stars = prototypes (SoftMax: class means, which follow the features). A point that is moved trains the network anew; a prototype that is moved changes the surface at once. With the keyboard: n chooses, the arrow keys move.",
    ),
  );
  train();
  return { train, repaint: () => trained && paint(), state: () => ({ ...state, points }), network: () => trained };
}

// Lab: the teaching lab's views and the watched training. Panels follow controls; most changes need no kernel.
import { count, densityTop } from "./numbers.js";
import { source } from "./source.js";
import { button, canvasOf, html, legend, renew, row, spot, svg, table, titleOf } from "./marks.js";
import { histogram } from "./charts.js";
import { linesOf, tallOf } from "./stage.js";
import { dress, onLook } from "./surroundings.js";

/** Return what a state shows of a part: one of its frames, where it has one for each value of a setting. */
function framed(part, state, controls) {
  if (!part.by) return part;
  const { options } = controls.find(({ name }) => name === part.by);
  return part.frames[options.findIndex(([value]) => value === state[part.by])];
}

/** Return the value of a curve between its points. */
function between(points, x, place) {
  const next = Math.min(points.length - 1, Math.max(1, points.findIndex(([at]) => at >= x)));
  const [[x0, y0], [x1, y1]] = [points[next - 1], points[next]];
  const share = (place(x) - place(x0)) / (place(x1) - place(x0));
  return y0 + Math.min(1, Math.max(0, share)) * (y1 - y0);
}

/** Mark named places along the abscissa, and the chosen one with its point on every curve. */
function markAlong({ axes }, { curves = [], at = null, marks = [] }, state = {}) {
  const upright = (x, cls) =>
    svg("line", { class: cls, x1: axes.px(x), x2: axes.px(x), y1: axes.top, y2: axes.bottom });
  const inside = marks.filter(([x]) => x >= axes.x.low && x <= axes.x.high);
  inside.sort(([one], [two]) => one - two).forEach(([x, name], k) => {
    const near = k > 0 && axes.px(x) - axes.px(inside[k - 1][0]) < 5 * axes.size;
    const place = { x: axes.px(x), y: axes.top - (near ? 1.1 : 0.1) * axes.size, "text-anchor": "middle" };
    axes.body.append(upright(x, "reference"), svg("text", { class: "label", ...place }, name));
  });
  if (!at) return;
  axes.body.append(upright(state[at], "limit"));
  for (const { look, points } of curves) {
    axes.body.append(spot(axes, look, [state[at], between(points, state[at], axes.px)]).node);
  }
}

function linesPanel(panel, { box, words, tell, state }) {
  const curves = panel.curves.map((curve) => ({ ...curve, look: curve }));
  const chart = linesOf(panel, curves, { box, words, tell });
  markAlong(chart, { ...panel, curves }, state);
  return html("div", {}, legend(curves), chart.node);
}

function histogramPanel({ edges, groups, label, marks }, { box, words, tell }) {
  const drawn = groups.map((group) => ({ ...group, counts: group.count }));
  const x = { low: edges[0], high: edges[edges.length - 1], label };
  const chart = histogram({ edges, groups: drawn, x, top: densityTop(drawn), box, words, tell });
  markAlong(chart, { marks });
  const named = ({ label: name, n, detected }) => `${name} (n = ${count(n)})${detected ? `: ${detected}` : ""}`;
  return html("div", {}, legend(drawn.map((group) => ({ look: group.look, label: named(group) }))), chart.node);
}

const HEIGHT = Math.sqrt(3) / 2; // of a triangle with sides of length 1

/** Shade the doubt at every place of the triangle: darker where the three probabilities are more alike. */
function shadeDoubt(canvas, { left, bottom, side }, color) {
  const pen = canvas.getContext("2d"), image = pen.createImageData(canvas.width, canvas.height);
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16));
  const part = (p) => (p > 0 ? -p * Math.log(p) : 0);
  for (let row = 0, k = 0; row < canvas.height; row += 1) {
    for (let column = 0; column < canvas.width; column += 1, k += 4) {
      const p2 = (bottom - row) / (HEIGHT * side), p1 = (column - left) / side - p2 / 2, p0 = 1 - p1 - p2;
      if (p0 < 0 || p1 < 0 || p2 < 0) continue;
      const doubt = (part(p0) + part(p1) + part(p2)) / Math.log(3);
      image.data.set([red, green, blue, 20 + 170 * doubt], k);
    }
  }
  pen.putImageData(image, 0, 0);
}

const SHADES = new WeakMap();

/** Return the shaded triangle of a view, drawn anew only where its size or the theme have changed. */
function shaded(root, place) {
  const color = getComputedStyle(root).getPropertyValue("--brand").trim(), key = JSON.stringify([place, color]);
  if (SHADES.get(root)?.key !== key) {
    const canvas = html("canvas", { width: place.width, height: place.height, "aria-hidden": "true" });
    shadeDoubt(canvas, place, color);
    SHADES.set(root, { key, canvas });
  }
  return SHADES.get(root).canvas;
}

/** The way of one sample over the probabilities of three classes; each point is (scale, p0, p1, p2). */
function simplexPanel({ points, at, marks }, { box, words, state, root }) {
  const { size, width, height } = box, side = Math.min(width - 9 * size, (height - 5 * size) / HEIGHT);
  const left = (width - side) / 2, bottom = height - 2.4 * size;
  const place = ([, , p1, p2]) => [left + side * (p1 + p2 / 2), bottom - side * HEIGHT * p2];
  const find = (scale) =>
    points.reduce((found, point) => (Math.abs(point[0] - scale) < Math.abs(found[0] - scale) ? point : found));
  const node = canvasOf(box, words);
  const canvas = shaded(root, { width, height, left, bottom, side });
  node.append(svg("path", { class: "way", d: points.map((point, k) => `${k ? "L" : "M"}${place(point)}`).join("") }));
  const corner = (text, p, anchor, down) => {
    const [x, y] = place([0, p[0], p[1], p[2]]);
    node.append(svg("text", { class: "label", x, y: y + down * size, "text-anchor": anchor }, text));
  };
  corner("class 0 (correct)", [1, 0, 0], "middle", 1.5);
  corner("class 1", [0, 1, 0], "middle", 1.5);
  corner("class 2", [0, 0, 1], "middle", -0.6);
  for (const [scale, name] of marks) {
    const [cx, cy] = place(find(scale)), way = cx < width / 2 ? -1 : 1, anchor = way < 0 ? "end" : "start";
    const beside = { class: "label", x: cx + 0.7 * way * size, y: cy - 0.4 * size, "text-anchor": anchor };
    node.append(svg("circle", { class: "stop", cx, cy, r: 0.35 * size }), svg("text", beside, name));
  }
  const [x, y] = place(find(state[at]));
  node.append(svg("circle", { class: "chosen", cx: x, cy: y, r: 0.55 * size }));
  return html(
    "div",
    {},
    html("div", { class: "small" }, "darker: more doubt; orange: the chosen scale"),
    html("div", { class: "layers" }, canvas, node),
  );
}

function tablePanel({ head, rows, at }, { state }) {
  const current = (of) => (of === state[at] ? { "aria-current": "true" } : {});
  const body = rows.map(({ of, cells: [name, ...cells] }) => row(name, cells, current(of)));
  return html("div", { class: "scroll whole" }, table(head, body));
}

function picturePanel(panel, { words }) {
  const src = URL.createObjectURL(new Blob([panel.png], { type: "image/png" }));
  return html("div", { class: "whole" }, html("img", { class: "plate", src, alt: words }));
}
const withdraw = (node) => node.querySelectorAll("img.plate").forEach(({ src }) => URL.revokeObjectURL(src));

const LAB_PANELS = {
  lines: linesPanel,
  histogram: histogramPanel,
  simplex: simplexPanel,
  table: tablePanel,
  picture: picturePanel,
  words: ({ text }) => html("p", {}, text),
};

/** A control as { node, set(value) }; it tells of a choice through take(value). */
function labControl({ name, label, tooltip, options, kind, play }, take) {
  if (options.length < 2) return { node: null, set: () => {} };
  const legendOf = html("legend", { title: tooltip }, label), group = `${name}-${Math.random().toString(36).slice(2)}`;
  if (kind === "slider") {
    const said = html("output", { class: "small" });
    const slider = html("input", {
      type: "range",
      name,
      min: 0,
      max: options.length - 1,
      step: 1,
      "aria-label": label,
      title: `${tooltip} (arrow keys move it)`,
      oninput: () => take(options[slider.valueAsNumber][0]),
    });
    const set = (value) => {
      slider.value = options.findIndex(([item]) => item === value);
      said.textContent = options[slider.valueAsNumber][1];
      slider.setAttribute("aria-valuetext", said.textContent);
    };
    return { node: html("fieldset", {}, legendOf, slider, said, play && player(slider, options, take)), set, slider };
  }
  if (kind === "present") {
    const pressed = () => take(large.getAttribute("aria-pressed") === "false");
    const large = button(name, pressed, { title: tooltip });
    return { node: html("fieldset", {}, large), set: (value) => large.setAttribute("aria-pressed", String(value)) };
  }
  const several = kind === "several";
  const inputs = options.map(([value, text, words]) =>
    html("input", {
      type: several ? "checkbox" : "radio",
      name: group,
      value,
      "aria-label": words ? `${text}: ${words}` : text,
      onchange: () => {
        const chosen = options.filter((_, k) => inputs[k].checked).map(([option]) => option);
        if (chosen.length) take(several ? chosen : value);
        else inputs[options.findIndex(([option]) => option === value)].checked = true; // one always stays
      },
    })
  );
  const set = (value) =>
    inputs.forEach((input, k) => {
      input.checked = several ? value.includes(options[k][0]) : value === options[k][0];
    });
  return {
    node: html(
      "fieldset",
      { "data-name": name },
      legendOf,
      inputs.map((input, k) =>
        html("label", { class: "option", title: options[k][2] || "" }, input, html("span", {}, options[k][1]))
      ),
    ),
    set,
  };
}

/** A button that moves a slider on from where it stands, from the beginning where it stands at the end. */
function player(slider, options, take) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.setAttribute("aria-pressed", "false");
  };
  const start = () => {
    if (timer) return stop();
    if (slider.valueAsNumber === options.length - 1) take(options[0][0]);
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      if (!slider.isConnected || slider.valueAsNumber === options.length - 1) stop();
      else take(options[slider.valueAsNumber + 1][0]);
    }, 450);
    return null;
  };
  const play = button("play", start, { "aria-pressed": "false" });
  return play;
}

/**
 * Show a view of the lab in an element.
 *
 * data: title, controls, buttons; state: settings by name; ask(request): a kernel's answer; shown: what is drawn, where
 * the kernel pushes it; changed(state): told of every change. Returns { restore(state, shown), close }.
 */
export function mountLab(element, { data, state: wanted, ask, shown = null, changed = (_state) => {} }) {
  let state = { ...wanted }, loading = false, frame = null, had = null;
  const numbers = source({ saved: null, ask });
  const root = html("section", { class: "isomax-viz-explorer", "aria-label": data.title });
  const plotted = html("div", { class: "charts" }),
    hover = html("div", { class: "hover" }),
    spoken = html("p", { role: "status", "aria-live": "polite" });
  const message = html("p", { class: "error", role: "alert", hidden: true }),
    done = html("progress", { "aria-label": "Epochs that are done" });
  const tell = (text) => {
    hover.textContent = text;
  };
  const failed = (text) => {
    message.textContent = text;
    message.hidden = !text;
  };
  const take = (patch) => {
    state = { ...state, ...patch };
    follow();
    changed(state);
  };
  const choosers = data.controls.map((control) => ({
    name: control.name,
    ...labControl(control, (value) => take({ [control.name]: value })),
  }));
  const press = (name) => () => {
    failed("");
    ask({ what: "press", name }).catch((error) => failed(error.message));
  };
  const buttons = data.buttons.map(([name, title]) => [name, button(name, press(name), { title })]);
  const training = html("fieldset", {});
  const form = html(
    "form",
    { autocomplete: "off", onsubmit: (event) => event.preventDefault() },
    shown && training,
    choosers.map(({ node }) => node),
  );
  root.append(html("div", { class: "parts" }, form, html("div", {}, message, plotted, hover, spoken)));
  element.replaceChildren(root);

  /** Show the settings in the controls and, once a frame, in the panels. */
  function follow() {
    for (const { name, set } of choosers) set(state[name]);
    frame ??= requestAnimationFrame(() => {
      frame = null;
      show();
    });
  }

  const request = () => ({
    what: "show",
    settings: Object.fromEntries(data.controls.filter(({ asks }) => asks).map(({ name }) => [name, state[name]])),
  });
  async function show() {
    const asked = request(), answer = shown || numbers.get(asked);
    if (answer) {
      draw(answer);
      return;
    }
    if (loading) return; // what is chosen by then follows when this answer is there
    loading = true;
    const slow = setTimeout(() => {
      spoken.textContent = "Waiting for the kernel \u2026 If it was restarted, run the cell again.";
    }, 400);
    let problem = "";
    try {
      await numbers.load(asked);
    } catch (error) {
      problem = error.message;
    } finally {
      loading = false;
      clearTimeout(slow);
    }
    if (!root.isConnected) return;
    if (!problem || JSON.stringify(request()) !== JSON.stringify(asked)) {
      show();
      return;
    }
    plotted.replaceChildren();
    spoken.textContent = "";
    failed(problem);
  }

  function draw(answer) {
    dress(root, element, state.present);
    failed(answer.error || "");
    tell("");
    const size = parseFloat(getComputedStyle(root).fontSize),
      room = Math.max(220, Math.floor(plotted.getBoundingClientRect().width) - 2);
    const panels = answer.panels.map((panel) => framed(panel, state, data.controls));
    const narrow = panels.filter(({ kind }) => ["lines", "simplex", "histogram"].includes(kind)).length;
    const columns = Math.max(1, Math.min(narrow, Math.floor(room / (23 * size))));
    const width = Math.floor((room - (columns - 1) * size) / columns);
    const tall = tallOf(size), several = narrow > columns;
    const rows = panels.find(({ kind }) => kind === "table")?.rows.length ?? 0; // many of them need room as well
    const high = tall * (several ? 15 : Math.min(23, Math.max(15, (0.75 * width) / tall)));
    const box = { size, width, height: Math.max(12 * tall, high - 1.55 * size * Math.max(0, rows - 6)) };
    const sentence = answer.sentence.by ? framed(answer.sentence, state, data.controls) : answer.sentence;
    withdraw(plotted);
    plotted.replaceChildren(...panels.map((panel) => {
      const words = panel.title ? `${data.title}: ${panel.title}` : sentence;
      const node = LAB_PANELS[panel.kind](panel, { box, tell, state, root, words });
      if (panel.title) node.prepend(titleOf(panel.title));
      if (!node.classList.contains("whole")) node.style.width = `${width}px`;
      return node;
    }));
    spoken.textContent = sentence;
    if (answer.progress) {
      [done.value, done.max] = answer.progress;
      const names = answer.offered.join(), offered = buttons.filter(([name]) => answer.offered.includes(name));
      if (names !== had) renew(training, [done, ...offered.map(([, item]) => item)]); // a button may be held down
      had = names;
    }
    root.dataset.drawn = Number(root.dataset.drawn || 0) + 1;
  }

  const close = onLook(root, element, show);
  follow();
  return {
    restore: (next, pushed = null) => {
      state = { ...state, ...next };
      shown = pushed;
      follow();
    },
    state: () => state,
    close: () => {
      close();
      withdraw(plotted);
    },
  };
}

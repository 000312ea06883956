// Marks: elements, axes, legends and the one way in which every plot answers to pointer and keys.
import { number } from "./numbers.js";

export function fill(node, attributes, children = []) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true || value === false) node.toggleAttribute(name, value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
// Names and words of data come in as text nodes and attributes only: they cannot become markup or code.
export const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const paragraph = (...children) => html("p", {}, ...children);
export const small = (...children) => html("p", { class: "small" }, ...children);
export const problem = (text) => html("p", { class: "error", role: "alert" }, text);
export const titleOf = (text) => html("div", { class: "title" }, text);
export const button = (text, onclick, more = {}) => html("button", { type: "button", onclick, ...more }, text);
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
/** Put other children into a node; what had the focus there hands it to its like, a button that is gone to the first one. */
export function renew(node, children) {
  const focused = node.querySelector(":focus"), marks = () => [...node.querySelectorAll("svg [tabindex]")];
  const place = marks().indexOf(focused);
  node.replaceChildren(...children);
  if (!focused) return;
  if (place >= 0) {
    marks()[place]?.focus({ preventScroll: true });
    return;
  }
  const names = focused.localName === "select" ? ["name"] : ["name", "value", "textContent"];
  const all = [...node.querySelectorAll(`${focused.localName}:enabled`)];
  const like = all.find((item) => names.every((name) => item[name] === focused[name]));
  (like ?? (focused.localName === "button" ? all[0] : null))?.focus({ preventScroll: true });
}
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }; // up is positive
export const colors = (look) => `--light:${look.color};--dark:${look.dark}`;
export const dashes = (look) => (look.dash || []).join(" ");

/** A list to choose from; options are [value, text], take(value) is told. */
export function chooser(title, name, options, value, take) {
  const choices = options.map(([key, text]) => html("option", { value: key, selected: key === value }, text));
  const onchange = ({ target }) => take(options[target.selectedIndex][0]);
  return html("label", {}, `${title} `, html("select", { name, onchange }, choices));
}
/** An empty picture of that size, for a screen reader in words. */
export const canvasOf = ({ width, height, size }, words) =>
  svg("svg", { width, height, role: "img", "aria-label": words, "font-size": size });
export const lineOf = (axes, points) =>
  points.map(([x, y], k) => `${k ? "L" : "M"}${axes.px(x).toFixed(1)},${axes.py(y).toFixed(1)}`).join("");
/** A line through points, in some look. */
export const path = (axes, look, points) =>
  svg("path", { class: "line", style: colors(look), "stroke-dasharray": dashes(look), d: lineOf(axes, points) });
/** A point, { node, at(x, y) }, at a place or where it is put later. */
export function spot(axes, look, place = null, radius = 0.4) {
  const node = svg("circle", { class: "point held", style: colors(look), r: radius * axes.size });
  const at = (x, y) => {
    node.setAttribute("cx", axes.px(x));
    node.setAttribute("cy", axes.py(y));
  };
  if (place) at(...place);
  return { node, at };
}

/** A row of a table; a cell is a text, or a text with the exact value behind it. */
export function row(title, cells, attributes = {}) {
  const pairs = cells.map((cell) => (Array.isArray(cell) ? cell : [cell, null]));
  const made = pairs.map(([text, value]) => html("td", { "data-value": value }, text));
  return html("tr", attributes, html("th", { scope: "row" }, title), made);
}
export function table(head, rows, titles = {}) {
  const names = head.map((text) => html("th", { scope: "col", title: titles[text] }, text));
  return html("table", {}, html("thead", {}, html("tr", {}, names)), html("tbody", {}, rows));
}

/** Return round numbers along an axis: about so many, two at least. */
function ticks({ low, high, whole }, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough)), found = [];
  const steps = [1, 2, 2.5, 5, 10].map((factor) => factor * power).filter((step) => step >= rough);
  const step = whole ? steps.find(Number.isInteger) ?? 1 : steps[0];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found.length > 1 || most > 9 ? found : ticks({ low, high, whole }, 1.5 * most);
}

/** Return the places of a logarithmic axis that are labelled: 1, 2 and 5 times powers of ten. */
function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of [1, 2, 5]) found.push(Number(`${factor}e${power}`));
  }
  return found.filter((value) => value >= low && value <= high);
}

const STRAIGHT = [(value) => value, (value) => value];

/** Draw axes; x and y are { low, high, label, percent, log, whole }. The result converts values to places and back. */
export function plot({ width, height, size, x, y, words }) {
  const left = (y.percent ? 5.2 : 4.6) * size,
    right = width - 1.6 * size,
    top = 1.9 * size,
    bottom = height - 2.9 * size;
  const scale = (axis, from, to) => {
    const [bend] = axis.log ? [Math.log] : STRAIGHT, low = bend(axis.low), high = bend(axis.high);
    return (value) => from + ((bend(value) - low) / (high - low || 1)) * (to - from);
  };
  const back = (axis, from, to) => {
    const [bend, straighten] = axis.log ? [Math.log, Math.exp] : STRAIGHT, low = bend(axis.low), high = bend(axis.high);
    const within = (place) => Math.min(Math.max(place, Math.min(from, to)), Math.max(from, to));
    return (place) => straighten(low + ((within(place) - from) / (to - from)) * (high - low));
  };
  const px = scale(x, left, right), py = scale(y, bottom, top);
  const text = (axis, value) => (axis.percent ? `${number(100 * value, 5)}\u00a0%` : number(value, 4));
  const node = canvasOf({ width, height, size }, words);
  const most = Math.max(2, (right - left) / (5.5 * size));
  for (const value of x.log ? logTicks(x.low, x.high) : ticks(x, most)) {
    node.append(
      svg("line", { class: "tick", x1: px(value), x2: px(value), y1: bottom, y2: bottom + 4 }),
      svg("text", { x: px(value), y: bottom + 1.25 * size, "text-anchor": "middle" }, text(x, value)),
    );
  }
  for (const value of ticks(y, Math.max(2, (bottom - top) / (3 * size)))) {
    node.append(
      svg("line", { class: "grid", x1: left, x2: right, y1: py(value), y2: py(value) }),
      svg("text", { x: left - 5, y: py(value) + 0.35 * size, "text-anchor": "end" }, text(y, value)),
    );
  }
  const label = (words_, [middle, end], place) => { // as large as its side of the picture has room for
    const fitting = Math.min(size, 2 * Math.min(middle, end - middle) / (0.56 * words_.length));
    const look = { class: "label", "text-anchor": "middle", "font-size": fitting };
    return svg("text", { ...look, transform: place(middle) }, words_);
  };
  node.append(
    svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    label(x.label, [(left + right) / 2, width], (middle) => `translate(${middle},${height - 0.35 * size})`),
    label(y.label, [(top + bottom) / 2, height], (middle) => `translate(${0.85 * size},${middle}) rotate(-90)`),
  );
  const body = svg("g");
  node.append(body);
  return {
    node,
    body,
    px,
    py,
    vx: back(x, left, right),
    vy: back(y, bottom, top),
    left,
    right,
    top,
    bottom,
    size,
    x,
    y,
  };
}

/**
 * Answer to the pointer: say what lies under it, grab what can be moved, else draw a range.
 *
 * grabs(place): what a press there would move, or null; moved(what, place); said(place): words; chosen(range): a range of
 * values was drawn; clicked(place). A place has px, py and the values x, y.
 */
export function answers(
  axes,
  { tell, said, both = false, grabs = (_place) => null, moved = null, chosen = null, clicked = null },
) {
  const brush = svg("rect", { class: "brush", visibility: "hidden" });
  axes.node.append(brush);
  let start = null, grabbed = null;
  const place = (event) => {
    const box = axes.node.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    return { px, py, x: axes.vx(px), y: axes.vy(py) };
  };
  const range = (end) => ({ x: [start.x, end.x].sort((a, b) => a - b), y: [start.y, end.y].sort((a, b) => a - b) });
  axes.node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    axes.node.setPointerCapture(event.pointerId);
    start = place(event);
    grabbed = grabs(start);
    event.preventDefault();
  });
  axes.node.addEventListener("pointermove", (event) => {
    const at = place(event);
    axes.node.style.cursor = grabbed || (!start && grabs(at)) ? "grab" : chosen ? "crosshair" : "default";
    if (!start) return tell(said(at));
    if (grabbed) return moved(grabbed, at);
    if (chosen) {
      const { x, y } = range(at);
      axes.show({ x, y: both ? y : null });
    }
    return null;
  });
  axes.node.addEventListener("pointerup", (event) => {
    const end = place(event), far = start && Math.hypot(end.px - start.px, end.py - start.py) > 4;
    if (start && !grabbed && far && chosen) chosen(range(end));
    else if (start && !grabbed && !far && clicked) clicked(start);
    start = grabbed = null;
  });
  axes.node.addEventListener("pointerleave", () => tell(""));
  axes.show = (wanted) => {
    brush.setAttribute("visibility", wanted ? "visible" : "hidden");
    if (!wanted) return;
    const [x0, x1] = wanted.x ? wanted.x.map(axes.px) : [axes.left, axes.right];
    const [y1, y0] = wanted.y ? wanted.y.map(axes.py) : [axes.bottom, axes.top];
    for (
      const [name, value] of Object.entries({ x: x0, y: y0, width: Math.max(1, x1 - x0), height: Math.max(1, y1 - y0) })
    ) brush.setAttribute(name, value);
  };
}

/** The sign of an item: a line in a look, or a mark, named by its class. */
function legendMark({ look, mark = "line" }) {
  const style = look && colors(look), line = { class: mark, style, x1: 1, x2: 25, y1: 6, y2: 6 };
  if (["point", "stop", "chosen"].includes(mark)) return svg("circle", { class: mark, style, cx: 13, cy: 6, r: 4 });
  if (mark === "cross") return svg("path", { class: mark, d: "M8,1L18,11M8,11L18,1" });
  if (mark === "filled") return svg("rect", { class: mark, x: 1, y: 1, width: 24, height: 10 });
  return svg("line", { ...line, "stroke-dasharray": look && dashes(look) });
}

export const legend = (items) =>
  html(
    "div",
    { class: "legend" },
    items.map((item) =>
      html("span", {}, svg("svg", { width: 26, height: 12, "aria-hidden": "true" }, legendMark(item)), item.label)
    ),
  );

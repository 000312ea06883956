// Units: one question each. The learner marks a guess in the plot, then sees the answer of this page's own networks.
import { accepted, atShare, below, binned, cheapest, extent, ID, linspace, number, percent, sum } from "../numbers.js";
import { answers, colors, html, plot, svg } from "../marks.js";

/** Return what the page says: a share, a point of the ROC curve, or counts in bins. columns(loss, score, set): sorted scores. */
export function truthOf({ what, loss, score, set, value, unknown }, { columns, classes, morph, far }) {
  const all = () => [columns(loss, score, ID), columns(loss, score, set)];
  const mean = (values) => sum([...values]) / values.length;
  return {
    mean: () => mean(columns(loss, score, set)),
    entropy: () => -mean(columns(loss, "es", set)) / Math.log(classes),
    above: () => accepted(columns(loss, score, set), value) / columns(loss, score, set).length,
    tnr: () => {
      const [one, other] = all();
      return 1 - accepted(other, atShare(one, 0.95)) / other.length;
    },
    point: () => {
      const [one, other] = all(), at = atShare(one, 0.95);
      return { x: accepted(other, at) / other.length, y: accepted(one, at) / one.length };
    },
    auroc: () => {
      const [one, other] = all();
      return mean([...one].map((known) => (below(other, known) + upTo(other, known)) / (2 * other.length)));
    },
    curve: () => {
      const [one, other] = all(), edges = linspace(...extent([one, other]), 20);
      return {
        edges,
        known: binned(one, edges).map((n) => n / one.length),
        counts: binned(other, edges).map((n) => n / other.length),
      };
    },
    morph: () => morph(loss, score),
    cheapest: () => {
      const [one, other] = all(),
        at = cheapest(one, [other], { accept_unknown: 1, reject_known: 1, share_unknown: unknown });
      return accepted(one, at) / one.length;
    },
    moons: () => far(loss),
  }[what]();
}

/** Return how many sorted values are at most a value. */
function upTo(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Return how far a guess is from the truth, in points of a hundred: of a share, along the ROC's axes, or of the area between curves. */
export function gapOf(kind, guess, truth) {
  if (kind === "bar") return 100 * Math.abs(guess - truth);
  if (kind === "point") return 100 * Math.hypot(guess.x - truth.x, guess.y - truth.y);
  const total = sum(guess) || 1;
  return 50 * sum(guess.map((value, k) => Math.abs(value / total - truth.counts[k])));
}

/** Show the units. page: what truthOf() asks; attempt(settings): show a unit's settings in the other parts; kept: gaps so far. */
export function units(element, { list, page, present = () => false, attempt, kept = {}, changed = (_gaps) => {} }) {
  let at = 0, guess = null, shown = false;
  const gaps = { ...kept };
  const button = (text, onclick, more = {}) => html("button", { type: "button", onclick, ...more }, text);

  function plotOf({ kind, quantity, truth: truth_ }, truth) {
    const width = Math.max(
        240,
        Math.min(present() ? 1100 : 560, Math.floor(element.getBoundingClientRect().width) - 2),
      ),
      size = present() ? 20 : 13,
      said = html("p", { role: "status", class: "small" });
    const box = { width, height: (kind === "bar" ? 8.5 : 20) * size, size }, share = { low: 0, high: 1, percent: true };
    const most = kind === "curve" ? 1.4 * Math.max(...truth.known, ...truth.counts) : 1;
    const axes = kind === "bar"
      ? plot({ ...box, words: quantity, x: { ...share, label: "your guess" }, y: { low: 0, high: 1, label: "" } })
      : kind === "point"
      ? plot({
        ...box,
        words: quantity,
        x: { ...share, label: "OOD accepted (FPR)" },
        y: { ...share, label: "ID accepted (TPR)" },
      })
      : plot({
        ...box,
        words: quantity,
        x: { low: truth.edges[0], high: truth.edges[20], label: quantity },
        y: { low: 0, high: most, label: "share in a bin" },
      });
    if (kind === "bar") axes.node.querySelectorAll(".grid, text[text-anchor=end]").forEach((node) => node.remove());
    const steps = (values) => {
      let path = `M${axes.px(truth.edges[0])},${axes.py(0)}`;
      values.forEach((value, k) => {
        path += `V${axes.py(value).toFixed(1)}H${axes.px(truth.edges[k + 1]).toFixed(1)}`;
      });
      return `${path}V${axes.py(0)}`;
    };
    if (kind === "curve") {
      axes.body.append(
        svg("path", {
          class: "area",
          style: `${colors(page.look("isomax+"))};fill-opacity:.35`,
          d: steps(truth.known),
        }),
      );
    }
    const mine = svg("path", { class: "guess" }), real = svg("path", { class: "truth", visibility: "hidden" });
    axes.body.append(mine, real);
    const cross = (x, y) => `M${axes.px(x) - 7},${axes.py(y)}h14m-7,-7v14`;
    const redraw = () => {
      if (guess) {
        mine.setAttribute(
          "d",
          kind === "bar"
            ? `M${axes.px(0)},${axes.py(0.7)}H${axes.px(guess)}V${axes.py(0.3)}H${axes.px(0)}z`
            : kind === "point"
            ? cross(guess.x, guess.y)
            : steps(guess),
        );
      }
      said.textContent = !guess
        ? {
          bar: "Press in the plot: as far as you think.",
          point: "Press where you think the point lies.",
          curve: "Draw the bars with the pointer: the digits are filled already.",
        }[kind]
        : kind === "bar"
        ? `Your guess: ${percent(guess)}.`
        : kind === "point"
        ? `Your guess: FPR ${percent(guess.x)}, TPR ${percent(guess.y)}.`
        : "Your guess stands. Draw on to change it.";
      reveal_.disabled = !guess;
    };
    let last = null;
    const take = ({ x, y }) => {
      if (shown) return;
      if (kind === "bar") guess = x;
      else if (kind === "point") guess = { x, y };
      else {
        guess = guess || new Array(20).fill(0);
        const { low, high } = axes.x, place = Math.min(19, Math.floor((20 * (x - low)) / (high - low)));
        const [first, end] = [last ?? place, place].sort((a, b) => a - b);
        guess.fill(y, first, end + 1); // a quick stroke leaves no bar out
        last = place;
      }
      redraw();
    };
    answers(axes, { grabs: () => take, moved: (_, place) => take(place), said: () => "", tell: () => {} });
    axes.node.addEventListener("pointerdown", (event) => {
      last = null;
      const area = axes.node.getBoundingClientRect();
      take({ x: axes.vx(event.clientX - area.left), y: axes.vy(event.clientY - area.top) });
    });
    let bin = 0;
    axes.node.setAttribute("tabindex", 0);
    axes.node.addEventListener("keydown", (event) => { // left and right move (the bin, for a curve), up and down change
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!by) return;
      event.preventDefault();
      const now = guess === null ? { x: 0.5, y: 0.5 } : kind === "bar" ? { x: guess, y: 0 } : guess,
        clip = (value) => Math.min(1, Math.max(0, value));
      if (kind !== "curve") {
        take({ x: clip(now.x + (by[0] + (kind === "bar" ? by[1] : 0)) / 100), y: clip(now.y + by[1] / 100) });
        return;
      }
      bin = Math.min(19, Math.max(0, bin + by[0]));
      take({
        x: (truth.edges[bin] + truth.edges[bin + 1]) / 2,
        y: Math.max(0, ((guess || [])[bin] || 0) + (by[1] * most) / 20),
      });
    });
    const tell = () => {
      const gap = gapOf(kind, guess, truth);
      real.setAttribute("visibility", "visible");
      real.setAttribute(
        "d",
        kind === "bar"
          ? `M${axes.px(truth)},${axes.py(1)}V${axes.py(0)}`
          : kind === "point"
          ? cross(truth.x, truth.y)
          : steps(truth.counts),
      );
      said.textContent = `${
        kind === "bar"
          ? `Here it is ${percent(truth)}`
          : kind === "point"
          ? `Here it is FPR ${percent(truth.x)}, TPR ${percent(truth.y)}`
          : "The line is what was measured"
      }; your guess is ${number(gap)} points away${kind === "curve" ? " (half the area between the two)" : ""}.${
        truth_.what === "auroc" ? ` Its TNR@TPR95 is ${percent(truthOf({ ...truth_, what: "tnr" }, page))}.` : ""
      }${
        truth_.beside
          ? ` Beside it ${page.look(truth_.beside.loss).title}, ${truth_.beside.score.toUpperCase()}: ${
            ["auroc", "tnr"].map((what) => percent(truthOf({ ...truth_.beside, what }, page))).join(" and ")
          }.`
          : ""
      }`;
      return gap;
    };
    const reveal_ = button("reveal", () => reveal(tell()));
    return { node: html("div", {}, axes.node, said, reveal_), redraw, tell };
  }

  let after = null;
  function reveal(gap) {
    shown = true;
    if (gaps[at] === undefined) {
      gaps[at] = gap;
      changed(gaps);
    }
    const unit = list[at];
    after.replaceChildren(
      html("p", {}, unit.answer),
      html(
        "div",
        { class: "tabs" },
        button("try it", () => attempt(unit.try)),
        at + 1 < list.length ? button("next question", () => go(at + 1)) : "",
      ),
      summary(),
    );
    [element.dataset.gap, element.dataset.guess] = [gap, JSON.stringify(guess)];
  }
  function summary() {
    const done = Object.keys(gaps).map(Number);
    if (done.length < 2) return "";
    return html(
      "p",
      { class: "small" },
      `${done.length} of ${list.length} guessed; on average ${
        number(sum(Object.values(gaps)) / done.length)
      } points away. Farthest: ${
        done.sort((a, b) => gaps[b] - gaps[a]).slice(0, 3).map((k) =>
          `${list[k].number}. ${list[k].title} (${number(gaps[k])})`
        )
          .join(" ")
      }`,
    );
  }
  function go(next = null) { // without a number, the same question as it stands
    if (next !== null) [at, guess, shown] = [next, null, false];
    const unit = list[at], made = plotOf(unit, truthOf(unit.truth, page));
    after = html("div", {});
    if (!shown) delete element.dataset.gap;
    element.replaceChildren(
      html(
        "label",
        {},
        "Question ",
        html(
          "select",
          { "aria-label": "Question", onchange: (event) => go(event.target.selectedIndex) },
          list.map(({ title, number: number_ }, k) =>
            html("option", { selected: k === at }, `${number_}. ${title}${gaps[k] === undefined ? "" : " \u2713"}`)
          ),
        ),
      ),
      html("h2", {}, unit.title),
      html("p", {}, `${unit.quantity}. Predict before you look.`),
      made.node,
      after,
    );
    made.redraw();
    if (shown) reveal(made.tell());
  }
  return { go, gaps: () => gaps };
}

// Units: one question each. The learner marks a guess in the plot, then sees the answer of this page's own networks.
import { accepted, atShare, binned, cheapest, curve, extent, ID, linspace, number, percent, sum } from "../numbers.js";
import { answers, ARROWS, button, chooser, colors, html, legend, lineOf, plot, renew, svg } from "../marks.js";

/** Return what the page says: a share, a point of the ROC curve, or counts in bins. columns(loss, score, set): sorted scores. */
export function truthOf({ what, loss, score, set, value, unknown }, { columns, metrics, classes, morph, far }) {
  const all = () => [columns(loss, score, ID), columns(loss, score, set)];
  const mean = (values) => sum([...values]) / values.length;
  return {
    mean: () => mean(columns(loss, score, set)),
    entropy: () => -mean(columns(loss, "es", set)) / Math.log(classes),
    above: () => accepted(columns(loss, score, set), value) / columns(loss, score, set).length,
    tnr: () => metrics(loss, score, set)["TNR@TPR95"],
    auroc: () => metrics(loss, score, set).AUROC,
    point: () => {
      const [one, other] = all(), at = atShare(one, 0.95);
      const [x, y] = [accepted(other, at) / other.length, accepted(one, at) / one.length];
      return { x, y, roc: curve(one, other) };
    },
    curve: () => {
      const edges = linspace(...extent(all()), BINS);
      const [known, counts] = all().map((sorted) => binned(sorted, edges).map((n) => n / sorted.length));
      return { edges, known, counts, most: 1.4 * Math.max(...known, ...counts) };
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

const SHARE = { low: 0, high: 1, percent: true }, BINS = 20;
const clip = (value, most = 1) => Math.min(most, Math.max(0, value));
const cross = ({ px, py }, { x, y }) => `M${px(x) - 8},${py(y) - 8}l16,16m0,-16l-16,16`;
const steps = (axes, edges, values) =>
  lineOf(axes, [[edges[0], 0], ...values.flatMap((y, k) => [[edges[k], y], [edges[k + 1], y]]), [edges[BINS], 0]]);

/**
 * How a mark is made, by kind. take(guess, place, from, truth): the guess after a press or a stroke; nudge(guess, by, bin):
 * after an arrow key; mark, real: the paths of guess and truth; sign: the guess in the legend; judged(guess): what is
 * compared with the truth, where that is not the guess itself; words(value): in words.
 */
const KINDS = {
  bar: {
    height: 8.5,
    axes: () => ({ x: { ...SHARE, label: "your guess" }, y: { low: 0, high: 1, label: "" } }),
    hint: "Press in the plot: as far as you think.",
    take: (_guess, { x }) => x,
    nudge: (guess, [dx, dy]) => clip((guess ?? 0.5) + (dx + dy) / 100),
    mark: ({ px, py }, x) => `M${px(0)},${py(0.7)}H${px(x)}V${py(0.3)}H${px(0)}z`,
    sign: "limit",
    real: (axes, x) => lineOf(axes, [[x, 1], [x, 0]]),
    words: percent,
    gap: (guess, truth) => 100 * Math.abs(guess - truth),
  },
  point: {
    height: 20,
    axes: () => ({ x: { ...SHARE, label: "OOD accepted (FPR)" }, y: { ...SHARE, label: "ID accepted (TPR)" } }),
    hint: "Press where you think the point lies.",
    take: (_guess, { x, y }) => ({ x, y }),
    nudge: (guess, [dx, dy]) => ({ x: clip((guess?.x ?? 0.5) + dx / 100), y: clip((guess?.y ?? 0.5) + dy / 100) }),
    mark: cross,
    sign: "cross",
    real: (axes, { x, y, roc }) =>
      `${lineOf(axes, roc.map(({ fpr, tpr }) => [fpr, tpr]))}M${axes.px(x) - 8},${
        axes.py(y)
      }a8,8 0 1 0 16,0a8,8 0 1 0 -16,0`,
    words: ({ x, y }) => `FPR ${percent(x)}, TPR ${percent(y)}`,
    gap: (guess, truth) => 100 * Math.hypot(guess.x - truth.x, guess.y - truth.y),
  },
  curve: {
    height: 20,
    axes: ({ edges, most }, label) => ({
      x: { low: edges[0], high: edges[BINS], label },
      y: { low: 0, high: most, label: "share in a bin" },
    }),
    hint:
      "Draw the bars with the pointer or with the arrow keys. The digits stand there already; only the shape counts.",
    take: (guess, { y }, [first, last]) => (guess || new Array(BINS).fill(0)).fill(y, first, last + 1),
    nudge: (guess, [, dy], bin, { most }) => {
      const made = guess || new Array(BINS).fill(0);
      return made.with(bin, clip(made[bin] + (dy * most) / 20, most));
    },
    mark: (axes, guess, { edges, most }) => steps(axes, edges, guess.map((value) => Math.min(value, most))),
    sign: "limit",
    judged: (guess) => guess.map((value) => value / (sum(guess) || 1)), // as large as what was measured
    real: (axes, { edges, counts }) => steps(axes, edges, counts),
    words: (guess, { edges, most }, bin) =>
      `${percent(guess[bin])} in the bin from ${number(edges[bin])} to ${number(edges[bin + 1])}${
        guess.some((value) => value > most) ? "; what is higher than the plot is cut off" : ""
      }`,
    gap: (guess, { counts }) => 50 * sum(guess.map((value, k) => Math.abs(value - counts[k]))),
  },
};

/** Show the units. page: what truthOf() asks; attempt(settings): show a unit's settings in the other parts; kept(): gaps so far. */
export function units(
  element,
  { list, page, present, attempt, kept, at: first = 0, changed = (_gaps) => {}, turned = (_at) => {} },
) {
  let at = first, guess = null, shown = false;
  const truths = new Map(); // of questions that were shown: some take a second
  const truthAt = (k) => {
    if (!truths.has(k)) truths.set(k, truthOf(list[k].truth, page));
    return truths.get(k);
  };
  const after = html("div", { role: "status", class: "answer" });

  function plotOf({ kind, quantity }, truth) {
    const made = KINDS[kind], room = Math.floor(element.getBoundingClientRect().width) - 2, size = present() ? 20 : 13;
    const width = Math.max(240, room > 900 ? Math.floor(present() ? 0.6 * room : 560) : room);
    const axes = plot({ ...made.axes(truth, quantity), width, height: made.height * size, size, words: quantity });
    if (kind === "bar") axes.node.querySelectorAll(".grid, text[text-anchor=end]").forEach((node) => node.remove());
    const digits = { label: "digits", look: page.look("isomax+") }, mark = svg("path", { class: `guess ${made.sign}` });
    if (kind === "curve") {
      const known = steps(axes, truth.edges, truth.known);
      axes.body.append(svg("path", { class: "area", style: `${colors(digits.look)};fill-opacity:.35`, d: known }));
    }
    const real = svg("path", { class: "truth", visibility: "hidden", d: made.real(axes, truth) });
    axes.body.append(mark, real);
    const said = html("p", { class: "small" });
    let bin = 0, last = null;
    const redraw = () => {
      const words = guess === null ? "no guess yet" : made.words(guess, truth, bin);
      if (guess !== null) mark.setAttribute("d", made.mark(axes, guess, truth));
      said.textContent = guess === null ? made.hint : `Your guess: ${words}.${shown ? "" : " Change it as you like."}`;
      reveal_.disabled = guess === null || shown;
      const now = kind === "bar" ? guess ?? 0.5 : kind === "point" ? guess?.x ?? 0.5 : (guess || [])[bin] ?? 0;
      const spoken = { valuemin: 0, valuemax: 100, valuenow: Math.round(100 * now), valuetext: words };
      for (const [name, value] of Object.entries(spoken)) axes.node.setAttribute(`aria-${name}`, value);
    };
    const take = ({ x, y }) => {
      if (shown) return;
      const { low, high } = axes.x;
      bin = Math.min(BINS - 1, Math.floor((BINS * (x - low)) / (high - low)));
      guess = made.take(guess, { x, y }, [last ?? bin, bin].sort((a, b) => a - b)); // a quick stroke leaves no bar out
      last = bin;
      redraw();
    };
    const grabs = () => take;
    answers(axes, { grabs, moved: (_, place) => take(place), said: () => "", tell: () => {} });
    axes.node.addEventListener("pointerdown", (event) => {
      last = null;
      const area = axes.node.getBoundingClientRect();
      take({ x: axes.vx(event.clientX - area.left), y: axes.vy(event.clientY - area.top) });
    });
    axes.node.setAttribute("tabindex", 0);
    axes.node.setAttribute("role", "slider");
    axes.node.addEventListener("keydown", (event) => { // for a curve, left and right move from bin to bin
      const by = ARROWS[event.key];
      if (!by || shown) return;
      event.preventDefault();
      bin = clip(bin + by[0], BINS - 1);
      guess = made.nudge(guess, by, bin, truth);
      redraw();
    });
    const reveal_ = button("reveal", () => {
      shown = true;
      guess = (made.judged || ((same) => same))(guess);
      show();
      axes.node.focus({ preventScroll: true }); // a disabled button loses it
    });
    const show = () => {
      real.setAttribute("visibility", "visible");
      redraw();
      reveal(made.gap(guess, truth), made.words);
    };
    const warn = { color: "var(--warn)", dark: "var(--warn)" };
    const marks = [{ label: "your guess", mark: made.sign }, { label: "what was measured", look: warn }];
    const key = legend(kind === "curve" ? [...marks, digits] : marks);
    return { node: html("div", {}, key, axes.node, said, reveal_), redraw, show };
  }

  function reveal(gap, words) {
    const unit = list[at], { kind, truth: { beside, ...asked } } = unit, truth = truthAt(at);
    const share = (of, what) => percent(truthOf({ ...of, what }, page));
    const found = kind === "curve" ? "The line is what was measured" : `Here it is ${words(truth)}`;
    const area = kind === "curve" ? " (half the area between the two, your bars brought to a total of 100\u00a0%)" : "";
    const tnr = asked.what === "auroc" ? ` Its TNR@TPR95 is ${share(asked, "tnr")}.` : "";
    const other = beside
      ? ` Beside it ${page.look(beside.loss).title} (${beside.score.toUpperCase()}): AUROC ${
        share(beside, "auroc")
      }, TNR@TPR95 ${share(beside, "tnr")}.`
      : "";
    if (kept()[at] === undefined) changed({ ...kept(), [at]: gap });
    after.replaceChildren(
      html("p", {}, html("b", {}, `${found}; your guess is ${number(gap)} points away${area}.`), `${tnr}${other}`),
      html("p", {}, unit.answer),
      html(
        "div",
        { class: "tabs" },
        button("try it", () => attempt(unit.try)),
        at + 1 < list.length ? button("next question", forward) : "",
      ),
      summary(),
    );
    [element.dataset.gap, element.dataset.guess] = [gap, JSON.stringify(guess)];
  }
  function forward() {
    go(at + 1);
    element.querySelector("[role=slider]").focus();
  }
  function summary() {
    const gaps = kept(), done = Object.keys(gaps).map(Number);
    if (done.length < 2) return "";
    const mean = number(sum(Object.values(gaps)) / done.length), worst = done.sort((a, b) => gaps[b] - gaps[a]);
    return html(
      "div",
      { class: "small" },
      html("p", {}, `${done.length} of ${list.length} guessed; on average ${mean} points away. Farthest:`),
      html(
        "ul",
        {},
        worst.slice(0, 3).map((k) => html("li", {}, `${list[k].number}. ${list[k].title} (${number(gaps[k])})`)),
      ),
    );
  }
  function go(next = null) { // without a number, the same question as it stands
    if (next !== null) {
      [at, guess, shown] = [next, null, false];
      turned(at);
    }
    const unit = list[at], made = plotOf(unit, truthAt(at)), gaps = kept();
    after.replaceChildren();
    if (!shown) delete element.dataset.gap;
    const named = list.map(({ title, number: n }, k) => [k, `${n}. ${title}${gaps[k] === undefined ? "" : " \u2713"}`]);
    renew(element, [
      chooser("Question", "question", named, at, go),
      html("h2", {}, unit.title),
      html("p", {}, `${unit.quantity}. Predict before you look.`),
      html("div", { class: "unit" }, made.node, after),
    ]);
    made.redraw();
    if (shown) made.show();
  }
  return { go };
}

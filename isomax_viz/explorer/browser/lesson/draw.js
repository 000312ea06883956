// Draw: a picture on the pad, and four losses answer in the page; why they do; what a threshold costs.
import {
  accepted,
  atShare,
  below,
  binned,
  cheapest,
  costAt,
  costCurve,
  count,
  curve,
  densityTop,
  extent,
  ID,
  linspace,
  number,
  percent,
  sum,
} from "../numbers.js";
import { ARROWS, button, chooser, colors, html, legend, renew, row, table } from "../marks.js";
import { costs, histogram, roc } from "../charts.js";
import { labelOf, look, withDensity } from "../stage.js";
import { markup, pictures } from "../pictures.js";
import { costFields } from "../threshold.js";

const PANELS = { why: "Why?", cost: "Threshold and cost" };
const PAD = 32, BLOCK = 4, SIDE = PAD / BLOCK;

/** Write a term: small ones as powers of ten, which are read more easily than rows of zeros; also what lacks to 1. */
function term(value, digits = 4) {
  const small = (size) => size.toExponential(1).replaceAll("-", "\u2212"), lacking = 1 - value;
  if (lacking > 0 && lacking < 5e-5) return `1 \u2212 ${small(lacking)}`;
  return value && Math.abs(value) < 1e-3 ? small(value) : number(value, digits);
}

/** Return the terms of a score for one picture: columns from the distances on, and what they add up to. */
function terms(score, { logits, probabilities, distances, scale, scores }) {
  const top = number(Math.abs(scores.max_logit), 4), shift = scores.max_logit > 0 ? `\u2212 ${top}` : `+ ${top}`;
  const exponents = logits.map((logit) => Math.exp(logit - scores.max_logit)), nearest = Math.min(...distances);
  const factor = scale === 1 ? "" : `${number(scale || 0, 4)} \u00b7 `, d = ["distance d", distances];
  const z = scale === null ? [["logit z = w \u00b7 f + b", logits]] : [d, [`logit z = \u2212${factor}d`, logits]];
  const p = ["p = e^z / \u03a3 e^z", probabilities];
  const parts = {
    mps: [[...z, p], "the largest p", probabilities.indexOf(Math.max(...probabilities))],
    es: [
      [...z, p, ["p\u00a0\u00b7\u00a0log\u00a0p", probabilities.map((value) => (value ? value * Math.log(value) : 0))]],
      "the sum of p \u00b7 log p (minus the entropy)",
      null,
    ],
    mds: [[d, ["\u2212d", distances.map((value) => -value)]], "minus the smallest d", distances.indexOf(nearest)],
    max_logit: [z, "the largest z", logits.indexOf(scores.max_logit)],
    energy: [
      [...z, [`e^(z ${shift})`, exponents]],
      `${number(scores.max_logit, 4)} + log ${number(sum(exponents), 4)}`,
      null,
    ],
  };
  const [columns, words, marked] = parts[score];
  return { columns, words, marked, value: scores[score] };
}

/**
 * Show the pad and the answers.
 *
 * data, saved: as for mount(); judges: one network for each of data.networks, none as long as they are being read;
 * state: what is shown first; offered: what can be chosen.
 */
export async function drawing(
  element,
  { data, saved, numbers, judges, present, state: wanted, offered, changed = (_now) => {} },
) {
  let state = wanted, coming = {}, said = null, waiting = false, follow = () => {};
  const draw = pictures({ saved, source: numbers }), sets = offered.against;
  const titles = data.networks.map(({ title }) => title);
  const spoken = html("p", { role: "status", "aria-live": "polite" }),
    panel = html("div", { class: "panel" }),
    rows = html("div", { class: "losses" });
  const pad = html("canvas", {
    class: "pad",
    width: PAD,
    height: PAD,
    tabindex: 0,
    role: "application",
    "aria-label": "Drawing pad of 8 by 8 cells",
    title: "Draw with the pointer. Keys: arrows move the cell, space fills or clears it, shift and arrows draw along",
  });
  const cell = html("span", { class: "cell" });
  const pen = pad.getContext("2d", { willReadFrequently: true });
  const columns = (k) =>
    [ID, state.against].map((name) =>
      numbers.get({ what: "scores", network: k, name: state.score }).columns[name].sorted
    );
  const thresholdOf = (k) => {
    const [known, unknown] = columns(k);
    return state.share === null ? cheapest(known, [unknown], state.costs) : atShare(known, state.share);
  };

  // --- the picture -------------------------------------------------------------------------------------------------
  function read() {
    const ink = pen.getImageData(0, 0, PAD, PAD).data, blocks = new Array(SIDE * SIDE).fill(0);
    for (let k = 0; k < PAD * PAD; k += 1) {
      blocks[SIDE * Math.floor(k / (PAD * BLOCK)) + Math.floor((k % PAD) / BLOCK)] += (ink[4 * k] * ink[4 * k + 3]) /
        (255 * 255 * BLOCK * BLOCK);
    }
    return blocks.map((share) => Math.round(255 * share));
  }
  function show(picture, way = 0) { // way: how far it is from a 4 to an A, in percent
    state.picture = picture;
    shows(way);
    pen.clearRect(0, 0, PAD, PAD);
    (picture || []).forEach((value, k) => {
      pen.fillStyle = `rgb(${value},${value},${value})`;
      pen.fillRect(BLOCK * (k % SIDE), BLOCK * Math.floor(k / SIDE), BLOCK, BLOCK);
    });
    judge();
  }
  let last = null;
  function stroke(event) {
    if (!(event.buttons & 1)) {
      last = null;
      return;
    }
    const box = pad.getBoundingClientRect(),
      at = [(PAD * (event.clientX - box.left)) / box.width, (PAD * (event.clientY - box.top)) / box.height];
    [pen.strokeStyle, pen.lineWidth, pen.lineCap] = ["#fff", 3.6, "round"];
    pen.beginPath();
    pen.moveTo(...(last || at));
    pen.lineTo(at[0] + 0.01, at[1]);
    pen.stroke();
    last = at;
    state.picture = read();
    shows(0);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      judge();
    });
  }
  pad.addEventListener("pointerdown", (event) => {
    last = null; // a finger sends no move between two strokes
    pad.setPointerCapture(event.pointerId);
    stroke(event);
  });
  pad.addEventListener("pointermove", stroke);

  let [column, line] = [0, 0];
  pad.addEventListener("keydown", (event) => {
    const by = ARROWS[event.key], within = (place) => Math.min(SIDE - 1, Math.max(0, place));
    if (!by && ![" ", "Enter"].includes(event.key)) return;
    event.preventDefault();
    if (by) [column, line] = [within(column + by[0]), within(line - by[1])];
    [cell.style.left, cell.style.top] = [column, line].map((place) => `${(100 * place) / SIDE}%`);
    const k = SIDE * line + column, picture = [...(state.picture || new Array(SIDE * SIDE).fill(0))];
    const inked = !by || event.shiftKey;
    if (inked) {
      picture[k] = by || picture[k] < 128 ? 255 : 0;
      show(picture);
    }
    const ink = percent(picture[k] / 255);
    speak(`Row ${line + 1}, column ${column + 1}: ${ink} ink. ${inked ? sentences() : ""}`);
  });

  async function pixels(set, index) {
    const item = { set, index },
      image = (await draw(0, [item])).get(item),
      ink = image.getContext("2d").getImageData(0, 0, SIDE, SIDE).data;
    return Array.from({ length: SIDE * SIDE }, (_, k) => ink[4 * k]);
  }
  const shows = (way) => {
    morph.value = way;
    reached.textContent = way ? `${way}\u00a0%` : "";
  };
  const samples = html("div", { class: "thumbs" });
  const held = [ID, ...sets].filter((name) => Object.hasOwn(saved.answers, JSON.stringify({ what: "pictures", name })));
  let from = 0, shelf = ID;
  async function fillSamples() {
    const n = data.networks[0].n[shelf],
      items = Array.from({ length: Math.min(8, n - from) }, (_, k) => ({ set: shelf, index: from + k }));
    const found = await draw(0, items);
    samples.replaceChildren(
      ...items.map((item) =>
        html("button", {
          type: "button",
          "aria-label": `${labelOf(data, data.networks[0], shelf)}, image ${item.index}`,
          style: colors(look(data, data.networks[0], shelf)),
          onclick: async () => show(await pixels(item.set, item.index)),
        }, found.get(item))
      ),
    );
  }
  const ends = data.morph && await Promise.all([pixels(ID, data.morph[0]), pixels(data.morph[1], data.morph[2])]);
  const reached = html("span", {}),
    morph = html("input", {
      type: "range",
      min: 0,
      max: 100,
      value: 0,
      "aria-label": "From a 4 to an A, in percent",
      oninput: () => show(morphed(morph.valueAsNumber / 100), morph.valueAsNumber),
    });
  const morphed = (share) => ends[0].map((value, k) => Math.round(value + (ends[1][k] - value) * share));

  // --- the answers ---------------------------------------------------------------------------------------------------
  function judge() {
    const drawn = judges.length && state.picture && state.picture.some(Boolean);
    said = drawn ? judges.map((network) => network.judge(state.picture)) : null;
    follow();
  }
  function sentences() {
    if (!said) {
      return "Draw a digit, then a letter, then nonsense: each loss says what it sees, and whether it knows it.";
    }
    const seen = titles.map((title, k) => {
      const verdict = Math.fround(said[k].scores[state.score]) >= thresholdOf(k) ? "accepted" : "rejected";
      return `${title}: ${data.networks[k].classes[said[k].prediction]}, ${verdict}`;
    });
    return `${seen.join("; ")}.`;
  }
  const speak = (text, live = "polite") => {
    [spoken.ariaLive, spoken.textContent] = [live, text];
  };
  const tell = (text) => speak(text || sentences(), text ? "off" : "polite"); // what lies under the pointer is not spoken
  const hold = (value, k) => {
    const [known] = columns(k);
    state.share = Math.max(1, accepted(known, value)) / known.length;
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        follow();
      });
    }
  };
  const step = (k, way = -1) => (event) => { // way: whether more or fewer images are accepted to the right
    const n = columns(k)[0].length;
    const move = {
      ArrowRight: 1,
      ArrowUp: 1,
      ArrowLeft: -1,
      ArrowDown: -1,
      PageUp: 10,
      PageDown: -10,
      Home: -n,
      End: n,
    }[event.key];
    if (!move) return;
    event.preventDefault();
    state.share = Math.min(n, Math.max(1, accepted(columns(k)[0], thresholdOf(k)) + way * move)) / n;
    follow();
  };
  function binnedOf(k, parts) {
    const both = columns(k), edges = linspace(...extent(both), parts), about = data.networks[k];
    const groups = withDensity(
      [ID, state.against].map((name, g) => ({
        name,
        n: both[g].length,
        counts: binned(both[g], edges),
        look: look(data, about, name),
        label: labelOf(data, about, name),
      })),
      edges,
    );
    return {
      edges,
      groups,
      top: densityTop(groups),
      x: { low: edges[0], high: edges[parts], label: `${data.scores[state.score].label} score` },
    };
  }

  function lay() {
    if (!element.getBoundingClientRect().width) return; // another part is shown
    const size = present() ? 15 : 11, width = Math.max(200, Math.floor(rows.getBoundingClientRect().width) - 2);
    const cells = data.networks.map((_, k) => {
      const words = html("div", { class: "says" }),
        chart = histogram({
          ...binnedOf(k, 40),
          box: {
            width: Math.floor((present() ? 0.52 : 0.56) * width),
            height: (present() ? 8.2 : width > 400 ? 11.5 : 9.4) * size,
            size,
          },
          words: `${titles[k]}: scores of known and unknown images`,
          chosen: null,
          tell,
          drag: (value) => hold(value, k),
          step: step(k),
        });
      const box = html(
        "div",
        {
          class: "loss",
          "data-loss": data.networks[k].place.loss,
          onclick: () => {
            if (state.focus !== k) {
              state.focus = k;
              lay();
            }
          },
        },
        html(
          "div",
          { class: "words" },
          html("button", {
            type: "button",
            "aria-pressed": String(state.focus === k),
            title: "Show why, and what a threshold costs, for this loss",
          }, titles[k]), // a click on it is one on the box
          words,
        ),
        chart.node,
      );
      return { words, chart, box };
    });
    const [known, unknown] = binnedOf(0, 2).groups.map(({ label, n, look }) => ({
      look,
      label: present() ? label : `${label} (n = ${count(n)})`,
    }));
    renew(rows, [
      legend([{ mark: "filled", label: known.label }, unknown, { mark: "mine", label: "this picture" }]),
      ...cells.map(({ box }) => box),
    ]);
    const filled = { why, cost }[state.panel](size);
    follow = () => {
      cells.forEach(({ words, chart }, k) => {
        const [known] = columns(k), at = thresholdOf(k);
        chart.move(at, accepted(known, at) / known.length);
        chart.own(said ? said[k].scores[state.score] : null);
        if (!said) {
          words.replaceChildren();
          return;
        }
        const { prediction, probabilities, scores, distances } = said[k],
          near = distances.indexOf(Math.min(...distances)),
          in_ = Math.fround(scores[state.score]) >= at,
          { classes } = data.networks[k];
        words.replaceChildren(
          html("b", { class: in_ ? "in" : "out" }, `${in_ ? "accepted" : "rejected"}: ${classes[prediction]}`),
          html("span", {}, `p = ${percent(Math.max(...probabilities))}`),
          html(
            "span",
            { title: `in nats, of at most log ${classes.length}` },
            `entropy ${term(-scores.es, 3)} of ${number(Math.log(classes.length))}`,
          ),
          html(
            "span",
            {},
            `nearest ${data.networks[k].place.loss === "softmax" ? "class mean" : "prototype"}: ${classes[near]}, ${
              number(distances[near])
            }`,
          ),
        );
      });
      filled();
      speak(sentences());
      element.dataset.drawn = Number(element.dataset.drawn || 0) + 1;
      changed(state);
    };
    follow();
  }

  // --- why -----------------------------------------------------------------------------------------------------------
  function why() {
    const { label, formula, explanation } = data.scores[state.score], place = html("div", { class: "scroll" });
    const k = state.focus, { classes, place: { loss } } = data.networks[k];
    renew(panel, [
      html("h2", {}, `${titles[k]}: ${label} of this picture`),
      html("p", {}, formula ? markup(formula) : "", explanation),
      state.score === "mds" ? html("p", {}, data.losses[loss].distances) : "",
      place,
    ]);
    const hint = html("p", { class: "small" }, "Draw or choose a picture: its numbers stand here, term by term.");
    return () => {
      if (!said) return place.replaceChildren(hint);
      const { columns: all, words, marked, value } = terms(state.score, said[k]), [known, unknown] = columns(k);
      const numbersOf = (name, j) =>
        row(name, all.map(([, values]) => term(values[j])), { class: j === marked ? "marked" : null });
      const at = thresholdOf(k), verdict = Math.fround(value) >= at ? "accepted" : "rejected";
      const shares = [known, unknown].map((sorted) => percent(below(sorted, value) / sorted.length));
      return place.replaceChildren(
        table(["class", ...all.map(([name]) => name)], classes.map(numbersOf)),
        html("p", { class: "sum" }, `${label} = ${words} = `, html("b", { "data-value": value }, number(value, 4))),
        html(
          "p",
          {},
          `Threshold ${number(at, 4)}: ${verdict}. The score lies above ${shares[0]} of the known and ${
            shares[1]
          } of the unknown images.`,
        ),
      );
    };
  }

  // --- threshold and cost --------------------------------------------------------------------------------------------
  const share = html("input", {
    type: "range",
    min: 1,
    "aria-label": "Known images to accept",
    oninput: () => {
      state.share = share.valueAsNumber / Number(share.max);
      follow();
    },
  });
  const sharing = html("label", { class: "small" }, "accept more or fewer known images ", share);
  function cost(size) {
    const k = state.focus, both = columns(k), [known, unknown] = both, { classes: _, ...about } = data.networks[k];
    const labels = [ID, state.against].map((name) => labelOf(data, about, name)), [low, high] = extent(both);
    const width = Math.max(200, Math.floor(panel.getBoundingClientRect().width) - 2);
    const beside = width > 400 ? Math.floor(width / 2) - size : width;
    const box = { width: beside, height: (present() ? 14 : 15) * size, size }, drag = (value) => hold(value, k);
    const ofSet = {
      look: { ...data.sets[state.against], dash: [] },
      label: labels[1],
      points: curve(known, unknown),
      side: k,
    };
    const rocs = roc({
      curves: [ofSet],
      equal: true,
      box,
      words: "ROC curve",
      chosen: null,
      tell,
      drag,
      step: step(k, 1),
    });
    const priced = (at) => costAt(known, [unknown], state.costs, at), holder = html("div", {});
    let priceOf = null, best = null, drawnFor = null;
    const counted = html("div", { class: "scroll" }), now = html("p", {});
    share.max = known.length;
    const fields = costFields(state.costs, (wanted_) => {
      state.costs = wanted_;
      follow();
    });
    const cheapest_ = button("cheapest threshold", () => {
      state.share = null;
      follow();
    });
    const auroc = numbers.get({ what: "scores", network: k, name: state.score }).metrics[state.against].AUROC;
    const price = () => {
      if (drawnFor === state.costs) return;
      drawnFor = state.costs;
      const least = cheapest(known, [unknown], state.costs), points = costCurve(known, [unknown], state.costs);
      best = [least, priced(least)];
      const x = { low, high, label: "threshold" }, words = "Cost per image at every threshold";
      priceOf = costs({ points, cheapest: best, x, box, words, drag, tell, step: step(k) });
      holder.replaceChildren(priceOf.node);
    };
    price(); // before the panel is renewed, which hands the focus on
    renew(panel, [
      html(
        "h2",
        {},
        `${titles[k]}, ${data.scores[state.score].label} against ${labels[1]}: AUROC ${percent(auroc)}`,
      ),
      legend([
        { mark: "chosen", label: "this threshold" },
        { mark: "stop", label: "the cheapest" },
        { mark: "limit", label: "ROC: equal cost" },
      ]),
      html("div", { class: "charts" }, html("div", {}, rocs.node), holder),
      counted,
      sharing,
      now,
      html("fieldset", {}, html("legend", {}, "Costs"), fields.labels, cheapest_),
    ]);
    return () => {
      const at = thresholdOf(k), counts = both.map((sorted) => accepted(sorted, at));
      price();
      const [tpr, fpr] = counts.map((n, g) => n / both[g].length);
      rocs.move([{ threshold: at, tpr, fpr }], state.costs);
      priceOf.move(at, priced(at));
      share.value = counts[0];
      counted.replaceChildren(table(
        ["", "accepted", "rejected"],
        both.map(({ length }, g) => {
          const cells = [counts[g], length - counts[g]].map((n) => [`${count(n)} (${percent(n / length)})`, n]);
          const made = row(labels[g], cells, { "data-set": [ID, state.against][g] });
          made.children[2 - g].classList.add("wrong");
          return made;
        }),
      ));
      now.textContent = `Score \u2265 ${number(at, 4)} costs ${number(priced(at))} per image; the cheapest is \u2265 ${
        number(best[0], 4)
      } with ${number(best[1])}.`;
    };
  }

  // --- the page ------------------------------------------------------------------------------------------------------
  /** Take settings over once the numbers of their score are there; of two calls, the later one's score counts. */
  async function set(settings) {
    Object.assign(coming, settings);
    const wantedScore = () => coming.score ?? state.score, name = wantedScore();
    const requests = data.networks.map((_, network) => ({ what: "scores", network, name }));
    if (!requests.every(numbers.get)) await Promise.all(requests.map(numbers.load));
    if (wantedScore() !== name) return;
    const drawn = "picture" in coming;
    [state, coming] = [{ ...state, ...coming }, {}];
    for (const list of element.querySelectorAll("select[name]")) list.value = state[list.name];
    press();
    if (drawn) show(state.picture);
    lay();
  }
  const choose = (title, name, labels) =>
    chooser(
      title,
      name,
      offered[name].map((key) => [key, labels[key].label]),
      state[name],
      (value) => set({ [name]: value }),
    );
  const tabs = html(
    "div",
    { class: "tabs", role: "group", "aria-label": "What to look at" },
    Object.entries(PANELS).map(([key, text]) =>
      button(text, () => {
        state.panel = key;
        press();
        lay();
      }, { "data-panel": key })
    ),
  );
  const press = () =>
    tabs.querySelectorAll("button").forEach((item) =>
      item.setAttribute("aria-pressed", String(item.dataset.panel === state.panel))
    );
  const shelves = html("select", {
    "aria-label": "Pictures to choose from",
    onchange: () => {
      shelf = held[shelves.selectedIndex];
      from = 0;
      fillSamples();
    },
  }, held.map((name) => html("option", {}, labelOf(data, data.networks[0], name))));
  const turn = (by) => () => {
    const all = 8 * Math.ceil(data.networks[0].n[shelf] / 8);
    from = (from + by + all) % all;
    fillSamples();
  };
  element.replaceChildren(
    html(
      "div",
      { class: "parts" },
      html(
        "div",
        { class: "picture" },
        html("div", { class: "layers" }, pad, cell),
        html(
          "div",
          { class: "tools" },
          button("wipe", () => show(null)),
          ends && html("label", { class: "small" }, "from a 4 to an A ", reached, morph),
        ),
      ),
      html(
        "div",
        { class: "answers" },
        html(
          "div",
          { class: "tabs" },
          choose("Score", "score", data.scores),
          choose("Against", "against", data.sets),
        ),
        spoken,
        rows,
      ),
      html(
        "div",
        { class: "samples" },
        html(
          "div",
          { class: "tabs" },
          shelves,
          button("\u2039", turn(-8), { title: "Former pictures" }),
          button("\u203a", turn(8), { title: "Next pictures" }),
        ),
        samples,
      ),
      html("div", { class: "reasons" }, tabs, panel),
    ),
  );
  press();
  if (state.picture) show(state.picture);
  await fillSamples();
  return {
    lay,
    show,
    judge,
    set,
    state: () => state,
    judged: () => said,
    morphed,
  };
}

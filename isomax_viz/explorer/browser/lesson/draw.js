// Draw: a picture on the pad, and four losses answer in the page; why they do; what a threshold costs.
import {
  accepted,
  atShare,
  below,
  binned,
  cheapest,
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
import { colors, html, legend } from "../marks.js";
import { histogram, lines, roc } from "../charts.js";
import { labelOf, look, withDensity } from "../stage.js";
import { markup, pictures } from "../pictures.js";

export const SCORES = ["es", "mps", "mds", "max_logit", "energy"];
const LESSON = {
  score: "es",
  against: "letters",
  share: 0.95, // of known images to accept; null: whatever costs least
  focus: 0,
  panel: "why",
  picture: null,
  costs: { accept: 1, reject: 1, unknown: 0.5 },
};
const PANELS = { why: "Why?", cost: "Threshold and cost" };
const PAD = 32, BLOCK = 4, SIDE = PAD / BLOCK;

/** Write a term: small ones as powers of ten, which are read more easily than rows of zeros. */
const term = (
  value,
) => (value && Math.abs(value) < 1e-3 ? value.toExponential(1).replaceAll("-", "\u2212") : number(value));

/** Return the terms of a score for one picture: a heading, a row for each class, and what they add up to. */
function terms(score, { logits, probabilities, distances, scores }) {
  const exponents = logits.map((logit) => Math.exp(logit - scores.max_logit)),
    [first] = [...distances].sort((a, b) => a - b);
  const parts = {
    mps: [
      ["logit z", logits],
      ["p = e^z / \u03a3 e^z", probabilities],
      "the largest p",
      probabilities.indexOf(Math.max(...probabilities)),
    ],
    es: [
      ["p", probabilities],
      ["p \u00b7 log p", probabilities.map((p) => (p ? p * Math.log(p) : 0))],
      "the sum of p \u00b7 log p (minus the entropy)",
      null,
    ],
    mds: [
      ["distance d", distances],
      ["\u2212d", distances.map((d) => -d)],
      "minus the smallest distance",
      distances.indexOf(first),
    ],
    max_logit: [["logit z", logits], null, "the largest logit", logits.indexOf(scores.max_logit)],
    energy: [
      ["logit z", logits],
      [`e^(z ${scores.max_logit > 0 ? "\u2212" : "+"} ${number(Math.abs(scores.max_logit))})`, exponents],
      `${number(scores.max_logit)} + log ${number(sum(exponents))}`,
      null,
    ],
  };
  const [one, two, words, marked] = parts[score];
  return { columns: [one, two].filter(Boolean), words, marked, value: scores[score] };
}

/** Make a state whole: what a link of another version says wrongly gives way to what the lesson starts with. */
function possible(wanted) {
  const state = { ...LESSON, ...(wanted || {}) }, costs = { ...LESSON.costs, ...(state.costs || {}) };
  if (!SCORES.includes(state.score)) state.score = LESSON.score;
  if (!Object.hasOwn(PANELS, state.panel)) state.panel = LESSON.panel;
  const whole = Array.isArray(state.picture) && state.picture.length === SIDE * SIDE &&
    state.picture.every(Number.isFinite);
  return { ...state, costs, focus: state.focus || 0, picture: whole ? state.picture : null };
}

/**
 * Show the pad and the answers.
 *
 * data, saved: as for mount(); judges: one network for each of data.networks, none as long as they are being read.
 */
export async function drawing(
  element,
  { data, saved, numbers, judges, present, state: wanted, changed = (_now) => {} },
) {
  let state = possible(wanted),
    said = null,
    waiting = false,
    follow = () => {};
  const draw = pictures({ saved, ask: null }), sets = Object.keys(data.sets);
  if (!sets.includes(state.against)) [state.against] = sets;
  const titles = data.networks.map(({ title }) => title);
  const spoken = html("p", { role: "status", "aria-live": "polite" }),
    panel = html("div", { class: "panel" }),
    rows = html("div", { class: "losses" });
  const pad = html("canvas", {
    class: "pad",
    width: PAD,
    height: PAD,
    role: "img",
    "aria-label": "Drawing pad: draw with the pointer",
  });
  const pen = pad.getContext("2d", { willReadFrequently: true });
  const button = (text, onclick, more = {}) => html("button", { type: "button", onclick, ...more }, text);
  const columns = (k) =>
    [ID, state.against].map((name) =>
      numbers.get({ what: "scores", network: k, name: state.score }).columns[name].sorted
    );
  const price = () => ({
    accept_unknown: state.costs.accept,
    reject_known: state.costs.reject,
    share_unknown: state.costs.unknown,
  });
  const thresholdOf = (k) => {
    const [known, unknown] = columns(k);
    return state.share === null ? cheapest(known, [unknown], price()) : atShare(known, state.share);
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
  function show(picture) {
    state.picture = picture;
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

  async function pixels(set, index) {
    const item = { set, index },
      image = (await draw(0, [item])).get(item),
      ink = image.getContext("2d").getImageData(0, 0, SIDE, SIDE).data;
    return Array.from({ length: SIDE * SIDE }, (_, k) => ink[4 * k]);
  }
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
  const ends = data.morph && [await pixels(ID, data.morph[0]), await pixels(data.morph[1], data.morph[2])];
  const morph = html("input", {
    type: "range",
    min: 0,
    max: 100,
    value: 0,
    "aria-label": "From a 4 to an A, in percent",
    oninput: () =>
      show(ends[0].map((value, k) => Math.round(value + ((ends[1][k] - value) * morph.valueAsNumber) / 100))),
  });

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
    return `${
      titles.map((title, k) =>
        `${title} ${Math.fround(said[k].scores[state.score]) >= thresholdOf(k) ? "accepts" : "rejects"} it as a ${
          data.networks[k].classes[said[k].prediction]
        }`
      ).join(", ")
    }.`;
  }
  const tell = (text) => {
    spoken.textContent = text || sentences();
  };
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
  const step = (k) => (event) => {
    const move = { ArrowRight: -1, ArrowUp: -1, ArrowLeft: 1, ArrowDown: 1, PageUp: -10, PageDown: 10 }[event.key],
      n = columns(k)[0].length;
    if (!move) return;
    event.preventDefault();
    state.share = Math.min(n, Math.max(1, accepted(columns(k)[0], thresholdOf(k)) + move)) / n;
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

  async function lay() {
    await Promise.all(data.networks.map((_, network) => numbers.load({ what: "scores", network, name: state.score })));
    if (!element.getBoundingClientRect().width) return; // another part is shown
    const size = present() ? 15 : 11,
      width = Math.max(200, Math.floor(rows.getBoundingClientRect().width) - 2),
      narrow = width < 30 * size;
    const cells = data.networks.map((_, k) => {
      const words = html("div", { class: "says" }),
        chart = histogram({
          ...binnedOf(k, 40),
          box: { width: narrow ? width : Math.floor(0.62 * width), height: 9.6 * size, size },
          words: `${titles[k]}: scores of known and unknown images`,
          threshold: true,
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
            onclick: () => {
              state.focus = k;
              lay();
            },
          }, titles[k]),
          words,
        ),
        chart.node,
      );
      return { words, chart, box };
    });
    const { groups } = binnedOf(0, 2);
    rows.replaceChildren(
      legend(groups.map((group) => ({ look: group.look, label: `${group.label} (n = ${count(group.n)})` }))),
      ...cells.map(({ box }) => box),
    );
    const filled = { why, cost: costs }[state.panel](size);
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
          html("span", {}, `entropy ${number(-scores.es)} of ${number(Math.log(classes.length))}`),
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
      spoken.textContent = sentences();
      element.dataset.drawn = Number(element.dataset.drawn || 0) + 1;
      changed(state);
    };
    follow();
  }

  // --- why -----------------------------------------------------------------------------------------------------------
  function why() {
    const { label, formula, explanation } = data.scores[state.score], place = html("div", { class: "scroll" });
    panel.replaceChildren(
      html("h2", {}, `${titles[state.focus]}: ${label} of this picture`),
      html("p", {}, formula ? markup(formula) : "", explanation),
      place,
    );
    return () => {
      if (!said) {
        place.replaceChildren(
          html("p", { class: "small" }, "Draw or choose a picture: its numbers stand here, term by term."),
        );
        return;
      }
      const { columns: all, words, marked, value } = terms(state.score, said[state.focus]),
        { classes } = data.networks[state.focus],
        [known, unknown] = columns(state.focus);
      place.replaceChildren(
        html(
          "table",
          {},
          html(
            "thead",
            {},
            html("tr", {}, ["class", ...all.map(([name]) => name)].map((text) => html("th", { scope: "col" }, text))),
          ),
          html(
            "tbody",
            {},
            classes.map((name, j) =>
              html(
                "tr",
                { class: j === marked ? "marked" : null },
                html("th", { scope: "row" }, name),
                all.map(([, values]) => html("td", {}, term(values[j]))),
              )
            ),
          ),
        ),
        html("p", { class: "sum" }, `${label} = ${words} = `, html("b", { "data-value": value }, number(value, 4))),
        html(
          "p",
          {},
          `Threshold ${number(thresholdOf(state.focus), 4)}: ${
            Math.fround(value) >= thresholdOf(state.focus) ? "accepted" : "rejected"
          }. The score lies above ${percent(below(known, value) / known.length)} of the known and ${
            percent(below(unknown, value) / unknown.length)
          } of the unknown images.`,
        ),
      );
    };
  }

  // --- threshold and cost --------------------------------------------------------------------------------------------
  function costs(size) {
    const k = state.focus,
      [known, unknown] = columns(k),
      points = curve(known, unknown),
      { classes: _, ...about } = data.networks[k];
    const priced = ({ fpr, tpr }) =>
      state.costs.accept * state.costs.unknown * fpr + state.costs.reject * (1 - state.costs.unknown) * (1 - tpr);
    const width = Math.max(200, Math.floor(panel.getBoundingClientRect().width) - 2),
      half = width > 34 * size ? Math.floor(width / 2) - size : width;
    const box = { width: half, height: 15 * size, size },
      finite = points.filter(({ threshold }) => Number.isFinite(threshold));
    const ofSet = {
      look: { ...data.sets[state.against], dash: [] },
      label: labelOf(data, about, state.against),
      points,
      side: k,
    };
    const rocs = roc({ curves: [ofSet], box, words: "ROC curve", chosen: null, tell, drag: (value) => hold(value, k) });
    const priceOf = finite.map((point) => [point.threshold, priced(point)]),
      span = (axis) => ({
        low: Math.min(...priceOf.map((point) => point[axis])),
        high: Math.max(...priceOf.map((point) => point[axis])),
      });
    const priceLine = lines({
      curves: [{ look: { ...about, dash: [] }, label: "cost", points: priceOf }],
      x: { ...span(0), label: "threshold" },
      y: { ...span(1), low: 0, label: "cost per image" },
      box,
      words: "Cost of every threshold",
      tell,
      drag: (value) => hold(value, k),
    });
    const rates = (threshold) => ({
      threshold,
      tpr: accepted(known, threshold) / known.length,
      fpr: accepted(unknown, threshold) / unknown.length,
    });
    const best_ = rates(cheapest(known, [unknown], price())),
      body = html("tbody", {}),
      now = html("p", {});
    const field = (name, text, max) =>
      html(
        "label",
        { class: "small" },
        `${text} `,
        html("input", {
          type: "number",
          min: 0,
          max,
          step: "any",
          value: state.costs[name],
          name,
          "aria-label": text,
          onchange: (event) => {
            const value = Math.min(max ?? Infinity, Math.max(0, event.target.valueAsNumber || 0));
            state.costs = { ...state.costs, [name]: value };
            lay();
          },
        }),
      );
    const share = html("input", {
      type: "range",
      min: 1,
      max: known.length,
      "aria-label": "Known images to accept",
      oninput: () => {
        state.share = share.valueAsNumber / known.length;
        follow();
      },
    });
    panel.replaceChildren(
      html("h2", {}, `${titles[k]}, ${data.scores[state.score].label}: what a threshold does`),
      html("div", { class: "charts" }, html("div", {}, rocs.node), html("div", {}, priceLine.node)),
      html(
        "div",
        { class: "scroll" },
        html(
          "table",
          {},
          html(
            "thead",
            {},
            html("tr", {}, ["", "accepted", "rejected"].map((text) => html("th", { scope: "col" }, text))),
          ),
          body,
        ),
      ),
      html("label", { class: "small" }, "accept more or fewer known images ", share),
      now,
      html(
        "fieldset",
        {},
        html("legend", {}, "Costs"),
        field("accept", "an unknown image accepted"),
        field("reject", "a known one rejected"),
        field("unknown", "share of unknown images", 1),
        button("cheapest threshold", () => {
          state.share = null;
          follow();
        }),
      ),
    );
    return () => {
      const place = rates(thresholdOf(k)), counts = [known, unknown].map((sorted) => accepted(sorted, place.threshold));
      rocs.move([place]);
      priceLine.move(place.threshold, priced(place));
      share.value = counts[0];
      body.replaceChildren(
        ...[known, unknown].map((sorted, g) =>
          html(
            "tr",
            { "data-set": [ID, state.against][g] },
            html("th", { scope: "row" }, labelOf(data, about, [ID, state.against][g])),
            [counts[g], sorted.length - counts[g]].map((value, c) =>
              html(
                "td",
                { class: c === g ? null : "wrong", "data-value": value },
                `${count(value)} (${percent(value / sorted.length)})`,
              )
            ),
          )
        ),
      );
      now.textContent = `Score \u2265 ${number(place.threshold, 4)} costs ${
        number(priced(place))
      } per image; the cheapest is \u2265 ${number(best_.threshold, 4)} with ${number(priced(best_))}.`;
    };
  }

  // --- the page ------------------------------------------------------------------------------------------------------
  const choose = (title, name, options) =>
    html(
      "label",
      {},
      `${title} `,
      html("select", {
        name,
        onchange: (event) => {
          state[name] = options[event.target.selectedIndex][0];
          lay();
        },
      }, options.map(([key, text]) => html("option", { selected: state[name] === key }, text))),
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
    const n = data.networks[0].n[shelf];
    from = (from + by + n - (n % 8)) % (n - (n % 8));
    fillSamples();
  };
  element.replaceChildren(
    html(
      "div",
      { class: "parts" },
      html(
        "div",
        { class: "picture" },
        pad,
        html("div", { class: "tabs" }, button("wipe", () => show(null))),
        ends && html("label", { class: "small" }, "from a 4 to an A ", morph),
        html(
          "div",
          { class: "tabs" },
          shelves,
          button("\u2039", turn(-8), { title: "Former pictures" }),
          button("\u203a", turn(8), { title: "Next pictures" }),
        ),
        samples,
      ),
      html(
        "div",
        { class: "answers" },
        html(
          "div",
          { class: "tabs" },
          choose("Score", "score", SCORES.map((key) => [key, data.scores[key].label])),
          choose("Against", "against", sets.map((name) => [name, data.sets[name].label])),
        ),
        spoken,
        rows,
      ),
      html("div", {}, tabs, panel),
    ),
  );
  press();
  if (state.picture) show(state.picture);
  await Promise.all([fillSamples(), lay()]);
  return {
    lay,
    show,
    judge,
    set: (settings) => {
      state = possible({ ...state, share: LESSON.share, ...settings });
      for (const list of element.querySelectorAll("select[name]")) {
        list.value = [...list.options].find(({ text }) =>
          text === (list.name === "score" ? data.scores[state.score] : data.sets[state.against]).label
        ).value;
      }
      press();
      lay();
    },
    state: () => state,
    judged: () => said,
    morphed: (share) => ends[0].map((value, k) => Math.round(value + (ends[1][k] - value) * share)),
  };
}

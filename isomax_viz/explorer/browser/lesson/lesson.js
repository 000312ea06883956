// Lesson: the page around drawing, the moons and the questions; what is known of the networks reaches all of them.
import { atShare, ID, sum } from "../numbers.js";
import { source, whole } from "../source.js";
import { html } from "../marks.js";
import { dress, onLook } from "../surroundings.js";
import { judged, network } from "./network.js";
import { toyNetwork, toyTraining } from "./toy.js";
import { drawing, SCORES } from "./draw.js";
import { moons } from "./moons.js";
import { units } from "./units.js";

const PARTS_OF = { draw: "Draw", moons: "Two moons", units: "Questions" };

/** Return the bytes behind letters, as explorer/lesson_page.py wrote them: one letter a byte, deflated, even places first. */
export async function fromLetters(text) {
  const letters = new TextDecoder("windows-1252").decode(Uint8Array.from({ length: 256 }, (_, k) => k));
  const places = new Uint8Array(1 << 14), bytes = new Uint8Array(text.length);
  for (let k = 0; k < 256; k += 1) places[letters.charCodeAt(k)] = k;
  let n = 0;
  for (let k = 0; k < text.length; k += 1, n += 1) {
    const escaped = text.charCodeAt(k) === 61; // "="
    if (escaped) k += 1;
    bytes[n] = places[text.charCodeAt(k)] - (escaped ? 106 : 42);
  }
  const apart = await whole(bytes.subarray(0, n)),
    even = Math.ceil(apart.length / 2),
    result = new Uint8Array(apart.length);
  for (let k = 0; k < result.length; k += 1) result[k] = apart[(k % 2 ? even : 0) + (k >> 1)];
  return result;
}

/**
 * Show the lesson: drawing, the moons, the questions.
 *
 * data: what explorer/lesson_page.py puts together; buffers: the networks' files, or promises of them; state: what is shown first; changed(state):
 * told of every change; ask: a kernel, absent on a page.
 */
export async function lesson(
  element,
  {
    data: { data, saved, networks, toy, list, parts },
    buffers,
    state: wanted = {},
    changed = (_state) => {},
    ask = null,
  },
) {
  const judges = [];
  const state = { part: parts[0], present: false, draw: {}, moons: {}, gaps: {}, ...wanted },
    numbers = source({ saved, ask: null });
  const root = html("section", { class: "isomax-viz-explorer lesson", "aria-label": "Lesson: known or unknown?" }),
    link = html("span", { role: "status", class: "small" });
  const rooms = Object.fromEntries(parts.map((part) => [part, html("div", { "data-part": part })])), made = {};
  const button = (text, onclick, more = {}) => html("button", { type: "button", onclick, ...more }, text);
  const index = (loss) => data.networks.findIndex(({ place }) => place.loss === loss);
  const columns = (loss, score, set) =>
    numbers.get({ what: "scores", network: index(loss), name: score }).columns[set].sorted;
  const morph = (loss, score) => {
    const at = atShare(columns(loss, score, ID), 0.95);
    for (let k = 0; k <= 100; k += 1) {
      if (judges[index(loss)].judge(made.draw.morphed(k / 100)).scores[score] < at) return k / 100;
    }
    return 1;
  };
  const train = (loss, points, labels, seed) => {
    const network_ = toyNetwork(loss, toy.classes.length, seed);
    return { network: network_, steps: toyTraining(network_, points, labels, { seed }) };
  };
  const far = (loss) => {
    const { network: network_, steps } = train(loss, toy.points, toy.labels, 0);
    while (!steps.next().done);
    return sum(toy.far.map((point) => judged(network_.at(network_.feature(point))).scores.mps)) / toy.far.length;
  };
  const page = {
    columns,
    morph,
    far,
    classes: data.networks[0].classes.length,
    look: (loss) => data.networks[index(loss)],
  };
  const shown = {
    draw: () => made.draw.lay(),
    units: () => judges.length && made.units.go(),
    moons: () => {
      if (made.moons) made.moons.repaint();
      else {made.moons = moons(rooms.moons, {
          toy,
          losses: data.losses,
          scores: Object.fromEntries(["mds", "es", "mps"].map((key) => [key, data.scores[key]])),
          state: state.moons,
          changed: (now) => keep("moons", now),
        });}
    },
  };
  const nav = parts.length > 1
    ? html(
      "nav",
      { class: "tabs" },
      parts.map((part) => button(PARTS_OF[part], () => open(part), { "data-open": part })),
    )
    : "";
  const theme = () => dress(root, element, state.present);
  function keep(part, now) {
    state[part] = now;
    changed(state);
  }
  function open(part) {
    state.part = part;
    theme();
    for (const [name, room] of Object.entries(rooms)) room.hidden = name !== part;
    root.querySelectorAll("[data-open]").forEach((item) =>
      item.setAttribute("aria-pressed", String(item.dataset.open === part))
    );
    shown[part]();
  }
  root.append(
    html(
      "div",
      { class: "tabs" },
      nav,
      button("present", ({ target }) => {
        state.present = !state.present;
        target.setAttribute("aria-pressed", String(state.present));
        open(state.part);
      }),
      !ask && button("copy link", async () => {
        const { gaps: _, ...given } = state; // guesses are each learner's own
        const address = `${location.href.split("#")[0]}#${encodeURIComponent(JSON.stringify(given))}`;
        try {
          await navigator.clipboard.writeText(address);
          link.textContent = "Copied.";
        } catch {
          link.textContent = address;
        }
      }),
      link,
    ),
    ...Object.values(rooms),
  );
  element.replaceChildren(root);
  if (rooms.draw || rooms.units) {
    await Promise.all(
      data.networks.flatMap((_, network_) =>
        SCORES.map((name) => numbers.load({ what: "scores", network: network_, name }))
      ),
    );
  }
  if (rooms.draw || rooms.units) {
    made.draw = await drawing(rooms.draw || html("div"), {
      data,
      saved,
      numbers,
      judges,
      present: () => state.present,
      state: state.draw,
      changed: (now) => keep("draw", now),
    });
  }
  if (rooms.units) {
    made.units = units(rooms.units, {
      list,
      page,
      present: () => state.present,
      kept: state.gaps,
      changed: (gaps) => keep("gaps", gaps),
      attempt: ({ part = "draw", ...settings }) => {
        if (part === "draw") made.draw.set(settings);
        open(part);
      },
    });
  }
  open(rooms[state.part] ? state.part : parts[0]);
  const read = Promise.all(buffers).then((files) => {
    judges.push(
      ...files.map((bytes, k) =>
        network(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), networks[k])
      ),
    );
    if (made.draw) made.draw.judge();
    if (state.part === "units") open("units");
    root.dataset.ready = "";
  }).catch(() => {
    const words =
      "The networks in this page cannot be read: a server called it UTF-8, or it is damaged. Open it from disk.";
    root.prepend(html("p", { class: "error", role: "alert" }, words));
  });
  const close = onLook(root, element, () => {
    theme();
    shown[state.part]();
  });
  return Object.assign(made, {
    read,
    state: () => state,
    open,
    train,
    restore: () => {},
    close,
  });
}

// Lesson: the page around drawing, the moons and the questions; what is known of the networks reaches all of them.
import { atShare, ID, sum } from "../numbers.js";
import { source, whole } from "../source.js";
import { button, html, problem } from "../marks.js";
import { dress, onLook } from "../surroundings.js";
import { judged, network } from "./network.js";
import { toyNetwork, toyTraining } from "./toy.js";
import { drawing } from "./draw.js";
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
    const code = text.charCodeAt(k), escaped = code === 61; // "="
    bytes[n] = escaped ? places[text.charCodeAt(k += 1)] - 106 : places[code] - 42;
  }
  const apart = await whole(bytes.subarray(0, n)),
    even = Math.ceil(apart.length / 2),
    result = new Uint8Array(apart.length);
  for (let k = 0; k < even; k += 1) result[2 * k] = apart[k];
  for (let k = even; k < apart.length; k += 1) result[2 * (k - even) + 1] = apart[k];
  return result;
}

/** Make a state whole: what a link of another version says wrongly gives way to what the lesson starts with. */
function possible({ start, offered, list, parts }, wanted) {
  const state = { ...start, ...wanted }, isNumber = (value) => Number.isFinite(value);
  for (const [part, choices] of Object.entries(offered)) {
    const held = state[part] = { ...start[part], ...state[part] };
    for (const [name, values] of Object.entries(choices)) {
      if (!values.includes(held[name])) held[name] = start[part][name];
    }
  }
  const { draw, moons: { moved } } = state, { picture, share } = draw;
  draw.picture = Array.isArray(picture) && picture.length === 64 && picture.every(isNumber) ? picture : null;
  draw.costs = { ...start.draw.costs, ...draw.costs };
  if (share !== null && !(share > 0 && share <= 1)) draw.share = start.draw.share;
  [state.moons.moved, state.gaps] = [{ ...moved }, { ...state.gaps }];
  if (!Object.hasOwn(list, state.question)) state.question = start.question;
  if (!parts.includes(state.part)) state.part = parts[0];
  return state;
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
    data: given,
    buffers,
    state: wanted = {},
    changed = (_state) => {},
    ask = null,
  },
) {
  const { data, saved, networks, toy, list, parts, start, offered } = given, judges = [];
  let asks = false; // questions wait until all scores are read
  const state = possible(given, wanted),
    numbers = source({ saved, ask: null });
  const root = html("section", { class: "isomax-viz-explorer lesson", "aria-label": "Lesson: known or unknown?" }),
    link = html("span", { role: "status", class: "small" });
  const room = (part) => html("div", { "data-part": part, hidden: part !== state.part });
  const rooms = Object.fromEntries(parts.map((part) => [part, room(part)])), made = {};
  const index = (loss) => data.networks.findIndex(({ place }) => place.loss === loss);
  const load = (names) =>
    Promise.all(
      data.networks.flatMap((_, network_) =>
        names.map((name) => numbers.load({ what: "scores", network: network_, name }))
      ),
    );
  const said = (loss, score) => numbers.get({ what: "scores", network: index(loss), name: score });
  const columns = (loss, score, set) => said(loss, score).columns[set].sorted;
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
    metrics: (loss, score, set) => said(loss, score).metrics[set],
    morph,
    far,
    classes: data.networks[0].classes.length,
    look: (loss) => data.networks[index(loss)],
  };
  const asked = () =>
    units(rooms.units, {
      list,
      page,
      at: state.question,
      turned: (at) => keep("question", at),
      present: () => state.present,
      kept: () => state.gaps,
      changed: (gaps) => keep("gaps", gaps),
      attempt: ({ part = "draw", ...settings }) => {
        if (part === "draw") made.draw.set({ share: start.draw.share, ...settings });
        turnTo(part);
      },
    });
  const trained = () =>
    moons(rooms.moons, {
      toy,
      losses: data.losses,
      scores: data.scores,
      offered: offered.moons,
      state: state.moons,
      changed: (now) => keep("moons", now),
    });
  const shown = {
    draw: () => made.draw?.lay(), // a button may be pressed before it is there
    units: () => asks && (made.units ??= asked()).go(),
    moons: () => made.moons ? made.moons.repaint() : made.moons = trained(),
  };
  const nav = parts.length > 1
    ? html(
      "nav",
      { class: "tabs" },
      parts.map((part) => button(PARTS_OF[part], () => turnTo(part), { "data-open": part })),
    )
    : "";
  const theme = () => dress(root, element, state.present);
  function keep(part, now) {
    state[part] = now;
    changed(state);
  }
  function open(part) {
    state.part = rooms[part] ? part : parts[0];
    theme();
    for (const [name, room] of Object.entries(rooms)) room.hidden = name !== state.part;
    root.querySelectorAll("[data-open]").forEach((item) =>
      item.setAttribute("aria-pressed", String(item.dataset.open === state.part))
    );
    present.setAttribute("aria-pressed", String(state.present));
    shown[state.part]();
  }
  function turnTo(part) {
    open(part);
    changed(state);
  }
  const present = button("present", () => {
    state.present = !state.present;
    turnTo(state.part);
  });
  root.append(
    html(
      "div",
      { class: "tabs" },
      nav,
      present,
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
  theme();
  if (rooms.draw || rooms.units) {
    const drawn = drawing(rooms.draw || html("div"), {
      data,
      saved,
      numbers,
      judges,
      present: () => state.present,
      state: state.draw,
      offered: offered.draw,
      changed: (now) => keep("draw", now),
    });
    await load([state.draw.score]);
    made.draw = await drawn;
  }
  const read = Promise.all(buffers).then((files) =>
    judges.push(
      ...files.map((bytes, k) =>
        network(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), networks[k])
      ),
    )
  ).then(() => {
    if (made.draw) made.draw.judge();
    root.dataset.ready = "";
    return made.draw && load(offered.draw.score).then(() => {
      asks = true;
      if (state.part === "units") open("units");
    });
  }, () => {
    const words =
      "The networks in this page cannot be read: a server called it UTF-8, or it is damaged. Open it from disk.";
    root.prepend(problem(words));
  }).catch((error) => {
    root.prepend(problem(`The lesson cannot go on (${error.message}). Open it anew.`));
    throw error;
  });
  const stop = onLook(root, element, () => open(state.part)); // at once, and whenever width or theme change
  return Object.assign(made, {
    read,
    state: () => state,
    open,
    train,
    restore: async (next) => {
      Object.assign(state, possible(given, next));
      made.moons?.stop();
      delete made.moons;
      delete made.units;
      await made.draw?.set(state.draw);
      open(state.part);
    },
    close: () => {
      stop();
      made.moons?.stop();
    },
  });
}

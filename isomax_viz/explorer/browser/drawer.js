// Drawer: what stands beside the plot: pictures behind the numbers, one image of one's own, words, files.
import { below, count, held, ID, number, percent, sum } from "./numbers.js";
import { button, colors, html, paragraph, problem, renew, row, small, table, titleOf } from "./marks.js";
import { bitmap, markup, pictures } from "./pictures.js";
import { PRESETS, selected, selectionWords, WRONG } from "./select.js";
import { chosenColumns, labelOf, look, scored } from "./stage.js";

const PAGE = 16;
const OF_RIVALS = ["loss", "entropic_scale", "name"]; // in which networks for the same task may differ

const bar = (label, value, low, high, text) => {
  const width = `width:${(100 * (value - low)) / (high - low || 1)}%`;
  return html("div", { class: "bar" }, html("span", {}, label), html("i", { style: width }), html("span", {}, text));
};

/** Build the drawer. place: all that the explorer shows; it is read anew at every refresh. */
export function drawer(node, { data, source: numbers, saved, ask, place, change, told, judged }) {
  let page = 0, turn = 0, about = null;
  const draw = pictures({ saved, source: numbers, ask });
  const body = html("div", {});
  const shows = (...items) => renew(body, items.flat().filter(Boolean));
  const sideOf = ({ state, sides }) => sides[state.selection?.side || 0];
  const open = (item) => {
    about = item;
    refresh();
  };
  const load = (request) => numbers.load(request).catch(() => null);

  /** What can be chosen without a gesture in the plot, and how A and B fail where they are compared. */
  function choices({ state, failed }, side) {
    const choose = (by, which, label, title = null) => {
      const held = state.selection?.by === by && state.selection.which === which;
      const selection = { by, side: 0, ...(which && { which }) };
      return button(label, () => change({ selection }), { title, "aria-pressed": String(held) });
    };
    const presets = scored(data.views[state.view].kind) ? Object.entries(PRESETS) : [];
    const tallies = (failed || []).map(({ name, a, b, both, n }) =>
      row(labelOf(data, side.about, name), [a, b, both, n].map((value) => [count(value), value]))
    );
    const wrong = Object.entries(failed ? WRONG : {}).map(([which, label]) => choose("wrong", which, label));
    const buttons = [...presets.map(([by, [label, words]]) => choose(by, undefined, label, words)), ...wrong];
    return [html("div", { class: "tabs" }, buttons), failed && table(["", "A only", "B only", "both", "of"], tallies)];
  }

  /** Turn the pages, zoom to what is chosen, or clear the choice. */
  function tools({ selection }, pages) {
    const turnTo = (step) => () => {
      page += step;
      refresh();
    };
    const zoom = selection.range || (selection.by === "plane" && { x: selection.x, y: selection.y });
    return html(
      "div",
      { class: "tabs" },
      pages > 1 && [
        button("\u2039", turnTo(-1), { disabled: page === 0, title: "Former page" }),
        html("span", {}, `page ${page + 1} of ${pages}`),
        button("\u203a", turnTo(1), { disabled: page === pages - 1, title: "Next page" }),
      ],
      zoom && button("zoom in", () => change({ zoom, selection })),
      button("clear", () => change({ selection: null })),
    );
  }

  async function showPictures(mine) {
    const shown = place(), { state, sides, stage: { values } } = shown, side = sideOf(shown);
    const head = choices(shown, side), found = selected(data, state, sides, values);
    if (!state.selection) {
      const how = "Draw a range in the plot with the pointer, click on a bar, or choose above: the images behind it " +
        "stand here.";
      return shows(head, small(how));
    }
    if (!found) return shows(head, paragraph("This page holds counts only: it has no images to name."));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(page, pages - 1);
    const here = found.slice(page * PAGE, (page + 1) * PAGE), { classes } = side.about, labels = {};
    const said = selectionWords(data, state, sides, values, found);
    const words = html("p", { class: "chosen", role: "status" }, said), thumbs = html("div", { class: "thumbs" });
    shows(head, words, tools(state, pages), thumbs);
    if (!here.length) return null;
    for (const set of new Set(here.map((item) => item.set))) {
      labels[set] = await load({ what: "labels", network: side.network, name: set });
    }
    if (mine !== turn) return null;
    const holders = new Map(here.map((item) => [item, html("div", { class: "picture" })]));
    thumbs.append(...here.map((item) => {
      const known = labels[item.set], own = known?.labels[item.index], set = labelOf(data, side.about, item.set);
      const text = [
        own >= 0 ? `${item.set === ID ? "" : `${set} `}${classes[own]}` : set,
        known ? `says ${classes[known.predictions[item.index]]}` : `no. ${item.index}`,
        item.value === null ? "" : `${item.of === undefined ? "" : `${classes[item.of]}: `}${number(item.value, 4)}`,
      ];
      const title = `${set}, image ${item.index}: ${text.join(", ")}. Click: why is it there?`;
      const made = button("", () => open(item), { style: colors(look(data, side.about, item.set)), title });
      made.append(holders.get(item), ...text.map((line) => html("div", {}, line)));
      return made;
    }));
    const wait = small("Looking for the pictures \u2026");
    words.after(wait);
    try {
      const images = await draw(side.network, here);
      if (mine === turn) { for (const [item, image] of images) holders.get(item).replaceChildren(image); }
      wait.remove();
    } catch (error) {
      wait.textContent = error.message;
      wait.setAttribute("role", "alert");
    }
    return null;
  }

  /** The logits or distances of one image as bars, those of most classes only where there are many. */
  function bars(title, all, index, classes, largest) {
    const values = [...all.subarray(index * classes.length, (index + 1) * classes.length)];
    const order = values.map((_, k) => k), many = classes.length > 20, way = largest ? -1 : 1;
    if (many) order.sort((a, b) => way * (values[a] - values[b]));
    const from = Math.min(...values, ...(largest ? [] : [0])), high = Math.max(...values);
    const shown = order.slice(0, 20).map((k) => bar(classes[k], values[k], from, high, number(values[k])));
    return [titleOf(`${title}${many ? " (first 20)" : ""}`), ...shown];
  }

  async function showOne(mine) {
    const { state, ...shown } = place(), item = about, side = sideOf({ state, ...shown });
    const { network, about: { classes, title, place: own } } = side, { set, index } = item;
    const back = button("\u2039 back to the pictures", () => open(null));
    shows(back, paragraph("\u2026"));
    const [labels, said, images] = await Promise.all([
      load({ what: "labels", network, name: set }),
      load({ what: "logits", network, name: set }),
      draw(network, [item]).catch(() => new Map()),
    ]);
    if (mine !== turn) return;
    images.get(item)?.classList.add("large");
    const label = labels?.labels[index], called = html("b", {}, `${labelOf(data, side.about, set)}, image ${index}`);
    const says = labels ? `. ${title} says ${classes[labels.predictions[index]]}.` : "";
    const places = table(["", "score", "ID below", "threshold", ""], []), like = html("div", {});
    shows(
      back,
      images.get(item),
      html("p", {}, called, label >= 0 ? `: ${classes[label]}` : "", says),
      said?.logits && bars("Logits", said.logits, index, classes, true),
      said?.distances && bars("Distances", said.distances, index, classes, false),
      like,
      titleOf("Its place under every loss and score"),
      places,
    );
    showNearest(like, side, item);
    const rival = ({ n, place: other }) =>
      Object.hasOwn(n, set) &&
      Object.keys(other).every((name) => OF_RIVALS.includes(name) || other[name] === own[name]);
    for (const [k, other] of data.networks.entries()) {
      for (const name of rival(other) ? other.scores : []) {
        const answer = await load({ what: "scores", network: k, name });
        if (mine !== turn) return;
        if (!answer?.columns[set].values) continue;
        const value = answer.columns[set].values[index], same = k === network && name === side.score;
        const rule = typeof state.threshold === "number" && !same ? "tpr95" : state.threshold;
        const [known, ...unknown] = chosenColumns({ about: other, answer }, state).map(({ sorted }) => sorted),
          { threshold } = held(rule, known, unknown);
        places.tBodies[0].append(row(`${other.title} \u00b7 ${data.scores[name].label}`, [
          number(value),
          percent(below(known, value) / known.length),
          number(threshold),
          value >= Math.fround(threshold) ? "accepted" : "rejected",
        ]));
      }
    }
  }

  /** The training pictures with the most similar features, or why there are none. */
  async function showNearest(holder, { network, about: { classes } }, { set: name, index: own }) {
    holder.append(titleOf("Nearest training pictures (features as unit vectors)"));
    try {
      if (!ask) throw new Error("They need a running kernel: iv.explore(captures) in a notebook.");
      const { index, label, distance } = await numbers.load({ what: "nearest", network, name, index: own });
      const items = index.map((place) => ({ set: "train", index: place })), images = await draw(network, items);
      const near = (item, k) => html("div", {}, images.get(item), small(`${classes[label[k]]} ${number(distance[k])}`));
      holder.append(html("div", { class: "thumbs" }, items.map(near)));
    } catch (error) {
      holder.append(small(error.message));
    }
  }

  function showExplain() {
    const { sides } = place(), told = (name, formula, words) => html("p", {}, html("b", {}, name), formula, words);
    const scores = [...new Set(sides.map(({ score }) => data.scores[score]))].map((score) => {
      const { label, name, formula, explanation, source: from } = score;
      const words = ` ${explanation} Higher = more in-distribution.${from ? ` Source: ${from}.` : ""}`;
      return told(name === label ? name : `${label}: ${name}`, formula && markup(formula), words);
    });
    const far = sides.some(({ score }) => score === "mds");
    const losses = [...new Set(sides.map(({ about: { place: { loss } } }) => data.losses[loss]))].map((loss) => {
      const { label, formula, words, distances } = loss;
      return words && told(label, formula && markup(formula), ` ${words}${far && distances ? ` ${distances}` : ""}`);
    });
    const metrics = Object.entries(data.metrics).map((
      [name, words],
    ) => [html("dt", {}, html("b", {}, name)), html("dd", {}, words)]);
    const counted = "In-distribution (ID) is the positive class: rejected ID images and accepted OOD images are " +
      "errors. Bars count images; counts are exact at every threshold.";
    shows(scores, losses, html("dl", {}, metrics.flat()), small(counted));
  }

  /** What one network says of an image of one's own, as two rows: the second has the words. */
  function verdict({ network, scores, called, probability, words }) {
    const { state } = place(), about_ = data.networks[network], { label } = data.scores[state.score];
    const rows = (says, score, where) => {
      const second = html("tr", {}, html("td", { colspan: 3, class: "small words" }, where));
      return [row(about_.title, [says, score]), second];
    };
    if (words) return rows("", "", words);
    const says = `${called} (${percent(probability)})`, value = scores[state.score];
    if (value === undefined) return rows(says, "", `${label} is stored beside the recorded images: others have none.`);
    const answer = numbers.get({ what: "scores", network, name: state.score });
    if (!answer) return rows(says, number(value), "");
    const [known, ...unknown] = chosenColumns({ about: about_, answer }, state).map(({ sorted }) => sorted);
    const rule = typeof state.threshold === "number" && network !== state.network ? "tpr95" : state.threshold;
    const passed = value >= held(rule, known, unknown).threshold ? "accepted" : "rejected";
    const share = (all) =>
      percent(sum(all.map((sorted) => below(sorted, value))) / sum(all.map(({ length }) => length)));
    return rows(says, number(value), `${passed}; above ${share([known])} of ID, ${share(unknown)} of OOD`);
  }

  /** A field of 32 by 32 points, counted in 4 by 4 blocks as the scans of the digits were. */
  function drawingPad(send) {
    const words = "Drawing pad, 32 by 32 points, counted in 4 by 4 blocks";
    const pad = html("canvas", { class: "pad", width: 32, height: 32, "aria-label": words });
    const pen = pad.getContext("2d", { willReadFrequently: true });
    const dot = ({ buttons, clientX, clientY }) => {
      if (!(buttons & 1)) return;
      const { left, top, width, height } = pad.getBoundingClientRect();
      pen.fillStyle = "#fff";
      pen.beginPath();
      pen.arc((32 * (clientX - left)) / width, (32 * (clientY - top)) / height, 1.8, 0, 7);
      pen.fill();
      const pixels = pen.getImageData(0, 0, 32, 32).data, blocks = new Array(64).fill(0);
      for (let k = 0; k < 1024; k += 1) {
        if (pixels[4 * k] > 127) blocks[8 * Math.floor(k / 128) + Math.floor((k % 32) / 4)] += 1;
      }
      send({ pad: blocks }, []);
    };
    pad.addEventListener("pointerdown", dot);
    pad.addEventListener("pointermove", dot);
    return { pad, clear: () => pen.clearRect(0, 0, 32, 32) };
  }

  /** An image of one's own, { items, say }: the fields to give it, and what every network says of it. */
  function ownImage() {
    const out = html("div", { class: "verdict", role: "status" }), seen = html("canvas", { class: "picture large" });
    let busy = false, next = null, wiped = 0, rows = [], drawn = false, wrong = null;
    const say = async () => {
      const { score: name } = place().state, able = ({ network }) => data.networks[network].scores.includes(name);
      await Promise.all(rows.filter(able).map(({ network }) => load({ what: "scores", network, name })));
      const said = table(["", "says", data.scores[place().state.score].label], rows.flatMap(verdict));
      const dashed = small("The dashed line in the plot is this image.");
      const verdicts = [drawn ? "" : seen, html("div", { class: "scroll" }, said), dashed];
      out.replaceChildren(...(wrong ? [wrong] : rows.length ? verdicts : []));
    };
    const send = async (request, buffers) => { // one question at a time; of those that wait, the last counts
      if (busy) {
        next = [request, buffers];
        return;
      }
      busy = true;
      const { network } = place().state, before = wiped;
      let found = [], failed = null;
      try {
        const answer = await ask({ what: "judge", network, ...request }, buffers),
          image = await bitmap(answer.buffers[0]);
        [seen.width, seen.height] = [image.width, image.height];
        seen.getContext("2d").drawImage(image, 0, 0);
        found = answer.json.rows;
      } catch (error) {
        failed = problem(error.message);
      }
      if (before === wiped) {
        [rows, drawn, wrong] = [found, "pad" in request, failed];
        judged(rows);
      }
      busy = false;
      const waiting = next;
      next = null;
      if (waiting) send(...waiting);
    };
    const take = async (given) => given && send({ name: given.name }, [await given.arrayBuffer()]);
    const onchange = () => take(file.files[0]);
    const file = html("input", { type: "file", accept: "image/*", "aria-label": "An image file to score", onchange });
    const how = "Choose or drop an image file: it is cropped and scaled to what the network knows, and stays between " +
      "this page and the kernel.";
    const { pad, clear } = drawingPad(send);
    const wipe = () => {
      clear();
      wiped += 1;
      [rows, next, wrong] = [[], null, null];
      judged(rows);
    };
    const pen = [small("Draw a digit; the networks answer as the pen moves."), pad, button("wipe", wipe)];
    return { items: [...(data.pad ? pen : []), small(how), file, out], say, take };
  }

  let own = null; // what was drawn stays while something else is chosen
  function showOwn() {
    if (!ask || !data.judges) {
      const why = ask
        ? "No trained network is at hand for these captures: scoring an image needs one. iv.Experiment(...).run() keeps it."
        : "Scoring an image of your own needs the trained network: open the explorer in a notebook, iv.explore(captures).";
      return shows(paragraph(why));
    }
    own ??= ownImage();
    if (!body.contains(own.items[0])) shows(own.items); // the pen may be on the pad
    own.say();
    body.ondragover = (event) => event.preventDefault();
    body.ondrop = (event) => {
      event.preventDefault();
      own.take(event.dataTransfer.files[0]);
    };
    return null;
  }

  function showTake() {
    const { state } = place(), out = html("div", { role: "status" }), say = (...items) => out.replaceChildren(...items);
    const asked = (request, made) => async () => {
      try {
        say(made((await ask(request)).json));
      } catch (error) {
        say(problem(error.message));
      }
    };
    const copy = (text) => async () => {
      try {
        await navigator.clipboard.writeText(text);
        say(paragraph("Copied."), html("pre", {}, text));
      } catch {
        say(html("pre", {}, text));
      }
    };
    const save = (suffix) =>
      button(suffix.toUpperCase(), asked({ what: "save", suffix }, ({ path }) => paragraph(`Saved ${path}`)));
    const text = JSON.stringify(state), link = `${location.href.split("#")[0]}#${encodeURIComponent(text)}`;
    const code = () => button("show code", asked({ what: "code" }, (json) => html("pre", {}, json.code)));
    const items = ask ? [...data.formats.map(save), code()] : [button("copy link", copy(link))];
    const where = ask
      ? "Files lie beside the notebook. Settings are what restore() takes."
      : "A link opens this page as it stands now.";
    shows(html("div", { class: "tabs" }, items, button("copy settings", copy(text))), small(where), out);
  }

  function refresh() {
    const mine = (turn += 1), { state } = place();
    node.hidden = !state.drawer;
    if (!state.drawer) return;
    body.ondrop = body.ondragover = null;
    if (state.drawer === "pictures") (about ? showOne(mine) : showPictures(mine)).catch(told);
    else ({ explain: showExplain, one: showOwn, take: showTake })[state.drawer]();
  }
  node.append(body);
  return {
    refresh,
    forget: () => {
      about = null;
      page = 0;
    },
  };
}

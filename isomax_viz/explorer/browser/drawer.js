// Drawer: what stands beside the plot: pictures behind the numbers, one image of one's own, words, files.
import { below, count, held, ID, number, percent, sum } from "./numbers.js";
import { colors, html, row, table } from "./marks.js";
import { bitmap, markup, pictures } from "./pictures.js";
import { PRESETS, selected, selectionWords, WRONG } from "./select.js";
import { chosenColumns, labelOf, look, scored } from "./stage.js";

const PAGE = 16;

const bar = (label, value, low, high, text) =>
  html(
    "div",
    { class: "bar" },
    html("span", {}, label),
    html("i", { style: `width:${(100 * (value - low)) / (high - low || 1)}%` }),
    html("span", {}, text),
  );

/** Build the drawer. place: all that the explorer shows; it is read anew at every refresh. */
export function drawer(node, { data, source: numbers, saved, ask, place, change, told, judged }) {
  let page = 0, turn = 0, about = null;
  const draw = pictures({ saved, ask });
  const body = html("div", {});
  const shows = (items) => body.replaceChildren(...items);
  const button = (text, onclick, more = {}) => html("button", { type: "button", onclick, ...more }, text);

  async function showPictures(mine) {
    const { state, sides, stage: shown, failed } = place(),
      side = sides[(state.selection && state.selection.side) || 0];
    const presets = scored(data.views[state.view].kind)
      ? Object.entries(PRESETS).map(([by, [label, words]]) =>
        button(label, () => change({ selection: { by, side: 0 } }), {
          title: words,
          "aria-pressed": String(Boolean(state.selection && state.selection.by === by)),
        })
      )
      : [];
    const tallies = (failed || []).map(({ name, a, b, both, n }) =>
      row(labelOf(data, side.about, name), [a, b, both, n].map((value) => [count(value), value]))
    );
    const wrong = failed ? table(["", "A only", "B only", "both", "of"], tallies) : "";
    const which = failed
      ? Object.entries(WRONG).map(([name, label]) =>
        button(label, () => change({ selection: { by: "wrong", which: name, side: 0 } }), {
          "aria-pressed": String(Boolean(state.selection && state.selection.which === name)),
        })
      )
      : [];
    const head = [html("div", { class: "tabs" }, presets, which), wrong];
    const found = selected(data, state, sides, shown.values);
    if (!state.selection) {
      return shows([
        ...head,
        html(
          "p",
          { class: "small" },
          "Draw a range in the plot with the pointer, click on a bar, or choose above: the images behind it stand here.",
        ),
      ]);
    }
    if (!found) return shows([...head, html("p", {}, "This page holds counts only: it has no images to name.")]);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(page, pages - 1);
    const here = found.slice(page * PAGE, (page + 1) * PAGE),
      zooms = state.selection.range || (state.selection.by === "plane" && state.selection);
    const turnTo = (step) => {
      page += step;
      refresh();
    };
    const words = html(
      "p",
      { class: "chosen", role: "status" },
      selectionWords(data, state, sides, shown.values, found),
    );
    const tools = html(
      "div",
      { class: "tabs" },
      pages > 1
        ? [
          button("\u2039", () => turnTo(-1), { disabled: page === 0, title: "Former page" }),
          html("span", {}, `page ${page + 1} of ${pages}`),
          button("\u203a", () => turnTo(1), { disabled: page === pages - 1, title: "Next page" }),
        ]
        : "",
      zooms
        ? button("zoom in", () =>
          change({
            zoom: state.selection.range || { x: state.selection.x, y: state.selection.y },
            selection: state.selection,
          }))
        : "",
      button("clear", () => change({ selection: null })),
    );
    const thumbs = html("div", { class: "thumbs" });
    shows([...head, words, tools, thumbs]);
    if (!here.length) return null;
    const labels = {};
    for (const set of new Set(here.map((item) => item.set))) {
      labels[set] = await numbers.load({ what: "labels", network: side.network, name: set }).catch(() => null);
    }
    if (mine !== turn) return null;
    const holders = new Map(here.map((item) => [item, html("div", { class: "picture" })]));
    thumbs.append(...here.map((item) => {
      const { classes } = side.about,
        known = labels[item.set],
        own = known && known.labels[item.index],
        set = labelOf(data, side.about, item.set);
      const text = [
        known && own >= 0 ? `${item.set === ID ? "" : `${set} `}${classes[own]}` : set,
        known ? `says ${classes[known.predictions[item.index]]}` : `no. ${item.index}`,
        item.value === null ? "" : `${item.of === undefined ? "" : `${classes[item.of]}: `}${number(item.value, 4)}`,
      ];
      const shown_ = button("", () => {
        about = item;
        refresh();
      }, {
        style: colors(look(data, side.about, item.set)),
        title: `${set}, image ${item.index}: ${text.join(", ")}. Click: why is it there?`,
      });
      shown_.append(holders.get(item), ...text.map((line) => html("div", {}, line)));
      return shown_;
    }));
    const wait = html("p", { class: "small" }, "Looking for the pictures \u2026");
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

  async function showOne(mine) {
    const { state, sides } = place(),
      item = about,
      side = sides[(state.selection && state.selection.side) || 0],
      set = labelOf(data, side.about, item.set);
    const back = button("\u2039 back to the pictures", () => {
      about = null;
      refresh();
    });
    shows([back, html("p", {}, "\u2026")]);
    const classes = side.about.classes, parts = [];
    const [labels, said, image] = await Promise.all([
      numbers.load({ what: "labels", network: side.network, name: item.set }).catch(() => null),
      numbers.load({ what: "logits", network: side.network, name: item.set }).catch(() => null),
      draw(side.network, [item]).catch(() => new Map()),
    ]);
    if (image.get(item)) {
      image.get(item).classList.add("large");
      parts.push(image.get(item));
    }
    const own = labels && labels.labels[item.index];
    parts.push(
      html(
        "p",
        {},
        html("b", {}, `${set}, image ${item.index}`),
        own >= 0 ? `: ${classes[own]}` : "",
        labels ? `. ${side.about.title} says ${classes[labels.predictions[item.index]]}.` : "",
      ),
    );
    for (const [name, title] of [["logits", "Logits"], ["distances", "Distances"]]) {
      if (!said || !said[name]) continue;
      const values = [...said[name].subarray(item.index * classes.length, (item.index + 1) * classes.length)],
        order = values.map((_, k) => k);
      if (classes.length > 20) {
        order.sort((a, b) => (name === "logits" ? values[b] - values[a] : values[a] - values[b]));
      }
      const [low, high] = [Math.min(0, ...values), Math.max(...values)],
        from = name === "logits" ? Math.min(...values) : low;
      parts.push(
        html("div", { class: "title" }, `${title}${classes.length > 20 ? " (first 20)" : ""}`),
        ...order.slice(0, 20).map((k) => bar(classes[k], values[k], from, high, number(values[k]))),
      );
    }
    const rivals = data.networks.map((network, k) => [network, k]).filter(([network]) =>
      Object.hasOwn(network.n, item.set) &&
      Object.entries(network.place).every(([name, value]) =>
        ["loss", "entropic_scale", "name"].includes(name) || value === side.about.place[name]
      )
    );
    const places = table(["", "score", "ID below", "threshold", ""], []);
    parts.push(html("div", { class: "title" }, "Its place under every loss and score"), places);
    shows([back, ...parts]);
    for (const [network, k] of rivals) {
      for (const name of network.scores) {
        const answer = await numbers.load({ what: "scores", network: k, name }).catch(() => null);
        if (mine !== turn) return;
        if (!answer || !answer.columns[item.set].values) continue;
        const value = answer.columns[item.set].values[item.index], same = k === side.network && name === side.score;
        const rule = typeof state.threshold === "number" && !same ? "tpr95" : state.threshold;
        const [known, ...unknown] = chosenColumns({ about: network, answer }, state).map(({ sorted }) => sorted),
          { threshold } = held(rule, known, unknown);
        places.tBodies[0].append(row(`${network.title} \u00b7 ${data.scores[name].label}`, [
          number(value),
          percent(below(known, value) / known.length),
          number(threshold),
          value >= Math.fround(threshold) ? "accepted" : "rejected",
        ]));
      }
    }
  }

  function showExplain() {
    const { sides } = place(), items = [];
    for (const key of new Set(sides.map((side) => side.score))) {
      const { label, name, formula, explanation, source: from } = data.scores[key];
      items.push(
        html(
          "p",
          {},
          html("b", {}, name === label ? name : `${label}: ${name}`),
          formula ? markup(formula) : "",
          ` ${explanation} Higher = more in-distribution.${from ? ` Source: ${from}.` : ""}`,
        ),
      );
    }
    for (const loss of new Set(sides.map((side) => side.about.place.loss))) {
      const { label, formula, words, distances } = data.losses[loss] || {};
      if (words) {
        items.push(html(
          "p",
          {},
          html("b", {}, label),
          formula ? markup(formula) : "",
          ` ${words}${sides.some((side) => side.score === "mds") && distances ? ` ${distances}` : ""}`,
        ));
      }
    }
    items.push(
      html(
        "dl",
        {},
        Object.entries(data.metrics).flatMap((
          [name, words],
        ) => [html("dt", {}, html("b", {}, name)), html("dd", {}, words)]),
      ),
    );
    items.push(
      html(
        "p",
        { class: "small" },
        "In-distribution (ID) is the positive class: rejected ID images and accepted OOD images are errors. Bars count images; counts are exact at every threshold.",
      ),
    );
    shows(items);
  }

  function verdict({ rows, problem }, seen) {
    const { state } = place();
    const said = rows.map(({ network, scores, called, probability, words }) => {
      const entry = data.networks[network];
      if (words) return row(entry.title, ["", "", words]);
      const says = `${called} (${percent(probability)})`, value = scores[state.score];
      if (value === undefined) {
        const stored = `${data.scores[state.score].label} is stored beside the recorded images: others have none.`;
        return row(entry.title, [says, "", stored]);
      }
      const answer = numbers.get({ what: "scores", network, name: state.score });
      if (!answer) return row(entry.title, [says, number(value), ""]);
      const [known, ...unknown] = chosenColumns({ about: entry, answer }, state).map(({ sorted }) => sorted);
      const rule = typeof state.threshold === "number" && network !== state.network ? "tpr95" : state.threshold;
      const passed = value >= held(rule, known, unknown).threshold ? "accepted" : "rejected";
      const share = (all) =>
        percent(sum(all.map((sorted) => below(sorted, value))) / sum(all.map(({ length }) => length)));
      return row(entry.title, [
        says,
        number(value),
        `${passed}; above ${share([known])} of ID, ${share(unknown)} of OOD`,
      ]);
    });
    return [
      seen || "",
      problem ? html("p", { role: "alert" }, problem) : "",
      html("div", { class: "scroll" }, table(["", "says", data.scores[state.score].label, "where"], said)),
      html("p", { class: "small" }, "The dashed line in the plot is this image."),
    ];
  }

  function showOwn() {
    if (!ask || !data.judges) {
      return shows([
        html(
          "p",
          {},
          ask
            ? "No trained network is at hand for these captures: scoring an image needs one. iv.Experiment(...).run() keeps it."
            : "Scoring an image of your own needs the trained network: open the explorer in a notebook, iv.explore(captures).",
        ),
      ]);
    }
    const out = html("div", { class: "verdict", role: "status" }), busy = { now: false, next: null };
    const send = async (request, buffers) => {
      if (busy.now) {
        busy.next = [request, buffers];
        return;
      }
      busy.now = true;
      const { state } = place();
      try {
        const answer = await ask({ what: "judge", network: state.network, ...request }, buffers);
        const seen = html("canvas", { class: "picture large" }), image = await bitmap(answer.buffers[0]);
        [seen.width, seen.height] = [image.width, image.height];
        seen.getContext("2d").drawImage(image, 0, 0);
        judged(answer.json.rows);
        for (const { network } of answer.json.rows) {
          if (data.networks[network].scores.includes(state.score)) {
            await numbers.load({ what: "scores", network, name: state.score });
          }
        }
        out.replaceChildren(...verdict(answer.json, request.pad ? null : seen));
      } catch (error) {
        out.replaceChildren(html("p", { class: "error", role: "alert" }, error.message));
      }
      busy.now = false;
      if (busy.next) {
        const next = busy.next;
        busy.next = null;
        send(...next);
      }
    };
    const file = html("input", {
      type: "file",
      accept: "image/*",
      "aria-label": "An image file to score",
      onchange: async () => {
        if (file.files[0]) send({ name: file.files[0].name }, [await file.files[0].arrayBuffer()]);
      },
    });
    const items = [
      html(
        "p",
        { class: "small" },
        "Choose or drop an image file: it is cropped and scaled to what the network knows, and stays between this page and the kernel.",
      ),
      file,
    ];
    if (data.pad) {
      const pad = html("canvas", {
          class: "pad",
          width: 32,
          height: 32,
          "aria-label": "Drawing pad, 32 by 32 points, counted in 4 by 4 blocks",
        }),
        pen = pad.getContext("2d", { willReadFrequently: true });
      const dot = (event) => {
        if (!(event.buttons & 1)) return;
        const box = pad.getBoundingClientRect();
        pen.fillStyle = "#fff";
        pen.beginPath();
        pen.arc(
          (32 * (event.clientX - box.left)) / box.width,
          (32 * (event.clientY - box.top)) / box.height,
          1.8,
          0,
          7,
        );
        pen.fill();
        const pixels = pen.getImageData(0, 0, 32, 32).data, blocks = new Array(64).fill(0);
        for (let k = 0; k < 1024; k += 1) {
          if (pixels[4 * k] > 127) blocks[8 * Math.floor(k / 128) + Math.floor((k % 32) / 4)] += 1;
        }
        send({ pad: blocks }, []);
      };
      pad.addEventListener("pointerdown", dot);
      pad.addEventListener("pointermove", dot);
      items.unshift(
        html("p", { class: "small" }, "Draw a digit; the networks answer as the pen moves."),
        pad,
        button("wipe", () => {
          pen.clearRect(0, 0, 32, 32);
          judged([]);
          out.replaceChildren();
        }),
      );
    }
    body.ondragover = (event) => event.preventDefault();
    body.ondrop = async (event) => {
      event.preventDefault();
      const dropped = event.dataTransfer.files[0];
      if (dropped) send({ name: dropped.name }, [await dropped.arrayBuffer()]);
    };
    return shows([...items, out]);
  }

  function showTake() {
    const { state } = place(), out = html("div", { role: "status" }), say = (...items) => out.replaceChildren(...items);
    const asked = (request, made) => async () => {
      try {
        say(made((await ask(request)).json));
      } catch (error) {
        say(html("p", { class: "error", role: "alert" }, error.message));
      }
    };
    const copy = (text) => async () => {
      try {
        await navigator.clipboard.writeText(text);
        say(html("p", {}, "Copied."), html("pre", {}, text));
      } catch {
        say(html("pre", {}, text));
      }
    };
    const items = ask
      ? ["png", "svg", "pdf", "csv", "json", "html"].map((suffix) =>
        button(suffix.toUpperCase(), asked({ what: "save", suffix }, ({ path }) => html("p", {}, `Saved ${path}`)))
      )
      : [];
    const text = JSON.stringify(state);
    shows([
      html(
        "div",
        { class: "tabs" },
        items,
        ask
          ? button("show code", asked({ what: "code" }, ({ code }) => html("pre", {}, code)))
          : button("copy link", copy(`${location.href.split("#")[0]}#${encodeURIComponent(text)}`)),
        button("copy settings", copy(text)),
      ),
      html(
        "p",
        { class: "small" },
        ask
          ? "Files lie beside the notebook. Settings are what restore() takes."
          : "A link opens this page as it stands now.",
      ),
      out,
    ]);
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

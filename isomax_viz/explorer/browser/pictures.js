// Pictures: those behind the numbers, cut out of sheets; and formulas.
import { inflated } from "./source.js";
import { html } from "./marks.js";

export function markup(text) { // formulas come as MathML, which the package itself made
  return html("span", { class: "formula" }, new DOMParser().parseFromString(text, "text/html").body.firstChild || "");
}

export const bitmap = (buffer) => createImageBitmap(new Blob([buffer], { type: "image/png" }));

/** Return draw(canvas, set, index) for pictures of a set: of the page's sheet, or from the kernel. */
export function pictures({ saved, ask }) {
  const sheets = new Map();
  const cut = (sheet, place, columns) => {
    const made = html("canvas", { class: "picture" }), side = [sheet.image.width / columns, sheet.height];
    [made.width, made.height] = side;
    made.getContext("2d").drawImage(
      sheet.image,
      (place % columns) * side[0],
      Math.floor(place / columns) * side[1],
      ...side,
      0,
      0,
      ...side,
    );
    return made;
  };
  return async (network, wanted) => {
    const found = new Map();
    for (const [set, items] of Map.groupBy(wanted, ({ set }) => set)) {
      const key = JSON.stringify({ what: "pictures", name: set });
      let answer = sheets.get(key);
      const held = saved && Object.hasOwn(saved.answers, key);
      if (!answer) {
        const { json, buffers } = held
          ? { json: saved.answers[key].json, buffers: [await inflated(saved.buffers[saved.answers[key].buffers[0]])] }
          : await ask({ what: "pictures", network, name: set, indices: items.map(({ index }) => index) });
        answer = { image: await bitmap(buffers[0]), height: json.height, columns: json.columns };
        if (held) sheets.set(key, answer);
      }
      items.forEach((item, k) => found.set(item, cut(answer, held ? item.index : k, answer.columns)));
      if (!held) answer.image.close();
    }
    return found;
  };
}

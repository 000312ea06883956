// Pictures: those behind the numbers, cut out of sheets; and formulas.
import { html } from "./marks.js";

export function markup(text) { // formulas come as MathML, which the package itself made
  return html("span", { class: "formula" }, new DOMParser().parseFromString(text, "text/html").body.firstChild || "");
}

export const bitmap = (buffer) => createImageBitmap(new Blob([buffer], { type: "image/png" }));

/** Return draw(network, items), which gives pictures of sets: of the page's sheets, or from the kernel. */
export function pictures({ saved, source }) {
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
      const whole = { what: "pictures", name: set };
      const held = saved && Object.hasOwn(saved.answers, JSON.stringify(whole));
      const sheet = await source.load(held ? whole : { ...whole, network, indices: items.map(({ index }) => index) });
      sheet.image ??= await bitmap(sheet.png);
      items.forEach((item, k) => found.set(item, cut(sheet, held ? item.index : k, sheet.columns)));
    }
    return found;
  };
}

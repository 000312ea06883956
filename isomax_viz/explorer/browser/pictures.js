// Pictures: those behind the numbers, cut out of sheets; and formulas.
import { html } from "./marks.js";

export function markup(text) { // formulas come as MathML, which the package itself made
  return html("span", { class: "formula" }, new DOMParser().parseFromString(text, "text/html").body.firstChild || "");
}

export const bitmap = (buffer) => createImageBitmap(new Blob([buffer], { type: "image/png" }));

const KEPT_SHEETS = 16; // of those from the kernel, as they came: the drawer is filled anew often

/** Return draw(network, items), which gives pictures of sets: of the page's sheets, decoded once, or from the kernel. */
export function pictures({ saved, source, ask = null }) {
  const sheets = new Map(), answers = new Map();
  const decoded = async ({ png, ...rest }) => ({ ...rest, image: await bitmap(png) });
  const asked = async (request) => {
    const { json, buffers: [png] } = await ask(request);
    return { ...json, png };
  };
  const answered = (request) => {
    const key = JSON.stringify(request), answer = answers.get(key) ?? asked(request);
    if (!answers.has(key)) answer.catch(() => answers.delete(key));
    answers.set(key, answer);
    if (answers.size > KEPT_SHEETS) answers.delete(answers.keys().next().value);
    return answer;
  };
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
      const held = !ask || (saved && Object.hasOwn(saved.answers, JSON.stringify(whole)));
      if (held && !sheets.has(set)) sheets.set(set, source.load(whole).then(decoded));
      const indices = items.map(({ index }) => index);
      const sheet = await (held ? sheets.get(set) : answered({ ...whole, network, indices }).then(decoded));
      items.forEach((item, k) => found.set(item, cut(sheet, held ? item.index : k, sheet.columns)));
      if (!held) sheet.image.close();
    }
    return found;
  };
}

// Controls: what can be chosen, as the fields of a form. Each knows what it would change (a patch of the state).
import { button, html, renew } from "./marks.js";
import { scored } from "./stage.js";

const MANY = 9; // more than that are a list, not buttons

/** Return the network at a value of a dimension: what was chosen last is kept, the rest gives way where none has both. */
function nearest(data, from, dimension, value) {
  const names = Object.keys(data.dimensions), wanted = { ...data.networks[from].place, [dimension]: value };
  const order = [dimension, ...names];
  const likeness = data.networks.map(({ place }) =>
    order.reduce((total, name, k) => total + (place[name] === wanted[name] ? 2 ** (order.length - k) : 0), 0)
  );
  return likeness.indexOf(Math.max(...likeness));
}

/** The kinds of fields: option (a button that stays pressed), select, choose (either, by their number), press. */
function fields({ change, foresee, unique }) {
  const option = (type, name, [value, text, title], checked, patch) => {
    const label = title ? `${text}: ${title}` : text, attributes = { type, name: `${name}-${unique}`, value, checked };
    const input = html("input", { ...attributes, "aria-label": label, onchange: () => change(patch) });
    return html(
      "label",
      { class: "option", title, onpointerenter: () => foresee(patch) },
      input,
      html("span", {}, text),
    );
  };
  const select = (name, title, options, value, patch) => {
    const items = options.map(([item, text]) => html("option", { value: item, selected: item === value }, text));
    const chosen = () => change(patch(options[list.selectedIndex][0]));
    const list = html("select", { name, title, "aria-label": title, onchange: chosen }, items);
    return list;
  };
  const choose = (title, name, options, value, tooltip, patch) => {
    if (options.length < 2) return null;
    const legend = html("legend", { title: tooltip }, title);
    if (options.length > MANY) return html("fieldset", {}, legend, select(name, tooltip, options, value, patch));
    const items = options.map((item) => option("radio", name, item, item[0] === value, patch(item[0])));
    return html("fieldset", { "data-name": name }, legend, items);
  };
  const press = (text, patch, more = {}) => button(text, () => change(patch), more);
  return { option, select, choose, press };
}

const described = (keys, of) => keys.map((key) => [key, of[key].label, of[key].tooltip || of[key].name || ""]);

function besideFields({ data, state, kind }, { select }) {
  const { beside } = state, titles = data.networks.map((network, k) => [k, network.title]);
  const network = select(
    "beside",
    "A second network or score beside the first",
    [[-1, "nothing"], ...titles],
    beside ? beside.network : -1,
    (value) => ({ beside: value < 0 ? null : { network: value, score: beside ? beside.score : null } }),
  );
  const scores = beside && scored(kind) && select(
    "beside_score",
    "Score of B",
    described(data.networks[beside.network].scores, data.scores),
    beside.score || state.score,
    (score) => ({ beside: { ...beside, score } }),
  );
  const ranks = kind === "scores" || kind === "columns";
  const axes = (ranks || (beside && kind === "binned")) && select(
    "axes",
    "Axes of A and B",
    Object.entries(data.axes).filter(([key]) => (key === "rank" ? ranks : key === "own" || beside)),
    state.axes === "shared" && !beside ? "own" : state.axes,
    (value) => ({ axes: value, zoom: null, selection: null }),
  );
  return html("fieldset", {}, html("legend", {}, "Beside (B)"), network, scores, axes);
}

/**
 * Fill a form. change(patch) takes new settings, foresee(patch) hears what the pointer is over; threshold: its fields;
 * quantities: of the lines; first: the settings to go back to.
 */
export function fillControls(form, context) {
  const { data, state, views, kind, threshold, quantities, first } = context;
  const { option, select, choose, press } = fields(context), about = data.networks[state.network];
  const sets = Object.keys(data.sets).filter((name) => Object.hasOwn(about.n, name));
  const items = Object.entries(data.dimensions).map(([name, { label, tooltip, options }]) =>
    choose(label, name, options, about.place[name], tooltip, (value) => ({
      network: nearest(data, state.network, name, value),
    }))
  );
  if (scored(kind)) {
    const words = "Number by which known and unknown images are told apart";
    const beside = state.beside && { ...state.beside, score: null };
    const options = described(about.scores, data.scores);
    items.push(choose("Score", "score", options, state.score, words, (score) => ({ score, beside })));
  }
  if (!["lines", "matrix"].includes(kind) && sets.length > 1) {
    const chosen = sets.map((name) => {
      const without = state.ood.filter((item) => item !== name),
        with_ = [...state.ood, name],
        { label } = data.sets[name];
      const ood = state.ood.includes(name) ? (without.length ? without : state.ood) : with_;
      return option("checkbox", "ood", [name, label, `Compare with ${label}`], state.ood.includes(name), { ood });
    });
    items.push(html("fieldset", { "data-name": "ood" }, html("legend", {}, "Against"), chosen));
  }
  const listed = described(views, data.views);
  const view = select("view", "What the picture shows", listed, state.view, (key) => ({ view: key }));
  items.push(html("fieldset", {}, html("legend", {}, "View"), view));
  if (quantities.length > 1) {
    const named = quantities.map((name) => [name, name.replaceAll("_", " ")]);
    const list = select("quantity", "What to follow", named, state.quantity, (quantity) => ({ quantity }));
    items.push(html("fieldset", {}, html("legend", {}, "Quantity"), list));
  }
  if (kind !== "cost") items.push(besideFields(context, { select }));
  items.push(threshold);
  const pressed = (value) => ({ "aria-pressed": String(value) });
  const drawers = Object.entries(data.drawers).map(([key, label]) =>
    press(label, { drawer: state.drawer === key ? "" : key }, pressed(state.drawer === key))
  );
  const large = { title: "Everything larger, for the back row", ...pressed(state.present) };
  const back = { title: "Back to the first settings" };
  const others = [
    press("present", { present: !state.present }, large),
    press("reset", { ...first, present: state.present }, back),
    state.zoom && press("zoom back", { zoom: null }),
  ];
  items.push(html("fieldset", { "aria-label": "More" }, drawers), html("fieldset", {}, others));
  renew(form, items.filter(Boolean));
}

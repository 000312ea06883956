// Select: which images a choice means, and what is said about them.
import { limitsOf, wrong } from "./compare.js";
import { count, ID, number } from "./numbers.js";
import { chosenColumns, labelOf, pairedSets, scored, setsOf } from "./stage.js";

export const PRESETS = {
  confident_ood: ["most confident OOD", "out-of-distribution images with the highest scores: the surest errors"],
  doubtful_id: ["least confident ID", "in-distribution images with the lowest scores: known images that look unknown"],
  near_threshold: ["nearest the threshold", "images of all sets with scores nearest to the threshold"],
};
/** Whether a kind of picture has such a choice. */
export function choosable(kind, by) {
  if (by === "plane") return kind === "points" || kind === "compare";
  if (by === "wrong") return kind === "compare";
  return scored(kind) || (by === "value" && (kind === "binned" || kind === "columns"));
}
export const WRONG = { a: "wrong in A only", b: "wrong in B only", both: "wrong in both" };

const within = (value, [low, high]) => value >= low && value <= high;

/** Return the points of a plane that lie in a rectangle. */
function inPlane({ answer }, state, wanted) {
  const found = [];
  for (const { name, x, y, index } of answer.groups) {
    if (name !== ID && !state.ood.includes(name)) continue;
    for (let k = 0; k < x.length; k += 1) {
      if (within(x[k], wanted.x) && within(y[k], wanted.y)) found.push({ set: name, index: index[k], value: null });
    }
  }
  return found;
}

/** Return the values (one an image and class) of a histogram over classes that lie in a range, with their group. */
function inClasses({ about, answer, details }, state, { range }) {
  if (details.some((found) => !found)) return null;
  const [{ labels }, ...sets] = details, classes = about.classes.length, found = [];
  [ID, ...setsOf(about, state)].forEach((name, s) => {
    const values = sets[s][answer.values];
    for (let k = 0; k < values.length; k += 1) {
      if (!within(values[k], range)) continue;
      const index = Math.floor(k / classes), of = k % classes;
      const group = name !== ID ? name : of === labels[index] ? "intra-class ID" : "inter-class ID";
      found.push({ set: name, index, value: values[k], of, group });
    }
  });
  return found.sort((one, two) => one.value - two.value);
}

/** Return the images of a choice as { set, index, value }, as they are shown; null where single ones are not held. */
export function selected(data, state, sides, values) {
  const wanted = state.selection, { kind } = data.views[state.view];
  if (!wanted) return [];
  const side = sides[wanted.side || 0], found = [];
  if (wanted.by === "plane" && kind === "points") return inPlane(side, state, wanted);
  if (wanted.by === "value" && kind === "binned") return inClasses(side, state, wanted);
  const pairs = wanted.by === "plane" || wanted.by === "wrong" ? pairedSets(sides, state) : null;
  const columns = chosenColumns(side, state).filter(({ name }) => !pairs || pairs.includes(name));
  if (columns.some(({ values: all }) => !all)) return null;
  const limits = values && limitsOf(values);
  for (const { name, values: all } of columns) {
    const other = pairs && sides[1].answer.columns[name].values;
    const takes = {
      value: (value) => within(value, wanted.range),
      plane: (value, k) => within(value, wanted.x) && within(other[k], wanted.y),
      wrong: (value, k) => wrong(name, value, other[k], limits) === wanted.which,
      confident_ood: () => name !== ID,
      doubtful_id: () => name === ID,
      near_threshold: () => true,
    }[wanted.by];
    for (let k = 0; k < all.length; k += 1) if (takes(all[k], k)) found.push({ set: name, index: k, value: all[k] });
  }
  const at = values && values[wanted.side || 0].threshold;
  const order = {
    confident_ood: (one, two) => two.value - one.value,
    near_threshold: (one, two) => Math.abs(one.value - at) - Math.abs(two.value - at),
  }[wanted.by];
  return found.sort(order || ((one, two) => one.value - two.value));
}

/** Say how many images of each set (of a histogram over classes: values of each group) a choice holds. */
export function selectionWords(data, state, sides, values, found) {
  const wanted = state.selection, side = sides[wanted.side || 0], preset = PRESETS[wanted.by];
  const { kind, label } = data.views[state.view];
  if (preset) return preset[1];
  const what = kind === "binned" || kind === "columns" ? label.toLowerCase() : "scores";
  const ends = wanted.range && `${number(wanted.range[0])} to ${number(wanted.range[1])}`;
  const range = ends ? ` with ${what} from ${ends}` : wanted.which ? ` ${WRONG[wanted.which]}` : "";
  const groups = kind === "binned"
    ? side.answer.groups
    : Object.entries(side.about.n).map(([name, n]) => ({ name, n }));
  const per = groups.map(({ name, n }) => [found.filter(({ set, group = set }) => group === name).length, name, n])
    .filter(([amount]) => amount)
    .map(([amount, name, n]) => `${count(amount)} of ${count(n)} ${labelOf(data, side.about, name)}`);
  const at = values && Math.fround(values[wanted.side || 0].threshold);
  const rejected = ["scores", "cost", "roc"].includes(kind) ? found.filter(({ value }) => value < at).length : null;
  let said = rejected === null || !found.length ? "" : `; ${count(rejected)} of them rejected`;
  if (found.length && rejected === found.length) said = ", rejected";
  if (found.length && rejected === 0) said = ", accepted";
  return per.length ? `${per.join(", ")}${range}${said}.` : `No image${range}.`;
}

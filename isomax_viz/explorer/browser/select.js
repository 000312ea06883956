// Select: which images a choice means, and what is said about them.
import { count, ID, number } from "./numbers.js";
import { chosenColumns, labelOf, setsOf } from "./stage.js";

export const PRESETS = {
  confident_ood: ["most confident OOD", "out-of-distribution images with the highest scores: the surest errors"],
  doubtful_id: ["least confident ID", "in-distribution images with the lowest scores: known images that look unknown"],
  near_threshold: ["nearest the threshold", "images of all sets with scores nearest to the threshold"],
};
export const WRONG = { a: "wrong in A only", b: "wrong in B only", both: "wrong in both" };

/** Return the images of a choice as { set, index, value }, in the order in which they are shown; null where samples are not held. */
export function selected(data, state, sides, values) {
  const wanted = state.selection;
  if (!wanted) return [];
  const side = sides[wanted.side || 0], found = [];
  if (wanted.by === "plane" && data.views[state.view].kind === "points") {
    for (const group of side.answer.groups.filter(({ name }) => name === ID || state.ood.includes(name))) {
      for (let k = 0; k < group.x.length; k += 1) {
        if (within(group.x[k], wanted.x) && within(group.y[k], wanted.y)) {
          found.push({ set: group.name, index: group.index[k], value: null });
        }
      }
    }
    return found;
  }
  const columns = chosenColumns(side, state);
  if (columns.some(({ values: all }) => !all)) return null;
  for (const { name, values: all } of columns) {
    const other = sides[1] && sides[1].answer.columns && sides[1].answer.columns[name] &&
      sides[1].answer.columns[name].values;
    for (let k = 0; k < all.length; k += 1) {
      const value = all[k];
      let taken = wanted.by === "value"
        ? within(value, wanted.range)
        : wanted.by === "plane"
        ? other && within(value, wanted.x) && within(other[k], wanted.y)
        : wanted.by === "confident_ood"
        ? name !== ID
        : wanted.by === "doubtful_id"
        ? name === ID
        : true;
      if (wanted.by === "wrong") {
        const wrong = (score, s) => (score >= Math.fround(values[s].threshold)) !== (name === ID);
        const [a, b] = [wrong(value, 0), other && wrong(other[k], 1)];
        taken = wanted.which === "both" ? a && b : wanted.which === "a" ? a && !b && other : b && !a;
      }
      if (taken) found.push({ set: name, index: k, value });
    }
  }
  const at = values && values[wanted.side || 0].threshold;
  const order = {
    confident_ood: (one, two) => two.value - one.value,
    near_threshold: (one, two) => Math.abs(one.value - at) - Math.abs(two.value - at),
  }[wanted.by];
  return found.sort(order || ((one, two) => one.value - two.value));
}
const within = (value, [low, high]) => value >= low && value <= high;

/** Count how A and B fail, per set: { a, b, both, neither, n }. */
export function failures(sides, state, values) {
  const names = [ID, ...setsOf(sides[0].about, state)].filter((name) =>
    sides.every(({ answer }) => answer.columns[name] && answer.columns[name].values)
  );
  return names.map((name) => {
    const tally = { name, a: 0, b: 0, both: 0, n: 0 },
      [one, two] = sides.map(({ answer }) => answer.columns[name].values),
      limits = values.map(({ threshold }) => Math.fround(threshold));
    for (let k = 0; k < one.length; k += 1) {
      const a = (one[k] >= limits[0]) !== (name === ID), b = (two[k] >= limits[1]) !== (name === ID);
      tally.n += 1;
      if (a && b) tally.both += 1;
      else if (a) tally.a += 1;
      else if (b) tally.b += 1;
    }
    return tally;
  });
}

/** Say how many images of each set a choice holds, and how many of them are rejected. */
export function selectionWords(data, state, sides, values, found) {
  const wanted = state.selection, side = sides[wanted.side || 0], preset = PRESETS[wanted.by];
  if (preset) return preset[1];
  const range = wanted.range
    ? ` with scores from ${number(wanted.range[0])} to ${number(wanted.range[1])}`
    : wanted.which
    ? ` ${WRONG[wanted.which]}`
    : "";
  const per = [ID, ...setsOf(side.about, state)].map((name) => [name, found.filter(({ set }) => set === name).length])
    .filter(([, amount]) => amount)
    .map(([name, amount]) => `${count(amount)} of ${count(side.about.n[name])} ${labelOf(data, side.about, name)}`);
  const kind = data.views[state.view].kind, at = values && Math.fround(values[wanted.side || 0].threshold);
  const rejected = kind === "scores" || kind === "roc" ? found.filter(({ value }) => value < at).length : null;
  const said = rejected === null || !found.length
    ? ""
    : rejected === found.length
    ? ", rejected"
    : rejected === 0
    ? ", accepted"
    : `; ${count(rejected)} of them rejected`;
  return per.length ? `${per.join(", ")}${range}${said}.` : `No image${range}.`;
}

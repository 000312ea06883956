// Compare: how two sides fail on the same images, and how far apart they are.
import { ID, sum } from "./numbers.js";
import { labelOf, pairedSets } from "./stage.js";

const RESAMPLES = 500;

/** Return who is wrong about an image of a set, by its scores under A and B and their thresholds: a, b, both or "". */
export function wrong(set, a, b, limits) {
  const known = set === ID, ofA = (a >= limits[0]) !== known, ofB = (b >= limits[1]) !== known;
  return ofA ? (ofB ? "both" : "a") : ofB ? "b" : "";
}

/** Return the thresholds as single precision holds them, like the scores. */
export const limitsOf = (values) => values.map(({ threshold }) => Math.fround(threshold));

/** Count how A and B fail, per set: { name, a, b, both, n }. */
export function failures(sides, state, values) {
  const limits = limitsOf(values);
  return pairedSets(sides, state).map((name) => {
    const [one, two] = sides.map(({ answer }) => answer.columns[name].values);
    const tally = { name, a: 0, b: 0, both: 0, n: one.length };
    for (let k = 0; k < one.length; k += 1) {
      const who = wrong(name, one[k], two[k], limits);
      if (who) tally[who] += 1;
    }
    return tally;
  });
}

function random(seed) { // mulberry32: the same words at every visit
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Return auroc(knownCounts, unknownCounts): that of images drawn so often; equal scores count one half. */
function counting(known, unknown) {
  const n = known.length, scores = new Float32Array(n + unknown.length);
  scores.set(known);
  scores.set(unknown, n);
  const order = Uint32Array.from(scores, (_, k) => k).sort((a, b) => scores[a] - scores[b]);
  return (ofKnown, ofUnknown) => {
    let found = 0, below = 0;
    for (let k = 0; k < order.length;) {
      const value = scores[order[k]];
      let inside = 0, outside = 0;
      for (; k < order.length && scores[order[k]] === value; k += 1) {
        if (order[k] < n) inside += ofKnown[order[k]];
        else outside += ofUnknown[order[k] - n];
      }
      found += inside * (below + outside / 2);
      below += outside;
    }
    return found / (n * unknown.length);
  };
}

function quantile(sorted, share) {
  const place = share * (sorted.length - 1), low = Math.floor(place), high = Math.ceil(place);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

/** Return { difference, low, high } of two lists of { set: scores }: AUROC of A minus B, mean over the unknown sets. */
export function interval([one, two], names) {
  const draw = random(0), unknown = names.filter((name) => name !== ID), all = [ID, ...unknown];
  const rated = unknown.map((name) => [one, two].map((side) => counting(side[ID], side[name])));
  const apart = (counts) => sum(rated.map(([a, b], k) => a(counts[0], counts[k + 1]) - b(counts[0], counts[k + 1])));
  const drawn = ({ length }) => {
    const times = new Uint16Array(length);
    for (let k = 0; k < length; k += 1) times[Math.floor(draw() * length)] += 1;
    return times;
  };
  const means = Float64Array.from(
    { length: RESAMPLES },
    () => apart(all.map((name) => drawn(one[name]))) / unknown.length,
  ).sort();
  const once = all.map((name) => new Uint16Array(one[name].length).fill(1));
  return { difference: apart(once) / unknown.length, low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

/** Say what iv.compare says of two networks on the same images: direction, size, interval, and what it covers. */
export function comparison(data, state, sides) {
  const names = pairedSets(sides, state), sets = names.filter((name) => name !== ID);
  if (!sets.length) return "";
  const columns = sides.map(({ answer }) =>
    Object.fromEntries(names.map((name) => [name, answer.columns[name].values]))
  );
  const { difference, low, high } = interval(columns, names);
  const points = (share) => {
    const text = (Math.round(1000 * Math.abs(share)) / 10).toFixed(1);
    return `${share < 0 && text !== "0.0" ? "\u2212" : "+"}${text}`;
  };
  const [a, b] = sides.map(({ about, score }) => `${about.title}/${data.scores[score].label}`);
  const within = `95 % interval ${points(low)} to ${points(high)}`;
  const size = Math.abs(100 * difference).toFixed(1), word = difference > 0 ? "higher" : "lower";
  const claim = low > 0 || high < 0
    ? `The AUROC of ${a} is ${size} points ${word} than that of ${b} (${within}).`
    : `Between the AUROC of ${a} and that of ${b} no difference is established: ${
      points(difference)
    } points (${within}).`;
  const [last, ...others] = sets.map((name) => labelOf(data, sides[0].about, name)).reverse();
  const against = others.length ? `${others.reverse().join(", ")} and ${last}` : last;
  return `${claim} Against ${against}. It is one seed: the interval covers the choice of images only, and another ` +
    "training may differ by more.";
}

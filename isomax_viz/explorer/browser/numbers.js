// Numbers: what follows from scores, sets and a threshold. Counts are exact at every threshold: scores are compared in
// single precision, as numpy compares them. Nothing here knows of the screen.

export const ID = "ID";

/** Write a whole number with commas: toLocaleString() needs tens of milliseconds the first time. */
export const count = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

function written(value, digits) {
  const size = Math.abs(value);
  if (size === Infinity) return value > 0 ? "\u221e" : "-\u221e";
  if (size >= 1e9) return value.toExponential(digits - 1);
  return size >= 1000 ? count(Math.round(value)) : String(Number(value.toPrecision(digits)));
}
export const number = (value, digits = 3) => written(value, digits).replaceAll("-", "\u2212");
export const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

/** Return how many of the sorted values lie below a value. */
export function below(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const accepted = (sorted, threshold) => sorted.length - below(sorted, Math.fround(threshold));

/** Return how many of n known images a share takes: 0.95 of 20 are 19, whatever binary fractions say. */
const needed = (share, n) => Math.ceil(Math.round(share * n * 1e9) / 1e9);

/** Return the largest threshold that accepts this share of the known images. */
export function atShare(sorted, share) {
  const amount = needed(share, sorted.length);
  return amount < 1 ? Infinity : sorted[sorted.length - amount];
}

export function extent(columns) {
  return [
    Math.min(...columns.map((sorted) => sorted[0])),
    Math.max(...columns.map((sorted) => sorted[sorted.length - 1])),
  ];
}

/** Return the largest threshold with the greatest worth; worth takes counts of accepted known and unknown images. */
function best(known, unknown, worth, nothing = false) {
  const all = [known, ...unknown], at = all.map((sorted) => sorted.length - 1), passed = all.map(() => 0);
  let found = nothing ? Infinity : NaN, top = nothing ? worth(0, unknown.map(() => 0)) : -Infinity;
  for (;;) {
    let threshold = -Infinity;
    for (let k = 0; k < all.length; k += 1) if (at[k] >= 0 && all[k][at[k]] > threshold) threshold = all[k][at[k]];
    if (threshold === -Infinity) return found;
    for (let k = 0; k < all.length; k += 1) {
      while (at[k] >= 0 && all[k][at[k]] === threshold) {
        at[k] -= 1;
        passed[k] += 1;
      }
    }
    const value = worth(passed[0], passed.slice(1));
    if (value > top + 1e-12) [found, top] = [threshold, value]; // not for rounding's sake
  }
}

export const sum = (values) => values.reduce((total, value) => total + value, 0);

function bestDtacc(known, unknown) { // in whole numbers, as Python does: equal ones are equal
  const all = sum(unknown.map((sorted) => sorted.length));
  return best(known, unknown, (tp, fp) => tp * all - sum(fp) * known.length);
}

/** Return the expected cost per image where these numbers of known and unknown images are accepted. */
export function expectedCost(tp, fp, known, unknown, costs) {
  const { accept_unknown: accept, reject_known: reject, share_unknown: share } = costs;
  const fpr = sum(fp.map((passed, k) => passed / unknown[k].length)) / unknown.length;
  return accept * share * fpr + reject * (1 - share) * (1 - tp / known.length);
}

export function cheapest(known, unknown, costs) {
  return best(known, unknown, (tp, fp) => -expectedCost(tp, fp, known, unknown, costs), true);
}

export function costAt(known, unknown, costs, threshold) {
  const passed = unknown.map((sorted) => accepted(sorted, threshold));
  return expectedCost(accepted(known, threshold), passed, known, unknown, costs);
}

/** Return [threshold, cost] at ascending thresholds, each exact, at most some hundred of a set. */
export function costCurve(known, unknown, costs) {
  return sampled([known, ...unknown]).reverse().map((at) => [at, costAt(known, unknown, costs, at)]);
}

/** Return the threshold of what was asked for: a rule, a share of the known images, costs, or a number. */
export function held(wanted, known, unknown) {
  if (typeof wanted === "number") {
    const [low, high] = extent([known, ...unknown]);
    if (wanted >= low && wanted <= high) return { threshold: wanted, words: "" };
    return {
      threshold: atShare(known, 0.95),
      words: `${number(wanted, 4)} lies outside these scores (${number(low)} to ${
        number(high)
      }): 95\u00a0% of ID is held instead.`,
    };
  }
  if (wanted === "dtacc") return { threshold: bestDtacc(known, unknown), words: "" };
  if (wanted.costs) return { threshold: cheapest(known, unknown, wanted.costs), words: "" };
  return { threshold: atShare(known, wanted === "tpr95" ? 0.95 : wanted.share), words: "" };
}

/** Return edges as numpy.linspace gives them, equal ends moved apart as in the tables. */
export function linspace(low, high, parts) {
  const [from, to] = low < high ? [low, high] : [low - 0.5, high + 0.5], step = (to - from) / parts;
  return Array.from({ length: parts + 1 }, (_, k) => (k === parts ? to : from + k * step));
}

/** Count sorted values between edges; the last bin holds its right edge. */
export function binned(sorted, edges) {
  const places = edges.map((edge) => below(sorted, edge)), last = edges.length - 1;
  let end = places[last];
  while (end < sorted.length && sorted[end] === edges[last]) end += 1;
  places[last] = end;
  return places.slice(1).map((place, k) => place - places[k]);
}

/** Return thresholds of sorted columns, largest first, at most some hundred of each. */
function sampled(columns, most = 400) {
  const thresholds = new Set();
  for (const sorted of columns) {
    const step = Math.max(1, (sorted.length - 1) / most);
    for (let k = 0; k < sorted.length; k += step) thresholds.add(sorted[Math.floor(k)]);
    thresholds.add(sorted[sorted.length - 1]);
  }
  return [...thresholds].sort((a, b) => b - a);
}

/** Return the ROC curve as points (fpr, tpr, threshold), each exact, at most some hundred of them. */
export function curve(known, unknown) {
  const points = sampled([known, unknown]).map((threshold) => ({
    threshold,
    fpr: accepted(unknown, threshold) / unknown.length,
    tpr: accepted(known, threshold) / known.length,
  }));
  return [{ threshold: Infinity, fpr: 0, tpr: 0 }, ...points];
}

/** Return where the y-axis ends: a few bars far above the others are cut, and said. */
export function densityTop(groups) {
  const tallest = groups[0].density.map((_, k) => Math.max(...groups.map((group) => group.density[k]))).sort((a, b) =>
    b - a
  );
  for (let k = 1; k <= Math.min(3, tallest.length - 1); k += 1) {
    if (tallest[k] > 0 && tallest[k - 1] >= 4 * tallest[k]) return 1.25 * tallest[k]; // as in figures/histograms.py
  }
  return 1.06 * tallest[0];
}

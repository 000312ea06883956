// What needs no screen: counts, thresholds, bins, words and choices, against cases made by hand.
import assert from "node:assert/strict";
import {
  accepted,
  atShare,
  below,
  binned,
  costAt,
  costCurve,
  count,
  curve,
  densityTop,
  extent,
  held,
  linspace,
  number,
} from "../../isomax_viz/explorer/browser/numbers.js";
import { failures, interval } from "../../isomax_viz/explorer/browser/compare.js";
import { selected, selectionWords } from "../../isomax_viz/explorer/browser/select.js";
import { fromSteps, source } from "../../isomax_viz/explorer/browser/source.js";

const floats = (...values) => Float32Array.from(values);
const { test } = Deno;

test("counting compares in single precision, as numpy does", () => {
  const sorted = floats(-0.1, 0.1, 0.1, 0.3);
  assert.equal(below(sorted, 0.1), 1); // 0.1 in double precision lies below 0.1 in single
  assert.equal(accepted(sorted, 0.1), 3);
  assert.equal(accepted(sorted, Infinity), 0);
  assert.deepEqual(extent([sorted, floats(-2, 0)]), [-2, sorted[3]]);
});

test("a share of the known images is met, whatever binary fractions say", () => {
  const twenty = floats(...Array.from({ length: 20 }, (_, k) => k));
  assert.equal(atShare(twenty, 0.95), 1);
  assert.equal(atShare(twenty, 0.951), 0);
  assert.equal(atShare(twenty, 1), 0);
  assert.equal(atShare(twenty, 0), Infinity);
});

test("a threshold costs what its errors cost, each set alike", () => {
  const known = floats(1, 2, 3, 4), unknown = [floats(0, 1.5, 2), floats(3)];
  const costs = { accept_unknown: 7, reject_known: 2, share_unknown: 0.25 };
  // At 2: three of four known ones pass, one of three and the only other unknown one.
  const cost = 7 * 0.25 * ((1 / 3 + 1) / 2) + 2 * 0.75 * (1 / 4);
  assert.ok(Math.abs(costAt(known, unknown, costs, 2) - cost) < 1e-12);
  const points = costCurve(known, unknown, costs);
  assert.deepEqual(points.map(([at]) => at), [0, 1, 1.5, 2, 3, 4]);
  assert.ok(Math.abs(points[3][1] - cost) < 1e-12);
  assert.equal(costAt(known, unknown, costs, Infinity), 2 * 0.75);
});

test("what is held: share, number, DTACC, costs", () => {
  const known = floats(1, 2, 3, 4), unknown = [floats(0, 1.5, 2)];
  assert.equal(held("tpr95", known, unknown).threshold, 1);
  assert.equal(held({ share: 0.75 }, known, unknown).threshold, 2);
  assert.deepEqual(held(2.5, known, unknown), { threshold: 2.5, words: "" });
  const outside = held(5, known, unknown);
  assert.equal(outside.threshold, 1);
  assert.match(outside.words, /^5 lies outside these scores \(0 to 4\): 95\u00a0% of ID is held instead\.$/);
  assert.equal(held("dtacc", known, unknown).threshold, 3); // (2/4 + 3/3) / 2; at 2: (3/4 + 2/3) / 2
  const costs = { accept_unknown: 1, reject_known: 0, share_unknown: 0.5 };
  assert.equal(held({ costs }, known, unknown).threshold, Infinity); // rejecting costs nothing: reject all
  assert.equal(held({ costs: { ...costs, accept_unknown: 0, reject_known: 1 } }, known, unknown).threshold, 1);
});

test("equal DTACC are equal: the largest threshold counts, whatever binary fractions say", () => {
  const known = floats(...Array.from({ length: 49 }, (_, k) => (k < 7 ? 0 : 2))); // 42/49 and 6/7 at 2, all at 0
  const unknown = [floats(0, 1, 1, 1, 1, 1, 1)];
  assert.equal(held("dtacc", known, unknown).threshold, 2);
});

test("the last bin holds its right edge, equal ends are moved apart", () => {
  assert.deepEqual(binned(floats(0, 0.5, 1, 1), linspace(0, 1, 2)), [1, 3]);
  assert.deepEqual(linspace(2, 2, 2), [1.5, 2, 2.5]);
});

test("a curve begins where nothing is accepted and ends where all is", () => {
  const points = curve(floats(1, 2), floats(0, 2));
  assert.deepEqual(points.map(({ fpr, tpr }) => [fpr, tpr]), [[0, 0], [0.5, 0.5], [0.5, 1], [1, 1]]);
});

test("one bar far above the others is cut off", () => {
  assert.equal(densityTop([{ density: [1, 10] }]), 1.25);
  assert.equal(densityTop([{ density: [4, 10] }]), 1.06 * 10);
});

test("numbers are written short, with a minus that is one", () => {
  const words = [0.12345, -1234.6, -2e12, Infinity, -Infinity].map((value) => number(value));
  assert.deepEqual(words, ["0.123", "\u22121,235", "\u22122.00e+12", "\u221e", "\u2212\u221e"]);
});

test("sorted values come back from their steps", () => {
  const values = floats(-1.5, 0, 0, 2.25),
    keys = [...new Int32Array(values.buffer)].map((bits) => bits < 0 ? -(bits & 0x7fffffff) : bits);
  const steps = Uint32Array.from(keys.map((key, k) => (k ? key - keys[k - 1] : key))),
    bytes = new Uint8Array(steps.buffer);
  const planes = Uint8Array.from({ length: 16 }, (_, k) => bytes[4 * (k % 4) + Math.floor(k / 4)]);
  assert.deepEqual(fromSteps(planes), values);
});

test("what was asked for once is not asked for again; columns come sorted beside their order", async () => {
  let asked = 0;
  const answer = {
    json: { columns: { ID: { buffer: 0, type: "f4" } } },
    buffers: [new Uint8Array(floats(3, 1).buffer)],
  };
  const ask = () => {
    asked += 1;
    return Promise.resolve(answer);
  };
  const numbers = source({ saved: null, ask }), request = { what: "scores" };
  await Promise.all([numbers.load(request), numbers.load(request)]);
  assert.equal(asked, 1);
  assert.deepEqual(numbers.get(request).columns.ID, { values: floats(3, 1), sorted: floats(1, 3) });
  await assert.rejects(
    async () => await source({ saved: null, ask: null }).load(request),
    /does not hold these numbers/,
  );
});

test("the answers that were used last are kept, so that a long session does not grow", async () => {
  let asked = 0;
  const ask = ({ name }) => {
    asked += 1;
    return Promise.resolve({ json: { name }, buffers: [] });
  };
  const numbers = source({ saved: null, ask });
  for (let name = 0; name < 2000; name += 1) {
    await numbers.load({ name: -1 }); // is always in use
    await numbers.load({ name });
  }
  assert.equal(asked, 2001);
  const kept = Array.from({ length: 2000 }, (_, name) => numbers.get({ name })).filter(Boolean);
  assert.ok(kept.length < 300 && numbers.get({ name: 1999 }) && numbers.get({ name: -1 }));
});

const column = (...values) => ({ values: floats(...values), sorted: floats(...values).sort() });
const data = { views: { scores: { kind: "scores" } }, sets: { letters: { label: "letters" } } };
const about = { n: { ID: 3, letters: 2 }, seen: { ID: "a", letters: null }, known: "digits" };
const sides = [
  { about, answer: { columns: { ID: column(3, 1, 2), letters: column(0, 2.5) } } },
  { about, answer: { columns: { ID: column(3, 2, 1), letters: column(2.5, 0) } } },
];
const limits = [{ threshold: 2 }, { threshold: 2 }];
const state = (selection) => ({ view: "scores", ood: ["letters"], selection });
const chosen = (selection) =>
  selected(data, state(selection), sides, limits).map(({ set, index }) => `${set} ${index}`);

test("a choice names the images that it means, in order", () => {
  assert.deepEqual(chosen({ by: "value", range: [1, 2.5], side: 0 }), ["ID 1", "ID 2", "letters 1"]);
  assert.deepEqual(chosen({ by: "confident_ood", side: 0 }), ["letters 1", "letters 0"]);
  assert.deepEqual(chosen({ by: "wrong", which: "a", side: 0 }), ["ID 1", "letters 1"]);
  assert.deepEqual(chosen({ by: "wrong", which: "both", side: 0 }), []);
  assert.deepEqual(failures(sides, state(null), limits), [
    { name: "ID", a: 1, b: 1, both: 0, n: 3 },
    { name: "letters", a: 1, b: 1, both: 0, n: 2 },
  ]);
});

test("the words of a choice count per set, and say what is rejected", () => {
  const now = state({ by: "value", range: [0, 1], side: 0 });
  const words = selectionWords(data, now, sides, limits, selected(data, now, sides, limits));
  assert.equal(words, "1 of 3 digits, 1 of 2 letters with scores from 0 to 1, rejected.");
});

test("images of another order are not paired", () => {
  const other = { ...sides[1], about: { ...about, seen: { ID: "a", letters: "b" } } };
  const first = { ...sides[0], about: { ...about, seen: { ID: "a", letters: "c" } } };
  assert.deepEqual(failures([first, other], state(null), limits).map(({ name }) => name), ["ID"]);
});

test("the interval of a difference is that of a paired bootstrap", () => {
  const known = floats(...Array.from({ length: 200 }, (_, k) => Math.sin(k) + 1));
  const unknown = floats(...Array.from({ length: 150 }, (_, k) => Math.cos(2 * k)));
  const side = { ID: known, letters: unknown };
  assert.deepEqual(interval([side, side], ["ID", "letters"]), { difference: 0, low: 0, high: 0 });
  const worse = { ID: known, letters: unknown.map((value) => value + 0.8) };
  const { difference, low, high } = interval([side, worse], ["ID", "letters"]);
  let wins = 0;
  const won = (a, b) => (a > b ? 1 : a === b ? 0.5 : 0);
  for (const a of known) for (const b of unknown) wins += won(a, b) - won(a, Math.fround(b + 0.8));
  assert.ok(Math.abs(difference - wins / (200 * 150)) < 1e-9 && low < difference && difference < high);
  assert.deepEqual(interval([side, worse], ["ID", "letters"]), { difference, low, high }); // the same at every visit
});

test("a range of a histogram over classes holds one value an image and class", () => {
  const logits = { views: { logits: { kind: "binned", label: "Logits" } }, sets: data.sets };
  const groups = [{ name: "intra-class ID", n: 2 }, { name: "inter-class ID", n: 2 }, { name: "letters", n: 2 }];
  const details = [{ labels: [0, 1] }, { logits: floats(5, -1, 2, 4) }, { logits: floats(3, -3) }];
  const one = {
    about: { ...about, n: { ID: 2, letters: 1 }, classes: ["0", "1"] },
    answer: { values: "logits", groups },
    details,
  };
  const now = { view: "logits", ood: ["letters"], selection: { by: "value", range: [2, 5], side: 0 } };
  const found = selected(logits, now, [one], null);
  assert.deepEqual(found.map(({ group, index, of }) => [group, index, of]), [
    ["inter-class ID", 1, 0],
    ["letters", 0, 0],
    ["intra-class ID", 1, 1],
    ["intra-class ID", 0, 0],
  ]);
  assert.equal(
    selectionWords(logits, now, [one], null, found),
    "2 of 2 intra-class ID, 1 of 2 inter-class ID, 1 of 2 letters with logits from 2 to 5.",
  );
  assert.equal(selected(logits, now, [{ ...one, details: [undefined] }], null), null); // a page of counts only
});

test("counts have commas at every third place", () => {
  assert.deepEqual([0, 999, 1000, 12345, 1234567].map(count), ["0", "999", "1,000", "12,345", "1,234,567"]);
  assert.equal(number(-1234.4), "\u22121,234");
});

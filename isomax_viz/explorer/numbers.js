// First part of the page's script: what the page holds, what is chosen, and the numbers that follow from both.
// The parts share one scope, into which the page puts them in order; names come from data and are set as text only.
const page = JSON.parse(document.getElementById("data").textContent);
const ID = "ID";
const state = { ...page.start };

const get = (id) => document.getElementById(id);
const network = () => page.networks[state.network];
const score = () => network().scores[state.score];
// Not "in": a set may be called like something that every object has, such as "constructor".
const holds = (object, name) => Object.hasOwn(object, name);
const sets = () => state.ood.filter((name) => holds(network().n, name));
const usesScore = () => state.view === "scores" || state.view === "roc";
const minus = (text) => text.replaceAll("-", "\u2212");
const number = (value, digits = 3) => minus(Math.abs(value) >= 1e9 ? value.toExponential(digits - 1)
  : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits))));
const count = (value) => value.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
const label = (name) => (name === ID ? network().known : holds(page.sets, name) ? page.sets[name].label : name);

function thresholds() {
  const kept = score().thresholds;
  if (!kept.accepted) {
    kept.accepted = {};
    kept.edges = kept.edges.map((edge) => (kept.single ? Math.fround(edge) : edge));
    for (const [name, steps] of Object.entries(kept.rejected)) {
      let left = network().n[name];
      kept.accepted[name] = steps.map((step) => (left -= step));
    }
  }
  return kept;
}

function ruled(rule) {
  const { accepted, edges } = thresholds(), n = network().n, chosen = sets();
  let best = 0, found = -1;
  for (let k = edges.length - 1; k >= 0; k -= 1) {  // of equally good ones, the largest
    if (rule === "tpr95" && accepted[ID][k] >= network().needed) return k;
    if (rule === "dtacc") {
      const all = chosen.reduce((sum, name) => sum + n[name], 0);
      const passed = chosen.reduce((sum, name) => sum + accepted[name][k], 0);
      const value = (accepted[ID][k] / n[ID] + 1 - passed / all) / 2;
      if (value > found) [best, found] = [k, value];
    }
  }
  return best;
}

function nearest(value) {
  const { edges } = thresholds();
  let best = 0;
  edges.forEach((edge, k) => { if (Math.abs(edge - value) < Math.abs(edges[best] - value)) best = k; });
  return best;
}

const step = () => (typeof state.threshold === "string" ? ruled(state.threshold) : nearest(state.threshold));

function sentence() {
  const n = network().n, chosen = sets();
  if (usesScore()) {
    const { accepted, edges } = thresholds(), k = step(), score_ = page.scores[state.score].label;
    const rejected = chosen.map((name) => `${count(n[name] - accepted[name][k])} of ${count(n[name])} ${label(name)} `
      + `(${percent(1 - accepted[name][k] / n[name])}; AUROC ${percent(score().metrics[name].AUROC)})`);
    return `${network().title}: ${score_} \u2265 ${number(edges[k], 4)} accepts ${count(accepted[ID][k])} of ${count(n[ID])} `
      + `known images (${percent(accepted[ID][k] / n[ID])}) and rejects ${rejected.join(", ")}.`;
  }
  const shown = network().values[state.view].groups.filter((group) => !group.ood || chosen.includes(group.name));
  const medians = shown.map((group) => `${label(group.name)} ${number(group.median)} (n = ${count(group.n)})`);
  return `${network().title}, ${page.views[state.view].label.toLowerCase()}: medians ${medians.join(", ")}.`;
}

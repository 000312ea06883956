// Third part: the tables below the figures.

function cell(row, tag, text, value) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (value !== undefined) made.dataset.value = value;
  if (tag === "th") made.scope = row.parentNode.tagName === "THEAD" ? "col" : "row";
  row.append(made);
  return made;
}

function table(id, words, head) {
  const made = get(id);
  made.replaceChildren();
  const shown = document.createElement("span");  // stays where it is while the table is scrolled sideways
  shown.textContent = words;
  const caption = made.createCaption();
  caption.id = `${id}-caption`;
  caption.append(shown);
  const row = made.createTHead().insertRow();
  for (const [name, meaning] of head) {
    const item = cell(row, "th", name);
    if (meaning) item.title = meaning;
    if (meaning === null) item.className = "words";
  }
  return made.createTBody();
}

function showCounts() {
  const { accepted, edges } = thresholds(), n = network().n, k = step();
  const body = table("counts", `What score \u2265 ${number(edges[k], 4)} does: ${network().title}, ${page.scores[state.score].name}`, [
    ["against", null], ["ID accepted", "in-distribution test images with a score at or above the threshold"],
    ["ID rejected", "in-distribution test images below it: errors"],
    ["OOD accepted", "out-of-distribution images at or above it: errors"],
    ["OOD rejected", "out-of-distribution images below it"]]);
  for (const name of sets()) {
    const row = body.insertRow();
    cell(row, "th", label(name));
    for (const set of [ID, name]) {
      for (const value of [accepted[set][k], n[set] - accepted[set][k]]) {
        cell(row, "td", `${count(value)} of ${count(n[set])} (${percent(value / n[set])})`, value);
      }
    }
  }
  const slider = get("threshold");
  slider.max = edges.length - 1;
  slider.value = k;
  slider.setAttribute("aria-valuetext", `score at least ${number(edges[k], 4)}, accepts ${percent(accepted[ID][k] / n[ID])} of ID`);
  get("threshold-value").textContent = `score \u2265 ${number(edges[k], 4)}`;
  get("threshold-value").dataset.value = edges[k];
  for (const rule of ["tpr95", "dtacc"]) get(`rule-${rule}`).setAttribute("aria-pressed", state.threshold === rule);
}

function showMetrics() {
  const body = table("metrics", `Detection with the ${page.scores[state.score].name}, over all thresholds`, [
    ["network", null], ["against", null], ["n ID", "in-distribution test images"], ["n OOD", "out-of-distribution images"],
    ...Object.entries(page.metrics), ["accuracy", "share of the test images that are classified correctly"]]);
  page.networks.forEach((item, position) => {
    for (const name of state.ood.filter((set) => holds(item.scores, state.score) && holds(item.n, set))) {
      const row = body.insertRow();
      if (position === state.network) row.className = "chosen";
      cell(row, "th", item.title);
      cell(row, "td", page.sets[name].label).className = "words";
      cell(row, "td", count(item.n[ID]), item.n[ID]);
      cell(row, "td", count(item.n[name]), item.n[name]);
      for (const metric of Object.keys(page.metrics)) {
        const value = item.scores[state.score].metrics[name][metric];
        cell(row, "td", percent(value), value);
      }
      cell(row, "td", item.accuracy === null ? "" : percent(item.accuracy), item.accuracy ?? "");
    }
  });
}

// What is wider than the window is scrolled by keyboard too, which takes a place in the order of the Tab key.
function letScroll() {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
  }
}

// Last part: the page's own controls, and its start.

function chooser(name, title, options, type = "radio") {
  const box = document.createElement("fieldset");
  box.id = `choose-${name}`;
  const words = document.createElement("legend");
  words.textContent = title;
  box.append(words);
  for (const { value, text, tooltip } of options) {
    const holder = document.createElement("label"), input = document.createElement("input"), shown = document.createElement("span");
    Object.assign(input, { type, name, value });
    shown.textContent = text;
    if (tooltip) holder.title = tooltip;
    input.addEventListener("change", () => chosen(name, input));
    holder.append(input, shown);
    box.append(holder);
  }
  get("controls").append(box);
}

function chosen(name, input) {
  if (name === "ood") {
    const wanted = [...document.querySelectorAll("input[name=ood]:checked")].map((item) => item.value);
    if (wanted.length) state.ood = wanted;  // one set stays: there would be nothing to compare with
  } else {
    state[name] = name === "network" ? Number(input.value) : input.value;
  }
  // Scores of another network or kind have another range: a number would mean something else there.
  if (name !== "view" && typeof state.threshold === "number") state.threshold = "tpr95";
  show();
}

// What the network lacks is switched off; where nothing would be left, something else is chosen.
function offer() {
  const has = { ood: Object.keys(page.sets).filter((name) => holds(network().n, name)), score: Object.keys(network().scores),
    view: ["scores", "roc", ...Object.keys(network().values)], network: page.networks.map((_, k) => String(k)) };
  for (const name of ["score", "view"]) if (!has[name].includes(state[name])) state[name] = has[name][0];
  state.ood = has.ood.filter((name) => state.ood.includes(name));
  if (!state.ood.length) state.ood = has.ood.slice(0, 1);
  for (const input of get("controls").elements) {
    if (!input.name) continue;
    input.disabled = !has[input.name].includes(input.value);
    input.checked = input.name === "ood" ? state.ood.includes(input.value) : String(state[input.name]) === input.value;
  }
  get("threshold-bar").hidden = !usesScore();
  for (const words of document.querySelectorAll(".score")) words.hidden = words.dataset.score !== state.score;
}

function numbers() {
  showCounts();
  get("summary").textContent = sentence();
  letScroll();
}

function show() {
  try {
    get("message").hidden = true;
    offer();
    showMetrics();
    numbers();
    get("note").textContent = network().note;
    draw();
  } catch (error) { failed(error); }
}

function failed(error) {
  get("message").textContent = `This page could not be drawn: ${error.message || error}`;
  get("message").hidden = false;
  console.error(error);  // not thrown again: what is chosen next can be drawn
}

function move(threshold) {
  state.threshold = threshold;
  numbers();
  drawing = drawing.then(moved).catch(failed);
}

chooser("network", page.chooser, page.networks.map((item, k) => ({ value: k, text: item.title, tooltip: item.note })));
chooser("score", "Score", Object.entries(page.scores).map(([value, item]) => ({ value, text: item.label, tooltip: item.name })));
chooser("ood", "Against", Object.entries(page.sets).map(([value, item]) => ({ value, text: item.label })), "checkbox");
chooser("view", "View", Object.entries(page.views).map(([value, item]) => ({ value, text: item.label, tooltip: item.tooltip })));
get("controls").addEventListener("submit", (event) => event.preventDefault());
get("threshold").addEventListener("input", (event) => move(thresholds().edges[Number(event.target.value)]));
for (const rule of ["tpr95", "dtacc"]) get(`rule-${rule}`).addEventListener("click", () => move(rule));

// A click or a drag in the distributions moves the threshold to that score.
function pointed(event) {
  if (!(event.buttons & 1) || state.view !== "scores" || !drawn.left) return;
  const svg = get("left").querySelector("svg"), view = drawn.left.view;
  if (!svg) return;
  const x = event.clientX - svg.getBoundingClientRect().left - view.origin()[0] - view.padding().left;
  move(thresholds().edges[nearest(view.scale("x").invert(x))]);
}
get("left").addEventListener("pointerdown", pointed);
get("left").addEventListener("pointermove", pointed);

dark.addEventListener("change", draw);
let width = window.innerWidth, later;
window.addEventListener("resize", () => {
  clearTimeout(later);
  later = setTimeout(() => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    letScroll();
    draw();
  }, 150);
});
show();

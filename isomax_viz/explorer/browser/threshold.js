// Threshold: what to hold, by slider, number, share of the known images, rule or costs.
import { number, percent } from "./numbers.js";
import { html } from "./marks.js";

const STEPS = 400;
const CHEAPEST = ["cheapest", "cheapest", "The threshold of least expected cost on these images"];
const RULES = [
  ["95 % of ID", "tpr95", "The largest threshold that accepts at least 95 % of the ID images"],
  ["99 %", { share: 0.99 }, "The largest threshold that accepts at least 99 % of the ID images"],
  ["best DTACC", "dtacc", "The threshold with the best mean of accepted ID and rejected OOD images"],
];

/** Return fields for the costs of errors: values(), and labels to show; price(costs) is told of other costs. */
export function costFields(held, price) {
  const fields = Object.entries(held).map(([name, value]) => {
    const text = name.replace("_", " "), max = name === "share_unknown" ? 1 : 1e9;
    const attributes = { type: "number", name, "aria-label": text, min: 0, max, step: "any", value };
    return html("input", { ...attributes, oninput: () => price(Object.fromEntries(values())) });
  });
  const within = (field) => Math.min(Number(field.max), Math.max(0, Number(field.value)));
  const values = () => fields.map((field) => [field.name, within(field)]);
  return {
    values,
    labels: fields.map((field) => html("label", { class: "small cost" }, field.name.replace("_", " "), field)),
  };
}

/**
 * Return { node, fill }. wanted: what is held; costs: of errors; costly: whether they are what is shown; span(): the
 * lowest and highest score; take(wanted): hold something else; price(costs): other costs; hold(value): hold a number, as often as the slider moves.
 */
export function thresholdControls({ wanted, costs, costly, span, take, price, hold }) {
  let now = NaN;
  const said = html("p", { class: "small", role: "alert" });
  const slider = html("input", {
    type: "range",
    min: 0,
    max: STEPS,
    step: 1,
    "aria-label": "Threshold",
    title: "Images with a score at or above it are accepted (arrow keys move it)",
    oninput: () => {
      const [low, high] = span();
      hold(low + ((high - low) * slider.valueAsNumber) / STEPS);
    },
  });
  const typed = () => {
    const [low, high] = span(), value = field.valueAsNumber;
    if (Number.isNaN(value)) return;
    if (value >= low && value <= high) return take(value);
    const ends = `${number(low)} to ${number(high)}`;
    said.textContent = `${number(value, 4)} lies outside these scores (${ends}); the threshold stays.`;
    field.value = String(Number(now.toPrecision(4)));
  };
  const field = html("input", { type: "number", step: "any", "aria-label": "Threshold as a number", onchange: typed });
  const share = html("input", {
    type: "number",
    min: 0.1,
    max: 100,
    step: 0.1,
    "aria-label": "Share of ID to accept, in percent",
    title: "Accept this share of the known images",
    onchange: () => {
      const value = share.valueAsNumber / 100;
      if (value > 0 && value <= 1) take({ share: value });
      else said.textContent = "A share lies between 0 and 100\u00a0%.";
    },
  });
  const offered = costly ? [CHEAPEST, ...RULES] : RULES, fields = costFields(costs, price);
  const rules = offered.map(([text, rule, title]) => {
    const onclick = () => take(rule === "cheapest" ? { costs: Object.fromEntries(fields.values()) } : rule);
    return html("button", { type: "button", title, onclick }, text);
  });
  const byCost = html(
    "details",
    { open: costly || Boolean(wanted.costs) },
    html("summary", { class: "small" }, "by cost"),
    fields.labels,
  );
  const node = html(
    "fieldset",
    { "data-name": "threshold" },
    html("legend", {}, "Threshold"),
    slider,
    html("label", { class: "small" }, "score \u2265 ", field),
    html("label", { class: "small" }, share, " % of ID"),
    rules,
    byCost,
    said,
  );
  /** Show what is held: at, the share of ID that it accepts, what was asked for, and words where that cannot be. */
  const fill = ({ at, accepts, held, words }) => {
    const [low, high] = span();
    now = at;
    slider.value = String(Math.round((STEPS * (Math.min(at, high) - low)) / (high - low || 1)));
    slider.setAttribute("aria-valuetext", `score at least ${number(at, 4)}, accepts ${percent(accepts)} of ID`);
    if (!field.matches(":focus")) field.value = Number.isFinite(at) ? String(Number(at.toPrecision(4))) : "";
    if (!share.matches(":focus")) {
      share.value = held.share ? String(Number((100 * held.share).toPrecision(6))) : (100 * accepts).toFixed(1);
    }
    const pressed = JSON.stringify(held.costs ? "cheapest" : held);
    rules.forEach((button, k) =>
      button.setAttribute("aria-pressed", String(JSON.stringify(offered[k][1]) === pressed))
    );
    said.textContent = words;
  };
  return { node, fill };
}

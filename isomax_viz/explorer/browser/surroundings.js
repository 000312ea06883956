// Surroundings: the style sheet, and what a view must know of the page around it: its width and whether it is dark.
import { html } from "./marks.js";

const STYLE = ""; // style.css, which the bundle puts here
const SHEET = new CSSStyleSheet();
SHEET.replaceSync(STYLE);

/** Whether what lies behind a node is dark; a canvas reads colours of any notation. */
function darkBehind(node) {
  const pen = html("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  for (let at = node; at; at = at.parentElement || at.getRootNode().host) {
    pen.fillStyle = getComputedStyle(at).backgroundColor;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
    if (alpha > 127) return 0.3 * red + 0.59 * green + 0.11 * blue < 128;
  }
  return globalThis.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Give a view its style, dark or light as what lies behind it, large for the back row. */
export function dress(root, element, present) {
  root.classList.toggle("present", present);
  root.classList.toggle("dark", darkBehind(element));
  const tree = root.getRootNode(); // marimo puts widgets into shadow trees of their own
  if (tree.adoptedStyleSheets && !tree.adoptedStyleSheets.includes(SHEET)) {
    tree.adoptedStyleSheets = [...tree.adoptedStyleSheets, SHEET];
  }
}

/** Show again whenever width or theme change; the result ends that. */
export function onLook(root, element, show) {
  let last = 0;
  const watch = new ResizeObserver(() => {
    const { width } = root.getBoundingClientRect();
    if (width && width !== last) {
      last = width;
      show();
    }
  });
  watch.observe(root);
  const theme = new MutationObserver(() => {
    if (root.classList.contains("dark") !== darkBehind(element)) show();
  });
  for (const node of [document.body, document.documentElement]) theme.observe(node, { attributes: true });
  const system = globalThis.matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", show);
  return () => {
    watch.disconnect();
    theme.disconnect();
    system.removeEventListener("change", show);
  };
}

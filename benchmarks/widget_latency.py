"""Time from a click to the new picture in a real JupyterLab: the explorer beside ``interact`` with seaborn.

A part of ``python -m benchmarks``; with options of its own, ``python -m benchmarks.widget_latency``. It needs Chromium
and playwright. Both draw the same 5 x 10,000
scores in the same session, in turns, so that a busy machine slows both. An empty round trip (a click that changes a
label) says what no drawing can save.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row, ratios

# The driver of the browser tests starts JupyterLab and Chromium here too.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))

LIMITS = {"toggle": 0.6, "drag": 0.45}

SAMPLES = """
import numpy as np, isomax_viz as iv
def arrays(rng, labels, shift):
    logits = rng.normal(size=(10_000, 10)).astype(np.float32)
    logits[np.arange(10_000), labels] += shift
    return logits
def make(number, loss):
    rng = np.random.default_rng(number)
    labels = rng.integers(0, 10, 10_000)
    sets = {f"set {i}": arrays(rng, labels, 1 + 0.7 * i) for i in range(4)}
    return iv.Capture.from_arrays(arrays(rng, labels, 5), labels, ood=sets, loss=loss, meta={"data": "made"})
captures = [make(i, loss) for i, loss in enumerate(("softmax", "isomax", "isomax+", "isomax2"))]
"""
SEABORN = """
%matplotlib inline
import ipywidgets, pandas as pd, seaborn as sns, matplotlib.pyplot as plt
from isomax_viz.analysis.scores import compute
def frame(capture):
    parts = {"ID": capture.test, **capture.ood}
    values = np.concatenate([compute("es", item) for item in parts.values()])
    return pd.DataFrame({"score": values, "set": np.repeat(list(parts), 10_000)})
frames = {capture.loss: frame(capture) for capture in captures}
def draw(loss):
    fig, ax = plt.subplots(figsize=(6, 3.8))
    sns.histplot(frames[loss], x="score", hue="set", bins=50, element="step", stat="density", common_norm=False, ax=ax)
    plt.show()
interactive = ipywidgets.interactive(draw, loss=ipywidgets.ToggleButtons(options=list(frames)))
interactive.add_class("seaborn")
interactive
"""
EMPTY = """
label = ipywidgets.HTML("0")
button = ipywidgets.Button(description="empty")
button.on_click(lambda _: setattr(label, "value", str(int(label.value) + 1)))
empty = ipywidgets.VBox([button, label])
empty.add_class("empty")
empty
"""
EXPLORER = """
explorer = iv.explore(captures)
explorer.restore({"ood": list(captures[0].ood)})
explorer
"""

# Clicks (or presses a key) and waits in the browser until the awaited part shows something new that is fully decoded.
MEASURE = """async ([button, selector, attribute, key]) => {
  const root = document.querySelector(selector);
  const read = () => { const e = root.querySelector(attribute === 'text' ? '.widget-html-content' : 'img');
    if (!e) return null;
    return attribute === 'text' ? e.innerText : (e.complete && e.naturalWidth > 0 ? e.src : null); };
  const before = read();
  const start = performance.now();
  if (key) { button.dispatchEvent(new KeyboardEvent('keydown', {key: key, bubbles: true})); } else { button.click(); }
  while (true) {
    await new Promise(requestAnimationFrame);
    const now = read();
    if (now !== null && now !== before) return performance.now() - start;
    if (performance.now() - start > 20000) return null;
  }
}"""


def measure(page: Any, button: Any, selector: str, *, attribute: str = "src", key: str = "") -> float:
    took = page.evaluate(MEASURE, [button.element_handle(), selector, attribute, key])
    if took is None:
        raise RuntimeError(f"Nothing new appeared in {selector}.")
    return took


def run(page: Any, repeats: int, pause: int) -> dict[str, list[float]]:
    names = ("SoftMax", "IsoMax", "IsoMax+", "IsoMax2")
    keys = ("softmax", "isomax", "isomax+", "isomax2")
    explorer, seaborn = page.locator(".isomax-viz").first, page.locator(".seaborn").first
    handle = explorer.locator(".noUi-handle").first
    empty = page.locator(".empty button").first
    result: dict[str, list[float]] = {"explorer": [], "seaborn": [], "drag": [], "empty": []}
    for turn in range(repeats):
        place = (turn + 1) % 4
        loss = explorer.get_by_role("button", name=names[place], exact=True).first
        result["explorer"].append(measure(page, loss, ".isomax-viz .isomax-viz-picture"))
        page.wait_for_timeout(pause)
        key = "ArrowRight" if turn % 2 else "ArrowLeft"
        result["drag"].append(measure(page, handle, ".isomax-viz .isomax-viz-picture", key=key))
        page.wait_for_timeout(pause)
        other = seaborn.get_by_role("button", name=keys[place], exact=True).first
        result["seaborn"].append(measure(page, other, ".seaborn"))
        page.wait_for_timeout(pause)
        result["empty"].append(measure(page, empty, ".empty", attribute="text"))
        page.wait_for_timeout(pause)
    return result


def collect(*, repeats: int, pause: int, cold: bool = False) -> dict[str, list[float]]:
    """Return milliseconds of each kind of action, turn by turn, in a JupyterLab started for it."""
    from jupyterlab_driver import Notebook
    from jupyterlab_server import CHROMIUM_ARGS, find_chromium, start_lab
    from playwright.sync_api import sync_playwright

    uncached = "explorer.painter.keep = False\n" if cold else ""
    with tempfile.TemporaryDirectory() as folder, start_lab(Path(folder), dict(os.environ)) as lab:
        explorer = EXPLORER.rstrip().removesuffix("explorer") + uncached + "explorer"
        name = lab.write("latency.ipynb", SAMPLES, SEABORN, EMPTY, explorer)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
            page = browser.new_page(viewport={"width": 1500, "height": 3200})
            Notebook(page, lab.address(name)).run_all()
            page.locator(".seaborn img").first.wait_for()
            page.wait_for_timeout(3000)
            run(page, 4, pause)  # first times load fonts and the like
            result = run(page, repeats, pause)
            browser.close()
    return result


def missing() -> str:
    """Return what is missing for a measurement in a browser; empty if nothing is."""
    from jupyterlab_server import find_chromium

    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return "" if find_chromium() else "no Chromium on this machine"


def rows() -> list[Row]:
    """All rows of this file; without a browser, one that says so."""
    if reason := missing():
        return [Row("widget: click to picture", "interact with seaborn", (float("nan"),), None, note=reason)]
    times = collect(repeats=24, pause=400)
    medians = {name: np.median(values) for name, values in times.items()}
    seaborn, empty = (
        f"interact with seaborn ({medians['seaborn']:.0f} ms)",
        f"empty round trip {medians['empty']:.0f} ms",
    )
    return [
        Row(f"widget: {what} to picture", seaborn, ratios(times[key], times["seaborn"]), LIMITS[limit], at_most=True,
            note=f"{medians[key]:.0f} ms, {empty}")
        for what, key, limit in (("click", "explorer", "toggle"), ("threshold", "drag", "drag"))
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=24, help="clicks of each kind (24)")
    parser.add_argument("--pause", type=int, default=400, help="milliseconds between clicks (400)")
    parser.add_argument("--cold", action="store_true", help="without drawing ahead and without kept pictures")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    result = collect(repeats=options.repeats, pause=options.pause, cold=options.cold)
    medians = {name: float(np.median(values)) for name, values in result.items()}
    ratios = {"toggle": medians["explorer"] / medians["seaborn"], "drag": medians["drag"] / medians["seaborn"]}
    for name, value in medians.items():
        low, high = np.percentile(result[name], [10, 90])
        print(f"{name:10s} median {value:6.1f} ms  (10 to 90 %: {low:.0f} to {high:.0f})")
    for name, ratio in ratios.items():
        print(f"{name:10s} ratio {ratio:.2f} (at most {LIMITS[name]})")
    if options.json:
        options.json.write_text(json.dumps({"ms": result, "medians": medians, "ratios": ratios}, indent=1))
    return 0 if all(ratios[name] <= LIMITS[name] for name in ratios) else 1


if __name__ == "__main__":
    raise SystemExit(main())

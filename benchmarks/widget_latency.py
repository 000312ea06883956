"""Time from a click to the new picture in a real JupyterLab: the explorer beside ``interact`` with seaborn.

A part of ``python -m benchmarks``; with options of its own, ``python -m benchmarks.widget_latency``. It needs Chromium
and playwright. Both draw the same 5 x 10,000 scores in the same session, in turns, so that a busy machine slows both.
The threshold is dragged while the kernel runs a cell: how long the browser works for one frame is measured, and it has
16 ms for it at 60 frames a second. An empty round trip (a click that changes a label) says what the kernel costs alone;
the time that the browser itself works for a click (scripts, styles, layout) is noted beside it. Then a toggle and
a drag with 100,000 known and 100,000 unknown images.
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

# Of interact with seaborn; of a frame at 60 a second for the drag.
LIMITS = {"known": 0.35, "new": 0.6, "drag": 1.0, "large": 1.0, "large drag": 1.0}
TOGGLE = 250  # ms with 100,000 + 100,000 images

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
LARGE = SAMPLES.replace("10_000", "100_000").replace("range(4)", "range(1)")
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
BUSY = "import time\ntime.sleep(60)"

# Clicks and waits in the browser until the awaited part shows something new that is fully decoded.
CLICK = """async ([button, selector, kind]) => {
  const root = document.querySelector(selector);
  const read = { text: () => root.querySelector('.widget-html-content').innerText, drawn: () => root.dataset.drawn,
    image: () => { const e = root.querySelector('img');
      return e && e.complete && e.naturalWidth ? e.src : null; } }[kind];
  const before = read(), start = performance.now();
  button.click();
  while (performance.now() - start < 20000) {
    await new Promise(requestAnimationFrame);
    const now = read();
    if (now !== null && now !== before) return performance.now() - start;
  }
  return null;
}"""
# Drags the threshold over the histogram; the work of a frame: from its begin until the page is laid out anew.
DRAG = """async (steps) => {
  const line = document.querySelector('.isomax-viz-explorer .threshold'), plot = line.closest('svg');
  const box = plot.getBoundingClientRect(), at = line.querySelector('line').getBoundingClientRect(), took = [];
  const send = (type, clientX) => plot.dispatchEvent(
    new PointerEvent(type, { clientX, clientY: box.top + 80, button: 0, buttons: 1, bubbles: true }));
  plot.setPointerCapture = () => {};  // there is no pointer to capture
  send('pointerdown', at.left + at.width / 2);
  for (let k = 0; k < steps; k += 1) {
    let start;
    requestAnimationFrame(() => { start = performance.now(); });
    send('pointermove', box.left + 80 + (k * 7) % (box.width - 120));
    await new Promise((done) => requestAnimationFrame(() => {
      document.body.getBoundingClientRect();
      took.push(performance.now() - start);
      setTimeout(done, 0);
    }));
  }
  send('pointerup', box.left + 200);
  return took;
}"""


def click(page: Any, button: Any, selector: str, kind: str) -> float:
    took = page.evaluate(CLICK, [button.element_handle(), selector, kind])
    if took is None:
        raise RuntimeError(f"Nothing new appeared in {selector}.")
    return took


def worked(session: Any) -> float:
    """Return how long a page has worked since its session began: milliseconds of scripts, styles and layout."""
    found = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
    return 1000 * sum(found[name] for name in ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration"))


def run_large(page: Any, rounds: int, pause: int) -> dict[str, list[float]]:
    losses, result = page.locator("[data-name=loss] input"), {"large": []}
    for turn in range(rounds + 4):
        took = click(page, losses.nth((turn + 1) % 4), ".isomax-viz-explorer", "drawn")
        result["large"] += [took] if turn >= 4 else []  # all four were shown by then
        page.wait_for_timeout(pause)
    page.evaluate(DRAG, 60)
    return result | {"large drag": page.evaluate(DRAG, 300)}


def run(page: Any, rounds: int, pause: int) -> dict[str, list[float]]:
    keys = ("softmax", "isomax", "isomax+", "isomax2")
    explorer, seaborn = page.locator(".isomax-viz-explorer").first, page.locator(".seaborn").first
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    kinds = ("new", "known", "seaborn", "empty", "new work", "known work")
    result: dict[str, list[float]] = {kind: [] for kind in kinds}
    losses, scores = explorer.locator("[data-name=loss] input"), explorer.locator("[data-name=score] input")
    for turn in range(min(rounds, 3 * scores.count())):
        place = turn % 3 + 1
        if place == 1:
            scores.nth(turn // 3).click()  # another score, of which no other loss was shown yet
            page.wait_for_timeout(pause)
        for name, loss in (("new", place), ("known", 0)):
            before = worked(session)
            result[name].append(click(page, losses.nth(loss), ".isomax-viz-explorer", "drawn"))
            result[f"{name} work"].append(worked(session) - before)
            page.wait_for_timeout(pause)
        other = seaborn.get_by_role("button", name=keys[(turn + 1) % 4], exact=True).first
        result["seaborn"].append(click(page, other, ".seaborn", "image"))
        page.wait_for_timeout(pause)
        result["empty"].append(click(page, page.locator(".empty button").first, ".empty", "text"))
        page.wait_for_timeout(pause)
    return result


def collect(*, rounds: int, pause: int) -> dict[str, list[float]]:
    """Return milliseconds of each kind of action, turn by turn, in a JupyterLab started for it."""
    from jupyterlab_driver import Notebook
    from lab_server import CHROMIUM_ARGS, find_chromium, start_lab
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, start_lab(Path(folder), dict(os.environ)) as lab:
        name = lab.write("latency.ipynb", SAMPLES, SEABORN, EMPTY, EXPLORER)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
            page = browser.new_page(viewport={"width": 1500, "height": 3200})
            notebook = Notebook(page, lab.address(name))
            notebook.run_all()
            page.locator(".seaborn img").first.wait_for()
            page.wait_for_timeout(3000)
            result = run(page, rounds, pause)
            notebook.append(BUSY)
            page.wait_for_timeout(500)
            page.locator(".isomax-viz-explorer .threshold").first.wait_for()
            page.evaluate(DRAG, 60)
            result["drag"] = page.evaluate(DRAG, 300)
            page.close()
            page = browser.new_page(viewport={"width": 1500, "height": 1100})
            Notebook(page, lab.address(lab.write("large.ipynb", LARGE, EXPLORER))).run_all()
            page.wait_for_timeout(3000)
            result |= run_large(page, rounds, pause)
            browser.close()
    return result


def missing() -> str:
    """Return what is missing for a measurement in a browser; empty if nothing is."""
    from lab_server import find_chromium

    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return "" if find_chromium() else "no Chromium on this machine"


def rows() -> list[Row]:
    """All rows of this file; without a browser, one that says so."""
    if reason := missing():
        return [Row("widget: click to picture", "interact with seaborn", (float("nan"),), None, note=reason)]
    times = collect(rounds=21, pause=400)
    medians = {name: np.median(values) for name, values in times.items()}
    seaborn = f"interact with seaborn ({medians['seaborn']:.0f} ms)"
    empty = f"empty round trip {medians['empty']:.0f} ms"
    found = [
        Row(f"widget: click to a picture {what}", seaborn, ratios(times[key], times["seaborn"]), LIMITS[key],
            at_most=True, values=tuple(times[key]), unit="ms",
            note=f"{medians[key]:.0f} ms, of which the browser works {medians[f'{key} work']:.0f} ms; {empty}")
        for what, key in (("shown before", "known"), ("never shown", "new"))
    ]  # fmt: skip
    toggle, values = tuple(value / TOGGLE for value in times["large"]), tuple(times["large"])
    found.append(Row("widget: toggle of 100,000 + 100,000 images shown before", f"{TOGGLE} ms", toggle, LIMITS["large"],
                     at_most=True, note=f"{medians['large']:.0f} ms", values=values, unit="ms"))  # fmt: skip
    for key, what in (("drag", "kernel busy"), ("large drag", "100,000 + 100,000 images")):
        slowest = float(np.percentile(times[key], 95))
        name, note = f"widget: work of one frame of a drag, 95th percentile, {what}", f"median {medians[key]:.1f} ms"
        found.append(Row(name, "a frame of 16 ms", (slowest / 16,), LIMITS[key], at_most=True,
                         note=f"{slowest:.1f} ms, {note}", values=(slowest,), unit="ms"))  # fmt: skip
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="clicks of each kind (21)")
    parser.add_argument("--pause", type=int, default=400, help="milliseconds between clicks (400)")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    result = collect(rounds=options.rounds, pause=options.pause)
    medians = {name: float(np.median(values)) for name, values in result.items()}
    found = {name: medians[name] / medians["seaborn"] for name in ("known", "new")}
    found |= {name: float(np.percentile(result[name], 95)) / 16 for name in ("drag", "large drag")}
    found["large"] = medians["large"] / TOGGLE
    for name, value in medians.items():
        low, high = np.percentile(result[name], [10, 90])
        print(f"{name:10s} median {value:6.1f} ms  (10 to 90 %: {low:.0f} to {high:.0f})")
    for name, ratio in found.items():
        print(f"{name:10s} ratio {ratio:.2f} (at most {LIMITS[name]})")
    if options.json:
        options.json.write_text(json.dumps({"ms": result, "medians": medians, "ratios": found}, indent=1))
    return 0 if all(found[name] <= LIMITS[name] for name in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())

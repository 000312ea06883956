"""The slider over the entropic scale, a watched training, and clicks on the histogram, as a person meets them."""

from __future__ import annotations

from typing import Any

import pytest
from jupyterlab_driver import Notebook, PictureView

from isomax_viz import figures, tables
from isomax_viz.figures._canvas import png

pytestmark = pytest.mark.browser

# Runs in the notebook and here, so that both have the same captures.
MAKE = """
import numpy as np
import isomax_viz as iv

def made(scale):
    rng = np.random.default_rng(int(scale))
    labels = np.arange(200) % 4
    inside = rng.normal(size=(200, 4)) + 4 * np.eye(4)[labels]
    meta = {"entropic_scale": scale, "preset": "teaching", "data": "digits"}
    unknown = {"letters": rng.normal(size=(200, 4)) + 1}
    return iv.Capture.from_arrays(inside, labels, ood=unknown, loss="isomax+", meta=meta)

def images(name):
    shades = np.repeat(np.arange(200, dtype=np.uint8), 64).reshape(200, 8, 8, 1)
    return iv.datasets.ImageSet(name, shades, np.zeros(200, int), ("some",))
"""
SCALES = (1.0, 5.0, 10.0)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the cell above defines."""
    defined: dict[str, Any] = {}
    exec(MAKE, defined)
    return defined


def test_the_scale_moves_with_the_keyboard(page, lab, names, screenshots):
    cell = f"{MAKE}\niv.explore_alpha([made(scale) for scale in {SCALES}])"
    shown = Notebook(page, lab.address(lab.write("alpha.ipynb", cell))).run_all(PictureView)
    captures = [names["made"](scale) for scale in SCALES]
    parts = [tables.logits_table(item, ood=["letters"], bins=1) for item in captures]
    limits = min(part["left"].min() for part in parts), max(part["right"].max() for part in parts)

    def plain(number):
        axes = figures.plot_logits(captures[number], ["letters"], limits=limits)
        axes.set_title(f"{axes.get_title(loc='left')} · entropic scale {SCALES[number]:g}", loc="left")
        return png(axes.figure)

    shown.wait_for_picture(plain(0))
    shown.root.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    shown.wait_for_picture(plain(1))
    page.keyboard.press("ArrowRight")
    shown.wait_for_picture(plain(2))
    chosen = shown.root.locator("tr.chosen")
    assert chosen.count() == 1 and chosen.locator("td").first.inner_text() == "10"
    shown.press("Entropy")
    shown.wait_for_text("median entropy")
    shown.screenshot(screenshots / "alpha.png")


def test_a_watched_training_leaves_the_notebook_usable_and_stops(page, lab, screenshots):
    experiment = "iv.Experiment(loss='isomax', preset='smoke', epochs=60, seed=77)"
    cells = f"import isomax_viz as iv\nview = iv.watch({experiment})\nview", "print('still', 6 * 7)"
    shown = Notebook(page, lab.address(lab.write("watch.ipynb", *cells))).run_all(PictureView)
    page.locator(".jp-OutputArea-output", has_text="still 42").wait_for()  # while the training runs
    progress = shown.root.locator(".progress-bar").first
    shown.wait_until(lambda: "width: 0" not in (progress.get_attribute("style") or "width: 0"), seconds=90)
    shown.press("stop")
    shown.wait_for_text("Start goes on from there")
    shown.press("start")
    shown.root.get_by_text("The training has ended: test accuracy").wait_for(timeout=120_000)
    shown.screenshot(screenshots / "watch.png")

"""The explorer in JupyterLab, driven as a person drives it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from jupyterlab_driver import Notebook

from isomax_viz import figures
from isomax_viz.figures._canvas import png
from isomax_viz.scores import SCORES
from isomax_viz.style import LOSS_STYLES

pytestmark = pytest.mark.browser

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "00_quickstart.ipynb"
LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
CELL = f"""import isomax_viz as iv
captures = [iv.Experiment(loss=loss).run(progress=False) for loss in {LOSSES!r}]
explorer = iv.explore(captures)
explorer"""


@pytest.fixture(scope="module")
def quickstart(page, lab, captures):
    if QUICKSTART.is_file():
        name = shutil.copy(QUICKSTART, lab.folder) and QUICKSTART.name
    else:
        name = lab.write("quickstart.ipynb", CELL)
    return Notebook(page, lab.address(name)).run_all()


def test_toggling_each_loss_shows_the_plain_figure(quickstart, captures, screenshots):
    quickstart.press("ES")
    seen = set()
    for loss in LOSSES:
        quickstart.press(LOSS_STYLES[loss].label)
        wanted = png(figures.plot_operating_point(captures[loss], ["letters"], score="es"))
        quickstart.wait_for_picture(wanted)
        seen.add(wanted)
    assert len(seen) == len(LOSSES)
    quickstart.root.screenshot(path=screenshots / "explorer_light.png")


def test_toggling_each_score_shows_the_plain_figure(quickstart, captures):
    quickstart.press("IsoMax+")
    seen = set()
    for key, score in SCORES.items():
        quickstart.press(score.label)
        wanted = png(figures.plot_operating_point(captures["isomax+"], ["letters"], score=key))
        quickstart.wait_for_picture(wanted)
        assert score.name in quickstart.root.inner_text()
        seen.add(wanted)
    assert len(seen) == len(SCORES)


def test_toggling_sets_and_views(quickstart, captures):
    quickstart.press("IsoMax+")
    quickstart.press("Entropy")
    quickstart.press("patches")
    quickstart.wait_for_picture(png(figures.plot_entropy(captures["isomax+"], ["letters", "patches"]).figure))
    quickstart.press("patches")
    quickstart.press("Logits")
    quickstart.wait_for_picture(png(figures.plot_logits(captures["isomax+"], ["letters"]).figure))
    quickstart.press("Scores")


def test_dark_theme_is_legible(quickstart, page, screenshots):
    page.locator(".lm-MenuBar-itemLabel", has_text="Settings").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text("JupyterLab Dark", exact=True).click()
    page.locator("body[data-jp-theme-light='false']").wait_for(state="attached")
    color = quickstart.root.locator("td").first.evaluate("e => getComputedStyle(e).color")
    red, green, blue = (float(part) for part in color.strip("rgba()").split(",")[:3])
    assert min(red, green, blue) > 150, color
    quickstart.root.screenshot(path=screenshots / "explorer_dark.png")

"""The teaching lab in JupyterLab, driven as a student drives it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from jupyterlab_driver import Notebook, PictureView

import isomax_viz as iv
from isomax_viz import figures
from isomax_viz.figures._canvas import png

pytestmark = pytest.mark.browser

LESSON = Path(__file__).parents[2] / "notebooks" / "10_two_moons.ipynb"


@pytest.fixture(scope="module")
def runs():
    return [iv.train_toy("moons", loss=loss) for loss in ("softmax", "isomax", "isomax+")]


@pytest.fixture(scope="module")
def view(page, lab):
    """The lesson's widget, after the cells up to it have run; the answers before it stay folded."""
    lesson = nbformat.read(LESSON, as_version=4)
    last = next(i for i, cell in enumerate(lesson.cells) if "iv.explore" in cell.source)
    del lesson.cells[last + 1 :]
    nbformat.write(lesson, lab.folder / LESSON.name)
    return Notebook(page, lab.address(LESSON.name)).run_all(PictureView)


def test_the_epoch_slider_moves_with_the_keyboard(view, page, runs, screenshots):
    def plain(epoch, **options):
        return png(figures.plot_surfaces([run.at(epoch) for run in runs], **options))

    view.wait_for_picture(plain(40, score="mps"), seconds=60)
    handle = view.root.locator(".noUi-handle").first
    handle.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    view.wait_for_picture(plain(37, score="mps"), seconds=60)
    view.press("MDS")
    view.press("features")
    view.wait_for_picture(plain(37, score="mds", space="features"), seconds=60)
    view.wait_for_text("epoch 37: of the features")
    view.screenshot(screenshots / "lab_two_moons.png")


def test_answers_are_folded_and_open_with_a_key(view, page):
    folded = page.locator(".jp-RenderedMarkdown details").first
    folded.scroll_into_view_if_needed()
    summary = folded.locator("summary")
    assert not folded.locator("p").first.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    folded.locator("p").first.wait_for()

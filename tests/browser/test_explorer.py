"""The explorer in JupyterLab, driven as a person drives it."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jupyterlab_driver import Notebook
from PIL import Image

from isomax_viz import figures, tables
from isomax_viz.analysis.scores import SCORES
from isomax_viz.analysis.thresholds import score_range
from isomax_viz.catalog.losses import LOSSES as KNOWN
from isomax_viz.explorer.controls import STEPS
from isomax_viz.figures._canvas import png

pytestmark = pytest.mark.browser

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "00_quickstart.ipynb"
LOSSES = ("softmax", "isomax", "isomax+", "isomax2")


@pytest.fixture(scope="module")
def notebook(page, lab, captures):
    """Return the quickstart notebook as it is committed, opened in JupyterLab."""
    shutil.copy(QUICKSTART, lab.folder)
    return Notebook(page, lab.address(QUICKSTART.name))


@pytest.fixture(scope="module")
def explorer(notebook):
    """Return the notebook's explorer after all cells have run."""
    return notebook.run_all()


@pytest.fixture
def plus(explorer, captures):
    """Return the explorer at IsoMax+, ES, letters, scores, 95 %, one panel."""
    explorer.press("reset")
    explorer.wait_for_picture(operating_point(captures["softmax"], score="es"))
    explorer.press("IsoMax+")
    explorer.wait_for_picture(operating_point(captures["isomax+"], score="es"))
    return explorer


def operating_point(capture, **options):
    return png(figures.plot_operating_point(capture, ["letters"], **options))


def test_toggling_each_loss_shows_the_plain_figure(explorer, captures, screenshots):
    explorer.press("ES")
    seen = set()
    for loss in LOSSES:
        explorer.press(KNOWN[loss].look.label)
        explorer.wait_for_picture(wanted := operating_point(captures[loss], score="es"))
        seen.add(wanted)
    assert len(seen) == len(LOSSES)
    explorer.screenshot(screenshots / "explorer_light.png")


def test_toggling_each_score_shows_the_plain_figure(plus, captures):
    seen = set()
    for key, score in SCORES.items():
        plus.press(score.label)
        plus.wait_for_picture(wanted := operating_point(captures["isomax+"], score=key))
        plus.wait_for_text(score.name)
        seen.add(wanted)
    assert len(seen) == len(SCORES)


def test_toggling_sets_and_views(plus, captures):
    plus.press("Entropy")
    plus.press("patches")
    plus.wait_for_picture(png(figures.plot_entropy(captures["isomax+"], ["letters", "patches"]).figure))
    plus.press("Feature space")
    plus.wait_for_picture(png(figures.plot_feature_space(captures["isomax+"], ["letters", "patches"]).figure))
    plus.press("Prototypes")
    plus.wait_for_picture(png(figures.plot_prototype_distances(captures["isomax+"]).figure))


def test_two_losses_side_by_side(plus, captures, screenshots):
    plus.row("Beside").get_by_role("button", name="SoftMax", exact=True).click()
    pair = [captures["isomax+"], captures["softmax"]]
    options = {"score": "es", "panels": "scores"}
    plus.wait_for_picture(png(figures.plot_operating_point(pair, ["letters"], share=True, **options)))
    plus.screenshot(screenshots / "explorer_side_by_side.png")
    plus.press("same axes")
    plus.wait_for_picture(png(figures.plot_operating_point(pair, ["letters"], **options)))


def test_dragging_the_threshold_with_the_keyboard(plus, captures, page, screenshots):
    capture, handle = captures["isomax+"], plus.root.locator(".noUi-handle").first
    start = int(float(handle.get_attribute("aria-valuenow")))
    handle.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    low, high = score_range(capture, ["letters"], score="es")
    threshold = low + (high - low) * (start + 6) / STEPS
    plus.wait_for_picture(operating_point(capture, score="es", threshold=threshold))
    accepted = int((-capture.test.entropies >= threshold).sum())
    plus.wait_for_text(f"{accepted} of 599 ({100 * accepted / 599:.1f} %)")
    plus.screenshot(screenshots / "explorer_threshold.png")
    plus.press("best DTACC")
    plus.wait_for_picture(operating_point(capture, score="es", threshold="dtacc"))
    plus.press("95 % of ID")
    plus.wait_for_picture(operating_point(capture, score="es"))


def test_opening_the_pictures_behind_the_numbers(plus, screenshots):
    plus.press("Pictures")
    plus.wait_for_text("24 images: out-of-distribution images with the highest scores")
    sheet = plus.root.locator(".isomax-viz-picture img").nth(1)
    plus.wait_for_image(sheet)
    first = plus.picture(sheet)
    assert np.asarray(Image.open(BytesIO(first))).std() > 10
    plus.press("least confident ID")
    plus.wait_for_text("24 images: in-distribution images with the lowest scores")
    plus.wait_until(lambda: plus.picture(sheet) != first)
    plus.screenshot(screenshots / "explorer_pictures.png")


def test_judging_one_image(plus, captures, page, screenshots):
    from isomax_viz.datasets import load_id

    digits = load_id("digits").test
    buffer = BytesIO()
    Image.fromarray(digits.images[0, :, :, 0]).save(buffer, "png")
    plus.press("One image")
    files = {"name": "mine.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    with page.expect_file_chooser() as chooser:
        plus.root.get_by_role("button", name="Choose an image").click()
    chooser.value.set_files(files)
    score = -captures["isomax+"].test.entropies[0]
    plus.wait_for_text(f"ES = {score:.3g}".replace("-", "−"))
    plus.wait_for_text(f"The network calls it {digits.class_names[captures['isomax+'].test.predictions[0]]}")
    plus.screenshot(screenshots / "explorer_one_image.png")


def test_saving_a_picture_and_its_data(plus, captures, lab):
    plus.press("Logits")
    plus.press("Take away")
    for suffix in ("PNG", "CSV"):
        plus.press(suffix)
        plus.wait_for_text(f"Saved logits_isomax+_letters.{suffix.lower()}")
    saved = lab.folder / "logits_isomax+_letters.png"
    plain = figures.save_figure(figures.plot_logits(captures["isomax+"], ["letters"]), lab.folder / "plain.png")
    assert saved.read_bytes() == plain.read_bytes()
    tables.logits_table(captures["isomax+"], ["letters"]).to_csv(lab.folder / "plain.csv", index=False)
    pd.testing.assert_frame_equal(
        pd.read_csv(lab.folder / "logits_isomax+_letters.csv"), pd.read_csv(lab.folder / "plain.csv")
    )
    plus.press("show code")
    plus.wait_for_text("iv.plot_logits(captures[2], ood=['letters'])")


def test_every_control_can_be_reached_by_keyboard(plus, page):
    plus.row("Loss").get_by_role("button").first.focus()
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("(document.activeElement.title || document.activeElement.innerText || '')"))
    for words in (
        "Loss that the network was trained with: IsoMax2",
        "One panel",
        "minimum distance score",
        "Compare with the out-of-distribution set 'uniform'",
        "Take the threshold with the best mean",
    ):
        assert any(words in title for title in seen), words


def test_scrolling_away_and_back_keeps_the_picture(plus, page, captures):
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer").first.evaluate("e => e.scrollTop = 0")
    page.locator(".jp-Cell").first.wait_for()
    page.wait_for_timeout(300)
    plus.image.scroll_into_view_if_needed()
    plus.wait_for_picture(operating_point(captures["isomax+"], score="es"))
    plus.press("MDS")
    plus.wait_for_picture(operating_point(captures["isomax+"], score="mds"))


def test_dark_theme_is_legible(plus, notebook, page, screenshots):
    notebook.menu("Settings", "Theme", "JupyterLab Dark")
    page.locator("body[data-jp-theme-light='false']").wait_for(state="attached")
    color = plus.root.locator("td").first.evaluate("e => getComputedStyle(e).color")
    red, green, blue = (float(part) for part in color.strip("rgba()").split(",")[:3])
    assert min(red, green, blue) > 150, color
    plus.screenshot(screenshots / "explorer_dark.png")
    notebook.menu("Settings", "Theme", "JupyterLab Light")


def test_running_the_cell_again_leaves_one_explorer(plus, notebook, page):
    plus.root.locator("xpath=ancestor::div[contains(@class,'jp-Cell ')]").locator(".jp-InputPrompt").click()
    notebook.menu("Run", "Run Selected Cell and Do not Advance")
    page.wait_for_function("() => document.querySelectorAll('.isomax-viz').length === 1")
    plus.wait_for_text("Detection with the")


def test_a_frozen_picture_survives_a_restart(explorer, notebook, page, captures):
    explorer.refresh()
    explorer.press("IsoMax+")
    explorer.press("ES")
    explorer.wait_for_picture(wanted := operating_point(captures["isomax+"], score="es"))
    explorer.press("Take away")
    explorer.press("freeze")
    explorer.wait_for_text("The picture stands below as a plain image")
    frozen = page.locator(".jp-OutputArea-output.jp-RenderedImage img").last
    explorer.wait_until(lambda: explorer.picture(frozen) == wanted)
    notebook.menu("File", "Save Notebook")
    notebook.menu("Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog").locator("button.jp-mod-accept").click()
    page.get_by_text("| Idle").first.wait_for()
    page.reload()
    frozen = page.locator(".jp-OutputArea-output.jp-RenderedImage img").last
    frozen.wait_for()
    explorer.wait_until(lambda: explorer.picture(frozen) == wanted)

"""The explorer in JupyterLab, driven as a person drives it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jupyterlab_driver import Explorer, Notebook

from isomax_viz import figures, load_example, tables
from isomax_viz.analysis import metrics
from isomax_viz.analysis.scores import compute
from isomax_viz.analysis.thresholds import threshold_table

pytestmark = pytest.mark.browser

LOSSES = {"softmax": "SoftMax", "isomax": "IsoMax", "isomax+": "IsoMax+", "isomax2": "IsoMax2"}


@pytest.fixture(scope="module")
def captures():
    """The recorded networks that come with the package, by loss."""
    return {capture.loss: capture for capture in load_example("digits", seed=0)}


@pytest.fixture(scope="module")
def notebook(page, lab):
    """Return a notebook with an explorer, opened in JupyterLab."""
    code = "import isomax_viz as iv\nexplorer = iv.explore(iv.load_example('digits', seed=0))\nexplorer"
    page.set_default_timeout(60_000)
    return Notebook(page, lab.address(lab.write("explorer.ipynb", code)))


@pytest.fixture(scope="module")
def explorer(notebook):
    """Return the notebook's explorer after all cells have run."""
    return notebook.run_all()


@pytest.fixture
def plus(explorer):
    """Return the explorer at IsoMax+, ES, letters, scores, 95 %, nothing beside."""
    explorer.after(lambda: explorer.press("reset"))
    explorer.choose("IsoMax+")
    return explorer


def accepts(explorer, capture, score, name="letters", threshold="tpr95"):
    row = threshold_table(capture, name, score=score, threshold=threshold).iloc[0]
    assert explorer.row("ID") == [row["id_accepted"], row["id_rejected"]]
    assert explorer.row(name)[:2] == [row["ood_accepted"], row["ood_rejected"]]
    expected = metrics.ood_metrics(compute(score, capture.test), compute(score, capture.ood[name]))
    assert explorer.row(name)[2:] == [expected[key] for key in ("AUROC", "TNR@TPR95", "DTACC")]


def test_each_loss_and_score_shows_the_numbers_of_the_library(plus, captures, screenshots):
    for loss, label in LOSSES.items():
        plus.choose(label)
        accepts(plus, captures[loss], "es")
    plus.choose("MDS")
    accepts(plus, captures["isomax2"], "mds")
    plus.screenshot(screenshots / "explorer_light.png")


def test_sets_and_views(plus, captures):
    plus.choose("patches")
    accepts(plus, captures["isomax+"], "es", "patches")
    plus.view("features")
    assert plus.root.locator("canvas").count() == 1
    plus.view("training")
    plus.wait_for_text("IsoMax+: test")


def test_the_threshold_moves_while_the_kernel_is_busy(plus, notebook, page, captures, lab):
    (lab.folder / "done").unlink(missing_ok=True)
    notebook.append(
        "import pathlib, time; _ = any(pathlib.Path('done').exists() or time.sleep(0.1) for _ in range(600))"
    )
    page.wait_for_timeout(300)
    plus.root.locator(".threshold").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    threshold = float(plus.root.locator(".threshold").get_attribute("aria-valuenow"))
    assert threshold < metrics.threshold_at_tpr(compute("es", captures["isomax+"].test))
    accepts(plus, captures["isomax+"], "es", threshold=threshold)
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    assert "*" in "".join(prompts.all_inner_texts())  # its cell runs still
    (lab.folder / "done").touch()
    plus.wait_until(lambda: "*" not in "".join(prompts.all_inner_texts()))


def test_the_pictures_behind_a_range_are_those_that_python_names(plus, notebook, page, screenshots):
    plus.press("Pictures")
    plus.after(lambda: plus.press("most confident OOD"))
    plus.wait_until(lambda: plus.root.locator(".thumbs canvas").count() == 16, seconds=60)
    plus.screenshot(screenshots / "explorer_pictures.png")
    first = plus.root.locator(".thumbs button").first.get_attribute("title")
    notebook.append("explorer.selected[0]")
    out = page.locator(".jp-OutputArea-output pre").last
    plus.wait_until(lambda: f"image {json.loads(out.inner_text().replace(chr(39), chr(34)))[1]}:" in first)


def test_words_and_their_meaning_lie_apart(plus):
    plus.press("Explain")
    terms, meanings = (plus.root.locator(f"aside {name}").all() for name in ("dt", "dd"))
    assert len(terms) == len(meanings) > 3
    for term, meaning in zip(terms, meanings, strict=True):
        above, below = term.bounding_box(), meaning.bounding_box()
        assert above["y"] + above["height"] <= below["y"] + 1 and below["width"] > 100


def test_saving_a_picture_and_its_data(plus, captures, lab):
    plus.view("logits")
    plus.press("Take away")
    for suffix in ("PNG", "CSV"):
        plus.press(suffix)
        plus.wait_for_text(f"logits_isomax+_letters.{suffix.lower()}")
    saved = lab.folder / "logits_isomax+_letters.png"
    plain = figures.save_figure(figures.plot_logits(captures["isomax+"], ["letters"]), lab.folder / "plain.png")
    assert saved.read_bytes() == plain.read_bytes()
    tables.logits_table(captures["isomax+"], ["letters"]).to_csv(lab.folder / "plain.csv", index=False)
    pd.testing.assert_frame_equal(
        pd.read_csv(lab.folder / "logits_isomax+_letters.csv"), pd.read_csv(lab.folder / "plain.csv")
    )
    plus.press("show code")
    plus.wait_for_text("iv.plot_logits(captures[2], ood=['letters'])")


def test_dark_theme_is_legible(plus, notebook, page, screenshots):
    notebook.menu("Settings", "Theme", "JupyterLab Dark")
    page.locator("body[data-jp-theme-light='false']").wait_for(state="attached")
    plus.wait_until(lambda: "dark" in plus.root.get_attribute("class"))
    color = plus.root.locator("td").first.evaluate("e => getComputedStyle(e).color")
    assert min(float(part) for part in color.strip("rgba()").split(",")[:3]) > 150, color
    plus.screenshot(screenshots / "explorer_dark.png")
    notebook.menu("Settings", "Theme", "JupyterLab Light")


def test_the_module_came_once_and_is_not_saved(plus, notebook, page, lab):
    assert page.evaluate("Object.keys(globalThis.isomaxVizModules).length") == 1
    notebook.menu("File", "Save Notebook")
    saved = lab.folder / "explorer.ipynb"
    plus.wait_until(lambda: "widget-view" in saved.read_text())
    assert "densityTop" not in saved.read_text()
    outputs = [out for cell in json.loads(saved.read_text())["cells"] for out in cell.get("outputs", [])]
    assert any({"image/png", "application/vnd.jupyter.widget-view+json"} <= set(out.get("data", {})) for out in outputs)


def test_running_the_cell_again_leaves_one_explorer(plus, notebook, page):
    plus.root.locator("xpath=ancestor::div[contains(@class,'jp-Cell ')]").locator(".jp-InputPrompt").click()
    notebook.menu("Run", "Run Selected Cell and Do not Advance")
    page.wait_for_timeout(1000)
    page.wait_for_function("() => document.querySelectorAll('.isomax-viz-explorer').length === 1")
    Explorer(page)


def test_after_a_restart_nothing_old_stands_under_new_words(notebook, page):
    explorer = Explorer(page)
    explorer.choose("IsoMax2")
    notebook.menu("Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog").locator("button.jp-mod-accept").click()
    page.get_by_text("| Idle").first.wait_for()
    explorer.root.get_by_role("radio", name="energy").click()
    explorer.wait_for_text("was restarted")
    assert explorer.root.locator("svg[aria-label]").count() == 0
    explorer.choose("ES")  # what was shown before is still known
    assert explorer.root.locator("svg[aria-label]").count() == 2
    assert np.isfinite(explorer.row("ID")).all()


def test_running_all_of_the_tour_leaves_it_where_it_began(page, lab):
    shutil.copy(Path(__file__).parents[2] / "notebooks" / "07_explorer.ipynb", lab.folder)
    explorer = Notebook(page, lab.address("07_explorer.ipynb")).run_all()
    page.get_by_text("| Idle").first.wait_for()
    first = load_example("digits", seed=0)[0]
    assert page.locator(".isomax-viz-explorer").count() == 1
    assert explorer.root.locator("[data-name=loss] input:checked").get_attribute("value") == first.loss
    assert explorer.root.locator("select[name=view]").input_value() == "scores"
    accepts(explorer, first, "es", next(iter(first.ood)))


def test_hostile_names_are_words_in_explorer_and_frozen_picture(page, lab):
    name = "</script><img src=x onerror='window.hacked=1'>"
    sets = f"{{{name!r}: [[0.3, 0.1], [0.2, 0.4]]}}"
    code = f"""import isomax_viz as iv
explorer = iv.explore(iv.Capture.from_arrays([[9.0, 0.0], [1.0, 8.0]], [0, 1], ood={sets}, loss="softmax"))
explorer.freeze()
explorer"""
    explorer = Notebook(page, lab.address(lab.write("hostile.ipynb", code))).run_all()
    explorer.wait_for_text("</script><img src=x …='window.hacked=1'> (n = 2)")  # long names are cut in their middle
    frozen = page.locator(".jp-OutputArea-output p", has_text="median ES score")
    frozen.first.wait_for()
    assert page.evaluate("window.hacked") is None
    assert page.locator(".jp-OutputArea-output img[src='x']").count() == 0

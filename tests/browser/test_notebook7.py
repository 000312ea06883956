"""The explorer in Jupyter Notebook 7, which is another page around the same kernel and widgets."""

from __future__ import annotations

import pytest
from jupyterlab_driver import Explorer, Notebook, move_simplex
from lab_server import TOKEN

from isomax_viz import load_example
from isomax_viz.analysis.thresholds import threshold_table

pytestmark = pytest.mark.browser
pytest.importorskip("notebook", reason="Jupyter Notebook 7 is not installed")

CODE = """
import isomax_viz as iv
captures = iv.load_example("digits", seed=0)
iv.explore(captures)
"""
SIMPLEX = """
import isomax_viz as iv
iv.explore_simplex()
"""


def test_the_explorer_works_in_notebook_7(page, lab, screenshots):
    capture = load_example("digits", loss="isomax+", seed=0)[0]
    name = lab.write("notebook_7.ipynb", SIMPLEX, CODE)
    Notebook(page, f"{lab.url}/notebooks/{name}?token={TOKEN}", ready="Python 3").start_all()
    for _ in range(300):  # what lies below the screen is drawn only when it is scrolled to
        page.locator(".jp-Notebook .jp-Cell").last.evaluate("cell => cell.scrollIntoView({block: 'end'})")
        if page.locator("[data-name=loss]").is_visible():
            break
        page.wait_for_timeout(200)
    move_simplex(page)
    explorer = Explorer(page)
    explorer.choose("IsoMax+")
    explorer.choose("patches")
    explorer.choose("MDS")
    row = threshold_table(capture, "patches", score="mds").iloc[0]
    assert explorer.row("patches")[:2] == [row["ood_accepted"], row["ood_rejected"]]
    explorer.screenshot(screenshots / "explorer_notebook_7.png")

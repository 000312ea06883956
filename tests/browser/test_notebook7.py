"""The explorer in Jupyter Notebook 7, which is another page around the same kernel and widgets."""

from __future__ import annotations

import pytest
from jupyterlab_driver import Explorer
from jupyterlab_server import TOKEN

from isomax_viz import figures
from isomax_viz.figures._canvas import png

pytestmark = pytest.mark.browser
pytest.importorskip("notebook", reason="Jupyter Notebook 7 is not installed")

CODE = """
import isomax_viz as iv
captures = [iv.Experiment(loss=loss).run(progress=False) for loss in ("softmax", "isomax+")]
iv.explore(captures)
"""


def test_the_explorer_works_in_notebook_7(page, lab, captures, screenshots):
    name = lab.write("notebook_7.ipynb", CODE)
    page.goto(f"{lab.url}/notebooks/{name}?token={TOKEN}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3", exact=False).first.wait_for()
    for _ in range(20):  # until the kernel is there, the command does nothing
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).last.click()
        page.wait_for_timeout(1500)
        if page.locator(".isomax-viz").count():
            break
    explorer = Explorer(page)
    explorer.press("IsoMax+")
    explorer.press("patches")
    explorer.press("MDS")
    explorer.press("letters")
    wanted = figures.plot_operating_point(captures["isomax+"], ["patches"], score="mds")
    explorer.wait_for_picture(png(wanted))
    explorer.screenshot(screenshots / "explorer_notebook_7.png")

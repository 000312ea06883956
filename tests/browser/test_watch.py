"""A watched training, as a person meets it."""

from __future__ import annotations

import pytest
from jupyterlab_driver import Notebook, Shown

pytestmark = pytest.mark.browser


class Training(Shown):
    """A watched training in the notebook."""

    def ready(self) -> bool:
        """Return whether it was drawn."""
        return self.root.get_attribute("data-drawn") is not None


def test_a_watched_training_leaves_the_notebook_usable_and_stops(page, lab, screenshots):
    experiment = "iv.Experiment(loss='isomax', preset='smoke', examples_per_class=20, epochs=160, seed=77)"
    cells = f"import isomax_viz as iv\nview = iv.watch({experiment})\nview", "print('still', 6 * 7)"
    shown = Notebook(page, lab.address(lab.write("watch.ipynb", *cells))).run_all(Training)
    page.locator(".jp-OutputArea-output", has_text="still 42").wait_for()  # while the training runs
    progress = shown.root.locator("progress")
    shown.wait_until(lambda: progress.evaluate("bar => bar.value > 0 && bar.max === 160"), seconds=90)
    assert "left." in shown.root.locator("[role=status]").inner_text()
    assert shown.root.locator("svg[aria-label] path.line").count() == 2  # training and test
    ticks = shown.root.locator("svg[aria-label] text[text-anchor=middle]").all_text_contents()
    assert "160" in ticks and all(text.isdigit() for text in ticks if text != "epoch" and text != "accuracy")
    assert shown.root.get_by_role("button", name="start").count() == 0  # it runs
    shown.press("stop")
    shown.wait_for_text("Start goes on from there")
    assert shown.root.get_by_role("button", name="stop").count() == 0
    shown.press("start")
    shown.root.get_by_text("The training has ended: test accuracy").wait_for(timeout=120_000)
    assert shown.root.get_by_role("button").all_inner_texts() == ["present"]  # it has ended
    shown.screenshot(screenshots / "watch.png")

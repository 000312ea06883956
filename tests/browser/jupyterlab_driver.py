"""What a person does in JupyterLab, step by step, as methods."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Explorer", "Notebook"]


class Notebook:
    """What a person does with a notebook in JupyterLab."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        page.goto(address)
        page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell").first.wait_for()
        page.get_by_text("| Idle").first.wait_for()

    def menu(self, *names: str) -> None:
        """Choose from the menu bar, such as ``menu("Run", "Run All Cells")``."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=names[0]).first.click()
        for name in names[1:]:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).last.click()

    def run_all(self) -> Explorer:
        """Run all cells and return the last explorer of the page once it shows its picture."""
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt")
        # Where the kernel is not quite there yet, JupyterLab takes the command and does nothing.
        for _ in range(20):
            self.menu("Run", "Run All Cells")
            self.page.wait_for_timeout(500)
            if any("*" in text for text in prompts.all_inner_texts()) or self.page.locator(".isomax-viz").count():
                break
        return Explorer(self.page)


class Explorer:
    """The explorer as the browser shows it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.refresh()

    def refresh(self) -> None:
        """Find the explorer again, after its cell has run again."""
        self.root = self.page.locator(".isomax-viz").last
        # In a long notebook, JupyterLab draws a cell only once it is scrolled to.
        self.wait_until(self._bring_into_view, seconds=60)
        self.image = self.root.locator(".isomax-viz-picture img").first
        self.image.scroll_into_view_if_needed()
        self.wait_for_image(self.image)

    def _bring_into_view(self) -> bool:
        if not self.root.count():
            self.page.locator(".jp-Notebook .jp-Cell").last.scroll_into_view_if_needed()
        return self.root.count() > 0 and self.root.is_visible()

    def row(self, label: str) -> Any:
        """Return a row of buttons by the words before it."""
        label = self.root.locator(".widget-label", has_text=label).first
        return label.locator("xpath=..")

    def wait_for_image(self, image: Any) -> None:
        """Wait until the browser has decoded an image."""
        image.wait_for()
        self.page.wait_for_function("e => e.complete && e.naturalWidth > 0", arg=image.element_handle())

    def picture(self, image: Any = None) -> bytes:
        """Return the bytes of the picture that is on the screen."""
        script = """async e => { const b = await (await fetch(e.src)).arrayBuffer();
            let s = ''; for (const x of new Uint8Array(b)) s += String.fromCharCode(x); return btoa(s); }"""
        return base64.b64decode((image or self.image).evaluate(script))

    def wait_until(self, happened: Callable[[], bool], *, seconds: float = 15) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                raise AssertionError(f"It did not happen within {seconds} s.")
            self.page.wait_for_timeout(30)

    def wait_for_picture(self, wanted: bytes, *, seconds: float = 15) -> None:
        """Wait until exactly this picture is on the screen."""
        self.wait_until(lambda: self.picture() == wanted, seconds=seconds)

    def wait_for_text(self, words: str) -> None:
        """Wait until the explorer says these words."""
        self.root.get_by_text(words).first.wait_for()

    def press(self, name: str) -> None:
        """Click the button with this label."""
        self.root.get_by_role("button", name=name, exact=True).first.click()

    def screenshot(self, path: Path) -> None:
        """Save what the explorer looks like, as a whole: it may be higher than the window."""
        size = self.page.viewport_size
        height = int(self.root.bounding_box()["height"]) + 220
        self.page.set_viewport_size({"width": size["width"], "height": max(size["height"], height)})
        self.root.scroll_into_view_if_needed()
        self.page.wait_for_timeout(300)
        self.root.screenshot(path=path)
        self.page.set_viewport_size(size)

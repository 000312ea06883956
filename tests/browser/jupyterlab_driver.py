"""What a person does in JupyterLab, step by step, as methods."""

from __future__ import annotations

import base64
import time
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
            self.page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).first.click()

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
        self.root = page.locator(".isomax-viz").last
        self.root.wait_for(timeout=60_000)
        self.image = self.root.locator(".isomax-viz-picture img")
        self.image.scroll_into_view_if_needed()
        page.wait_for_function("e => e.complete && e.naturalWidth > 0", arg=self.image.element_handle())

    def picture(self) -> bytes:
        """Return the bytes of the picture that is on the screen."""
        script = """async e => { const b = await (await fetch(e.src)).arrayBuffer();
            let s = ''; for (const x of new Uint8Array(b)) s += String.fromCharCode(x); return btoa(s); }"""
        return base64.b64decode(self.image.evaluate(script))

    def wait_for_picture(self, wanted: bytes, *, seconds: float = 10) -> None:
        """Wait until exactly this picture is on the screen."""
        end = time.monotonic() + seconds
        while self.picture() != wanted:
            if time.monotonic() > end:
                raise AssertionError("The picture did not become that of the plain call.")
            self.page.wait_for_timeout(30)

    def press(self, name: str) -> None:
        """Click the button with this label."""
        self.root.get_by_role("button", name=name, exact=True).first.click()

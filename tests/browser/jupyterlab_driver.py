"""What a person does in JupyterLab, step by step, as methods."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Explorer", "Notebook", "PictureView", "Shown", "move_simplex"]


class Notebook:
    """What a person does with a notebook in JupyterLab; ``ready`` is what its page says once the kernel is there."""

    def __init__(self, page: Any, address: str, *, ready: str = "| Idle") -> None:
        self.page = page
        page.goto(address)
        page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell").first.wait_for()
        page.get_by_text(ready).first.wait_for()

    def menu(self, *names: str) -> None:
        """Choose from the menu bar, such as ``menu("Run", "Run All Cells")``."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=names[0]).first.click()
        for name in names[1:]:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).last.click()

    def append(self, code: str) -> None:
        """Write a new last cell and run it, without waiting for it."""
        self.page.locator(".jp-Notebook .jp-Cell").last.locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("b")
        self.page.keyboard.press("Enter")
        self.page.keyboard.insert_text(code)
        self.menu("Run", "Run Selected Cell and Do not Advance")

    def run_all(self, kind: type[Shown] | None = None) -> Any:
        """Run all cells and return the last explorer of the page (or another view) once it is drawn."""
        self.start_all()
        return (kind or Explorer)(self.page)

    def start_all(self) -> None:
        """Run all cells, without waiting for them."""
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt")
        # Where the kernel is not quite there yet, Jupyter takes the command and does nothing.
        for _ in range(60):
            self.menu("Run", "Run All Cells")
            self.page.wait_for_timeout(500)
            if (
                any("*" in text for text in prompts.all_inner_texts())
                or self.page.locator(".isomax-viz-explorer").count()
            ):
                break


class Shown:
    """A view as the browser shows it; ``selector`` says where."""

    selector = ".isomax-viz-explorer"

    def __init__(self, page: Any) -> None:
        self.page = page
        self.refresh()

    def refresh(self) -> None:
        """Find the view again, after its cell has run again."""
        self.root = self.page.locator(self.selector).last
        self.wait_until(self._bring_into_view, seconds=240)
        self.root.scroll_into_view_if_needed()

    def _bring_into_view(self) -> bool:
        """In a long notebook, JupyterLab draws a cell only once it is gone to: upwards from the last one."""
        if not self.root.count() and self.page.get_by_text("| Idle").count():
            self.page.keyboard.press("ArrowUp")
            self.page.wait_for_timeout(200)
        if not self.root.count():
            return False
        if not self.ready():
            self.root.evaluate("view => view.scrollIntoView({block: 'nearest'})")
        return self.ready()

    def ready(self) -> bool:
        """Return whether it shows something."""
        return self.root.is_visible()

    def wait_until(self, happened: Callable[[], bool], *, seconds: float = 15) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                raise AssertionError(f"It did not happen within {seconds} s.")
            self.page.wait_for_timeout(100)

    def press(self, name: str) -> None:
        """Click the button with this label."""
        self.root.get_by_role("button", name=name, exact=True).first.click()

    def choose(self, label: str) -> None:
        """Click an option by its words."""
        self.root.locator("label.option").get_by_text(label, exact=True).first.locator("xpath=..").click()

    def wait_for_text(self, words: str) -> None:
        """Wait until the explorer says these words."""
        self.root.get_by_text(words).first.wait_for()

    def screenshot(self, path: Path) -> None:
        """Save what the explorer looks like."""
        self.root.scroll_into_view_if_needed()
        self.page.wait_for_timeout(300)
        self.root.screenshot(path=path)


class PictureView(Shown):
    """A view of the teaching lab that shows a picture from the kernel."""

    @property
    def image(self) -> Any:
        """The picture."""
        return self.root.locator("img.plate").first

    def ready(self) -> bool:
        """Return whether it shows a picture."""
        return self.image.count() > 0

    def picture(self) -> bytes:
        """Return the bytes of the picture that is on the screen; none where it gives way to the next one meanwhile."""
        script = """async e => { const b = await fetch(e.src).then(r => r.arrayBuffer(), () => new ArrayBuffer(0));
            let s = ''; for (const x of new Uint8Array(b)) s += String.fromCharCode(x); return btoa(s); }"""
        return base64.b64decode(self.image.evaluate(script))

    def wait_for_picture(self, wanted: bytes, *, seconds: float = 15) -> None:
        """Wait until exactly this picture is on the screen."""
        self.wait_until(lambda: self.picture() == wanted, seconds=seconds)


class Explorer(Shown):
    """The explorer, drawn in the browser."""

    def ready(self) -> bool:
        """Return whether it was drawn."""
        return self.drawn > 0

    @property
    def drawn(self) -> int:
        """How often it was drawn."""
        return int(self.root.get_attribute("data-drawn") or 0)

    def after(self, action: Callable[[], None]) -> None:
        """Do something and wait until the explorer has drawn again."""
        before = self.drawn
        action()
        self.wait_until(lambda: self.drawn > before, seconds=30)

    def choose(self, label: str) -> None:
        """Click an option by its words, and wait for the picture."""
        self.after(lambda: super(Explorer, self).choose(label))

    def view(self, key: str) -> None:
        """Choose a view by its key."""
        self.after(lambda: self.root.locator("select[name=view]").select_option(key))

    def row(self, name: str) -> list[float]:
        """Return the exact numbers in a row of the table: accepted, rejected, metrics."""
        cells = self.root.locator(f"tr[data-side='0'][data-set='{name}'] td")
        values = cells.evaluate_all("all => all.map(cell => cell.dataset.value)")
        return [float(value) for value in values if value is not None]


def move_simplex(page: Any) -> None:
    """Move the scale of the simplex, a view of the teaching lab, to its end and wait for what it says there."""
    page.locator("input[name=scale]").press("End")
    page.get_by_text("Sample 'near one' at scale 20: probabilities 99.8").wait_for()

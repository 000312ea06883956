"""A view of the kernel in a page of its own: the browser asks, Python answers, no JupyterLab between them."""

from __future__ import annotations

import base64
import json
from typing import Any

from isomax_viz.explorer.bundle import module

__all__ = ["KernelPage"]

PAGE = "<!doctype html><html style='color-scheme: light dark'><body style='background: Canvas'><div id=view></div>"
START = """
const ask = async (request) => {
  const { answer, error, buffers } = await kernel(request);
  if (error) throw new Error(error);
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  return { json: answer, buffers: buffers.map(bytes) };
};
const { json: data } = await ask({ what: "start" });
const given = %s;
globalThis.view = { mount, mountLab }[given.mounts](document.getElementById("view"), { ...given, data, ask });
"""


class KernelPage:
    """A widget as the browser shows it, and what it asked for."""

    def __init__(self, browser: Any, view: Any, *, width: int = 1280, height: int = 720, scheme: str = "light") -> None:
        self.view, self.asked, self.said = view, [], []
        self.page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page.set_default_timeout(20_000)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.expose_function("kernel", self._answer)
        self.page.set_content(PAGE)
        given = {"mounts": view.mounts, "state": view.look, "shown": getattr(view, "shown", None)}
        script = module() + START % json.dumps(given)
        self.page.evaluate(
            "text => document.body.append(Object.assign(document.createElement('script'), { type: 'module', text }))",
            script,
        )
        self.root = self.page.locator("[data-drawn]")
        self.root.wait_for()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        heard = []
        self.view.send = lambda content, buffers=None: heard.append((content, buffers or []))
        self.view._heard(self.view, {"id": "1", "request": request}, [])
        (content, buffers), *_ = heard
        return content | {"buffers": [base64.b64encode(item).decode() for item in buffers]}

    @property
    def drawn(self) -> int:
        """How often it was drawn."""
        return int(self.root.get_attribute("data-drawn"))

    @property
    def sentence(self) -> str:
        """What a screen reader hears."""
        return self.root.locator("[role=status]").first.inner_text()

    def choose(self, label: str) -> None:
        """Click an option by its words."""
        self.root.locator("label.option").get_by_text(label, exact=True).first.locator("xpath=..").click()

    def wait_drawn(self, before: int) -> None:
        """Wait until it is drawn more often than before."""
        self.page.wait_for_function("n => Number(document.querySelector('[data-drawn]').dataset.drawn) > n", arg=before)

    def settle(self) -> None:
        """Wait for the next two frames."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

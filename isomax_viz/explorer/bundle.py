"""The browser module: its parts in one scope, as a notebook imports it and as a page holds it."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib import resources

__all__ = ["LOADER", "VERSION", "module"]

# In this order: each uses those before it.
PARTS = ("numbers", "source", "marks", "charts", "stage", "compare", "select", "drawer", "explorer")
_IMPORT, _EXPORT = re.compile(r"^import \{[^}]*\} from .*;\n", re.MULTILINE), re.compile(r"^export ", re.MULTILINE)


def _text(name: str) -> str:
    return (resources.files("isomax_viz.explorer") / "browser" / name).read_text(encoding="utf-8")


@cache
def module() -> str:
    """Return the JavaScript module that exports ``mount``, and the counting functions that its tests call.

    Its parts are modules of their own, which import each other by name; a page without a server cannot hold several
    files, so that here they share one scope.

    Examples
    --------
    >>> "export { mount" in module()
    True
    """
    style = (
        f"const STYLE = {json.dumps(_text('style.css'))};\n"
        "document.adoptedStyleSheets = [...document.adoptedStyleSheets, (() => { const sheet = new CSSStyleSheet(); "
        "sheet.replaceSync(STYLE); return sheet; })()];\n"
    )
    parts = "\n".join(_EXPORT.sub("", _IMPORT.sub("", _text(f"{name}.js"))) for name in PARTS)
    tested = "accepted, below, binned, curve, fromSteps, held, linspace"
    return f"{style}{parts}\nexport {{ mount, {tested} }};\n"


LOADER = _text("loader.js")
VERSION = hashlib.sha256(module().encode()).hexdigest()[:16]

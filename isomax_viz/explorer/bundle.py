"""The browser module: its parts in one scope, as a notebook imports it and as a page holds it."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib import resources

__all__ = ["LOADER", "VERSION", "lesson_module", "module", "text"]

# In this order: each uses those before it.
SHARED = ("numbers", "source", "marks", "surroundings", "charts", "stage", "pictures")
OF_EXPLORER = ("compare", "select", "drawer", "threshold", "controls", "explorer", "lab")
OF_LESSON = (
    "threshold",
    "lesson/network",
    "lesson/toy",
    "lesson/moons",
    "lesson/units",
    "lesson/draw",
    "lesson/lesson",
)
_IMPORT, _EXPORT = re.compile(r"^import \{[^}]*\} from .*;\n", re.MULTILINE), re.compile(r"^export ", re.MULTILINE)


def text(name: str) -> str:
    """Return a file of the browser module."""
    return (resources.files("isomax_viz.explorer") / "browser" / name).read_text(encoding="utf-8")


def _joined(parts: tuple[str, ...]) -> str:
    """Return the style and parts in one scope: a page without a server cannot hold several files."""
    joined = "\n".join(_EXPORT.sub("", _IMPORT.sub("", text(f"{name}.js"))) for name in parts)
    return joined.replace('const STYLE = "";', f"const STYLE = {json.dumps(text('style.css'))};")


@cache
def module() -> str:
    """Return the JavaScript module that exports ``mount`` and ``mountLab``, and counting functions for the tests.

    Examples
    --------
    >>> "export { mount" in module()
    True
    """
    return f"{_joined(SHARED + OF_EXPLORER)}\nexport {{ mount, mountLab, binned, curve, linspace }};\n"


@cache
def lesson_module() -> str:
    """Return the JavaScript module of the lesson, which mounts as the explorer does, with what its tests call."""
    return f"{_joined(SHARED + OF_LESSON)}\nexport {{ lesson as mount, network, toyNetwork, toyTraining }};\n"


LOADER = text("loader.js")
VERSION = hashlib.sha256(module().encode()).hexdigest()[:16]

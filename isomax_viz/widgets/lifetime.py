"""Views that come and go: closing all of a view, and the former view when its cell runs again."""

from __future__ import annotations

import os
import weakref
from typing import Any

from ipywidgets import Widget

__all__ = ["close_tree", "current_cell", "register", "under_test"]

# Weak: a view that nobody shows any more shall not be kept alive by being listed here.
_views: weakref.WeakSet[Any] = weakref.WeakSet()


def under_test() -> bool:
    """Return whether pytest runs this: errors in callbacks must then fail the test, not only show in the view."""
    return "PYTEST_CURRENT_TEST" in os.environ


def current_cell() -> tuple[str, str]:
    """Return which cell runs now and which run of it this is, empty words outside a notebook.

    JupyterLab names the cell; where a front end does not, its text stands for it.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return "", ""
    shell = get_ipython()
    parent = getattr(shell, "parent_header", None) or {}
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code", "")
    return str(cell), str(parent.get("header", {}).get("msg_id", ""))


def register(view: Any) -> None:
    """Remember a view, and close those that an earlier run of the same cell made.

    Parameters
    ----------
    view : Widget
        Has a method ``close``.
    """
    cell, run = view.made_in = current_cell()
    if cell:
        for other in list(_views):
            if other.made_in[0] == cell and other.made_in[1] != run:
                other.close()
    _views.add(view)


def close_tree(widget: Widget) -> None:
    """Close a widget with all its children, layouts and styles: ipywidgets closes the outermost only.

    Examples
    --------
    >>> import ipywidgets
    >>> box = ipywidgets.VBox([ipywidgets.HTML("words")])
    >>> inner = box.children[0]
    >>> close_tree(box)
    >>> inner.comm is None
    True
    """
    for child in getattr(widget, "children", ()):
        close_tree(child)
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if isinstance(part, Widget):
            part.close()
    Widget.close(widget)

"""Views that come and go: closing all of a view, and the former view when its cell runs again."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from ipywidgets import Widget

__all__ = ["LOCK", "Later", "close_tree", "current_cell", "current_request", "register", "under_test"]

# JupyterLab sends what controls say to a thread of the kernel of its own (a subshell), so callbacks may run beside each
# other and beside a cell. Matplotlib's settings and a figure are no things for two threads: one at a time.
LOCK = threading.RLock()

# Weak: a view that nobody shows any more shall not be kept alive by being listed here.
_views: weakref.WeakSet[Any] = weakref.WeakSet()


def under_test() -> bool:
    """Return whether pytest runs this: errors in callbacks must then fail the test, not only show in the view."""
    return "PYTEST_CURRENT_TEST" in os.environ


def current_request() -> dict[str, Any]:
    """Return the front end's request that runs now, empty outside a notebook."""
    try:
        from IPython import get_ipython
    except ImportError:
        return {}
    return dict(getattr(get_ipython(), "parent_header", None) or {})


def current_cell() -> tuple[str, str]:
    """Return which cell runs now and which run of it this is, empty words outside a notebook.

    JupyterLab names the cell; where a front end does not, its text stands for it.
    """
    parent = current_request()
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


class Later:
    """Prepare something a little later, once nothing newer has been asked for: stale requests are dropped.

    Parameters
    ----------
    seconds : float
        How long nothing newer may come.

    Notes
    -----
    The event loop of the kernel's thread does it, between messages. Where no loop runs (scripts, tests), nothing is
    prepared.

    Examples
    --------
    >>> Later(0.1).prepare(print, "never")
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._request = 0

    def prepare(self, action: Callable[..., None], *arguments: Any) -> None:
        """Run the action after the pause, not at all where there is no event loop."""
        self.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        # By number, not by cancelling the loop's own handle: the next request may come from another thread.
        loop.call_later(self._seconds, self._run, self._request, action, arguments)

    def _run(self, request: int, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        with LOCK:
            if request == self._request:
                action(*arguments)

    def cancel(self) -> None:
        """Drop what has not run yet."""
        with LOCK:
            self._request += 1

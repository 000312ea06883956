"""Views that come and go: the channel of a view to the browser, and the end of the former view of a cell."""

from __future__ import annotations

import weakref
from typing import Any

import anywidget
import traitlets
from matplotlib.figure import Figure

from isomax_viz.explorer.bundle import LOADER, VERSION, module
from isomax_viz.explorer.data import packed
from isomax_viz.figures import describe
from isomax_viz.figures._canvas import png

__all__ = ["BrowserView", "current_cell"]

# Weak: a view that nobody shows any more shall not be kept alive by being listed here.
_views: weakref.WeakSet[BrowserView] = weakref.WeakSet()


def current_cell() -> tuple[str, str]:
    """Return which cell runs now and which run of it this is, empty words outside a notebook.

    JupyterLab names the cell; where a front end does not, its text stands for it.
    """
    from IPython import get_ipython

    parent = getattr(get_ipython(), "parent_header", None) or {}
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code", "")
    return str(cell), str(parent.get("header", {}).get("msg_id", ""))


class BrowserView(anywidget.AnyWidget):
    """What the browser draws and the kernel answers; running its cell again closes the former one.

    A subclass answers what the browser asks (``_answer``) and draws the plain figure that stands in the saved notebook
    (``_draw``; None where there is nothing to draw yet).

    Parameters
    ----------
    look : dict
        What the browser shows first, as JSON values by name.
    **traits
        Others that a subclass has.
    """

    _esm = LOADER
    version = traitlets.Unicode(VERSION).tag(sync=True)
    mounts = traitlets.Unicode("mount").tag(sync=True)  # the function of the browser module that shows it
    look = traitlets.Dict().tag(sync=True)

    def __init__(self, look: dict[str, Any], **traits: Any) -> None:
        super().__init__(look=look, **traits)
        self.on_msg(self._heard)
        cell, run = self._made_in = current_cell()
        for other in list(_views) if cell else []:
            if other._made_in[0] == cell and other._made_in[1] != run:
                other.close()
        _views.add(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        figure = self._draw() if bundle else None
        if bundle is None or figure is None:
            return bundle
        words = {"image/png": {"alt": describe(figure) or repr(self)}}
        return bundle[0] | {"image/png": png(figure)}, bundle[1] | words

    def _heard(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        """Answer the browser; an error is what it shows."""
        request, found = message["request"], []  # type: dict[str, Any], list[bytes]
        try:
            if request["what"] == "module":
                found, answer = [self._module().encode()], {}
            else:
                answer = packed(self._answer(request, buffers, found), found)
        except Exception as error:
            known = isinstance(error, (ValueError, TypeError, OSError, ImportError))
            self.send({"id": message["id"], "error": str(error) if known else f"{type(error).__name__}: {error}"})
            return
        self.send({"id": message["id"], "answer": answer}, found)

    def _module(self) -> str:
        return module()

    def _answer(self, request: dict[str, Any], buffers: list[Any], found: list[bytes]) -> Any:
        raise NotImplementedError

    def _draw(self) -> Figure | None:
        return None

    def close(self) -> None:
        """Close the view with its layout."""
        self.layout.close()
        super().close()

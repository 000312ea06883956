"""Taking a view away: figure, drawn data and settings as files, the plain call, a frozen picture in the notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from isomax_viz._common.checks import check_choice
from isomax_viz._common.files import write_text
from isomax_viz.figures import save_figure
from isomax_viz.sharing import VIEWS as PAGE_VIEWS
from isomax_viz.sharing import to_html
from isomax_viz.widgets import words
from isomax_viz.widgets.views import Look, code, draw, drawn_data

__all__ = ["FORMATS", "TakeAway", "file_name", "freeze", "save"]

FORMATS = {
    "png": "the figure as pixels",
    "svg": "the figure for the web and for editing",
    "pdf": "the figure for papers",
    "csv": "the data that the figure draws",
    "json": "the settings of the explorer, for restore()",
    "html": "all captures as a page whose controls work in any browser, without a kernel",
}


def file_name(look: Look, losses: list[str], suffix: str) -> str:
    """Return a name that says what the file shows.

    Examples
    --------
    >>> file_name(Look("scores", (0,), ood=("letters",)), ["isomax+"], "png")
    'scores_isomax+_es_letters.png'
    """
    if suffix == "html":
        return "explorer.html"  # holds every loss, score and view
    parts = [look.view, *losses]
    parts += [look.score] if look.view in ("scores", "roc") else []
    parts += look.ood if look.view not in ("training", "prototypes") else []
    return re.sub(r"[^\w+.-]+", "-", "_".join(parts)) + f".{suffix}"


def save(explorer: Any, path: str | Path) -> Path:
    """Write what an explorer shows; the suffix says what."""
    path = Path(path)
    path = path if path.is_absolute() else explorer.folder / path
    suffix = check_choice("The suffix of path", path.suffix.lower().lstrip("."), FORMATS)
    look, captures = explorer.look, explorer.shelf.captures
    if suffix in ("png", "svg", "pdf"):
        return save_figure(draw(look, captures), path)
    if suffix == "html":
        return to_html(explorer.shelf, path, start=_start(explorer))
    if suffix == "json":
        text = json.dumps(explorer.state(), indent=1)
    else:
        text = drawn_data(look, captures).to_csv(index=False)
    write_text(path, text, remedy="Choose a folder that you may write to: explore(captures, folder=...).")
    return path


def _start(explorer: Any) -> dict[str, Any]:
    """Return what the page shows first: what the explorer shows, where the page has that view."""
    state = explorer.state()
    view = {"view": state["view"]} if state["view"] in PAGE_VIEWS else {}
    kept = {name: state[name] for name in ("score", "ood", "threshold")}
    return {"network": explorer.number} | kept | view


def freeze(explorer: Any, *, parent: dict[str, Any] | None = None) -> None:
    """Leave the picture in the notebook as a plain image that needs no kernel.

    Parameters
    ----------
    explorer : Explorer
    parent : dict, optional
        The request of the cell to which the image shall be added; by default that of the cell that runs now.
    """
    from IPython import get_ipython
    from IPython.display import Image, Markdown, display

    picture = explorer.drawn
    shell = get_ipython()
    publisher = getattr(shell, "display_pub", None)
    before = getattr(publisher, "parent_header", None)
    if parent and hasattr(publisher, "set_parent"):
        # A button's click belongs to no cell; the image goes where the explorer stands.
        publisher.set_parent(parent)
    try:
        display(Image(picture.png, format="png", alt=picture.words), metadata={"image/png": {"alt": picture.words}})
        display(Markdown(picture.words))
    finally:
        if parent and hasattr(publisher, "set_parent"):
            publisher.set_parent(before or {})


class TakeAway(widgets.VBox):
    """Buttons for all that can be taken away, and a line that says what happened.

    Parameters
    ----------
    explorer : Explorer
    guarded : callable
        Runs an action and shows its error.
    """

    def __init__(self, explorer: Any, *, guarded: Callable[..., Any]) -> None:
        self._explorer, self._about = explorer, None
        layout = widgets.Layout(width="auto", min_width="64px")
        self.buttons = {}
        actions: dict[str, tuple[str, Callable[[], None]]] = {
            name: (f"Save {meaning}", lambda name=name: self._save(name)) for name, meaning in FORMATS.items()
        }
        actions["show code"] = ("Show the plain Python call that draws this figure", self._show_code)
        actions["freeze"] = ("Leave the picture in the notebook as a plain image", self._freeze)
        for name, (tooltip, action) in actions.items():
            label = name.upper() if name in FORMATS else name
            self.buttons[name] = widgets.Button(description=label, tooltip=tooltip, layout=layout)
            self.buttons[name].on_click(lambda _, action=action: guarded(self._do, action))
        self.told = widgets.HTML()
        super().__init__([widgets.HBox(list(self.buttons.values()), layout={"flex_flow": "row wrap"}), self.told])

    def _do(self, action: Callable[[], None]) -> None:
        self._about = self._explorer.look
        action()

    def _save(self, suffix: str) -> None:
        explorer = self._explorer
        losses = [explorer.shelf.captures[number].loss for number in explorer.look.captures]
        path = explorer.save(file_name(explorer.look, losses, suffix))
        self.told.value = words.sentence_html(f"Saved {path}")

    def _show_code(self) -> None:
        self.told.value = words.code_html(code(self._explorer.look))

    def _freeze(self) -> None:
        freeze(self._explorer, parent=self._explorer.born)
        self.told.value = words.sentence_html("The picture stands below as a plain image; it needs no kernel.")

    def forget(self) -> None:
        """Clear the line if what it says belongs to another picture."""
        if self._explorer.look != self._about:
            self.told.value = ""

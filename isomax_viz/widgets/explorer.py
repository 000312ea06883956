"""The explorer: choose losses, score, out-of-distribution sets, view and threshold; look at one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from isomax_viz.analysis.tables import Captures
from isomax_viz.captures.capture import Capture
from isomax_viz.datasets import ImageSet
from isomax_viz.sharing.offers import need_sets
from isomax_viz.shelf import Shelf
from isomax_viz.widgets import drawing, lifetime, panel, settings, takeaway, words
from isomax_viz.widgets.bands import Bands, share_of
from isomax_viz.widgets.gallery import Gallery
from isomax_viz.widgets.numbers import Numbers
from isomax_viz.widgets.one_image import OneImage
from isomax_viz.widgets.painter import Painter, Picture
from isomax_viz.widgets.takeaway import TakeAway
from isomax_viz.widgets.views import Look

__all__ = ["Explorer"]


class Explorer(widgets.VBox):
    r"""Captures under controls for all that can be chosen; see :func:`isomax_viz.explore`.

    Attributes
    ----------
    picture : ipywidgets.Image
        The PNG that the plain plot function gives for the same settings.
    summary : ipywidgets.HTML
        Metrics with their definitions, counts at the threshold, and the figure in words.
    controls : dict of str to widget
        By name: ``loss`` (and other dimensions in which the captures differ), ``beside``, ``same_axes``, ``score``,
        ``ood``, ``view``, ``quantity``, ``threshold``, ``more``, ``large_text``, ``reset``.
    look : Look
        All that determines the picture.

    Examples
    --------
    >>> sets = {"letters": [[0.3, 0.1]], "patches": [[0.0, 0.2]]}
    >>> view = Explorer(Capture.from_arrays([[9.0, 0.0], [1.0, 8.0]], [0, 1], ood=sets, loss="softmax"))
    >>> view.state()["score"], view.state()["ood"], view.state()["threshold"]
    ('es', ['letters'], 'tpr95')
    >>> view.controls["score"].value = "mps"
    >>> view.state()["score"], bytes(view.picture.value[:4])
    ('mps', b'\x89PNG')
    """

    def __init__(
        self,
        captures: Captures,
        *,
        images: Mapping[str, ImageSet] | None = None,
        folder: str | Path = ".",
        store: str | Path | None = None,
        strict: bool | None = None,
    ) -> None:
        self.idle, self.slow = lifetime.Later(0.15), lifetime.Later(0.15)
        self.drawers: dict[str, widgets.Widget] = {}
        self.shelf = Shelf(captures)
        need_sets(self.shelf)
        self.strict = lifetime.under_test() if strict is None else strict
        self.folder, self.store = Path(folder), store
        self._silent = True
        self.last = "loss"
        self.numbers = Numbers(self.shelf)
        self.painter = Painter(self.shelf.captures)
        self.controls = panel.make_controls(self)
        self.picture = widgets.Image(format="png")
        self.bands = Bands(clicked=lambda band: self.guarded(self.show_pictures, *share_of(band)))
        self.summary, self.drawer = widgets.HTML(), widgets.Box(layout={"overflow": "hidden"})
        self.lesson = widgets.HTML()
        self.gallery = Gallery(self, images or {})
        self.one_image = OneImage(self)
        self.take_away = TakeAway(self, guarded=self.guarded)
        self.drawers = {"explain": self.lesson, "pictures": self.gallery}
        self.drawers |= {"one_image": self.one_image, "take_away": self.take_away}
        self.message = widgets.HTML(layout={"display": "none"})
        super().__init__(panel.arrange(self))
        self.add_class("isomax-viz")
        self._start = self.state()
        lifetime.register(self)
        self.born = lifetime.current_request()
        self._silent = False
        with lifetime.LOCK:
            self._update()

    def __repr__(self) -> str:
        return f"Explorer({len(self.shelf)} captures; the controls need a running notebook)"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        # The words stand in saved notebooks where no front end draws widgets: they shall not list every child.
        return super()._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}

    @property
    def capture(self) -> Capture:
        """The capture that is shown, on the left where there are two."""
        return self.shelf.captures[self.number]

    @property
    def number(self) -> int:
        """Number of the capture that is shown."""
        return self.shelf.nearest({name: self.controls[name].value for name in self.shelf.choosers})

    @property
    def look(self) -> Look:
        """All that determines the picture."""
        return panel.look_of(self)

    def chosen(self, dimension: str) -> None:
        """Follow a chooser; where no capture has this combination, the other choosers give way."""
        with lifetime.LOCK:
            if self._silent:
                return
            wanted = {name: self.controls[name].value for name in self.shelf.choosers}
            self.show_place(self.shelf.nearest(wanted, first=dimension))
            self.changed(dimension)

    def changed(self, name: str) -> None:
        """Follow any other control."""
        with lifetime.LOCK:
            if self._silent:
                return
            if name in ("score", "ood", *self.shelf.choosers) and isinstance(self.controls["threshold"].value, float):
                # Scores of another loss or kind have another range: a number would mean something else there.
                self.controls["threshold"].value = "tpr95"
            self.last = name
            self._update()

    def show_place(self, number: int) -> None:
        """Set the choosers to a capture, without drawing."""
        with self.silently():
            for name in self.shelf.choosers:
                self.controls[name].value = self.shelf.places[number][name]

    @contextmanager
    def silently(self) -> Iterator[None]:
        """Change several controls without drawing."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def guarded(self, action: Callable[..., None], *arguments: Any) -> bool:
        """Do something for a control; an error is shown in the view (and raised under test), not swallowed."""
        try:
            with lifetime.LOCK:
                action(*arguments)
        except Exception as error:
            self.message.value = words.error_html(error)
            self.message.layout.display = None
            if self.strict:
                raise
            return False
        self.message.layout.display = "none"
        return True

    def _update(self) -> None:
        if not self._silent:
            drawing.update(self)

    def reset(self) -> None:
        """Go back to the settings of the beginning."""
        self.restore(self._start)

    def state(self) -> dict[str, Any]:
        """Return the settings as plain JSON values; :meth:`restore` takes them back."""
        return settings.read(self)

    def restore(self, state: Mapping[str, Any] | str) -> Explorer:
        """Set what :meth:`state` returned (or its JSON); what is left out stays as it is.

        Parameters
        ----------
        state : mapping or str
            Settings by name.

        Returns
        -------
        Explorer
            Itself.

        Raises
        ------
        ValueError
            If a name or value is not on offer. Nothing is changed then.

        Examples
        --------
        >>> view = Explorer(Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.3, 0.1]]}, loss="softmax"))
        >>> view.restore('{"score": "mps", "view": "entropy"}').state()["view"]
        'entropy'
        """
        with lifetime.LOCK:
            settings.write(self, state)
            self.last = "loss"
            self._update()
        return self

    def show_pictures(self, low: float, high: float) -> None:
        """Show the images whose scores lie in a part of the axis, as a click on the histogram does.

        Parameters
        ----------
        low, high : float
            In percent of the way from the lowest to the highest score.
        """
        drawing.show_pictures(self, low, high)

    @property
    def selected(self) -> list[tuple[str, int]]:
        """The images that the drawer "Pictures" shows, as (set, index in it)."""
        rows = self.gallery.rows
        return [(name, int(index)) for name, index in zip(rows["set"], rows["index"], strict=True)]

    @property
    def drawn(self) -> Picture:
        """The picture that is shown, with its words."""
        return self.painter.picture(self.look)

    def save(self, path: str | Path) -> Path:
        """Write the figure (.png, .svg, .pdf), its data (.csv), the settings (.json) or all of it as a page (.html).

        Parameters
        ----------
        path : str or Path
            Relative to the explorer's folder. The suffix says what to write.

        Returns
        -------
        Path
            Where it was written.

        Raises
        ------
        ValueError
            If the suffix is another one.
        OSError
            If the place cannot be written.
        """
        return takeaway.save(self, path)

    def to_html(self, path: str | Path = "explorer.html") -> Path:
        """Write one HTML file in which the same captures can be explored without a kernel or a network.

        Parameters
        ----------
        path : str or Path
            Relative to the explorer's folder. The page begins with what is shown now.

        Returns
        -------
        Path
            Where it was written; see :func:`isomax_viz.to_html`.
        """
        return takeaway.save(self, Path(path).with_suffix(".html"))

    def freeze(self) -> None:
        """Show the picture as a plain image below the running cell: it stays where no kernel runs."""
        takeaway.freeze(self)

    def close(self) -> None:
        """Close the view with everything in it."""
        self.idle.cancel()
        self.slow.cancel()
        lifetime.close_tree(self)
        for widget in self.drawers.values():  # the closed ones are in no box
            lifetime.close_tree(widget)

"""The explorer: choose loss, score, out-of-distribution sets and view; look at one picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import pandas as pd

from isomax_viz._checks import check_choice, check_known
from isomax_viz.captures import Capture
from isomax_viz.figures import describe
from isomax_viz.figures._canvas import png
from isomax_viz.tables import Captures, evaluate
from isomax_viz.widgets import controls, lifetime, words
from isomax_viz.widgets.shelf import Shelf
from isomax_viz.widgets.views import VIEWS, draw

__all__ = ["Explorer", "explore"]

PICTURE_HEIGHT = 418  # of the plain figures: the page must not jump when a picture is exchanged


class Explorer(widgets.VBox):
    r"""One or several captures under controls for loss, score, out-of-distribution sets and view; see :func:`explore`.

    Attributes
    ----------
    picture : ipywidgets.Image
        The PNG that the plain plot function gives for the same settings.
    summary : ipywidgets.HTML
        Metrics with their definitions, and the figure in words.
    controls : dict of str to widget
        By name: ``loss`` (and other dimensions in which the captures differ), ``score``, ``ood``, ``view``.

    Examples
    --------
    >>> sets = {"letters": [[0.3, 0.1]], "patches": [[0.0, 0.2]]}
    >>> view = Explorer(Capture.from_arrays([[9.0, 0.0], [1.0, 8.0]], [0, 1], ood=sets, loss="softmax"))
    >>> view.state()
    {'loss': 'softmax', 'score': 'es', 'ood': ['letters'], 'view': 'scores'}
    >>> view.controls["score"].value = "mps"
    >>> view.state()["score"], bytes(view.picture.value[:4])
    ('mps', b'\x89PNG')
    """

    def __init__(self, captures: Captures, *, strict: bool | None = None) -> None:
        self.shelf = Shelf(captures)
        if not self.shelf.ood:
            raise ValueError(
                "None of the captures has an out-of-distribution set to compare with. Record one with "
                "Experiment.run(ood='letters'), or pass ood={'mine': logits} to Capture.from_arrays."
            )
        self.strict = lifetime.under_test() if strict is None else strict
        self._silent = True
        self._metrics: dict[tuple[int, str, str], pd.DataFrame] = {}
        self.controls = self._make_controls()
        self.picture = widgets.Image(format="png")
        self.summary = widgets.HTML()
        self.message = widgets.HTML(layout={"display": "none"})
        stage = widgets.Box([self.picture], layout={"min_height": f"{PICTURE_HEIGHT}px", "overflow": "hidden"})
        stage.add_class("isomax-viz-picture")
        super().__init__([widgets.HTML(words.CSS), *self.controls.values(), self.message, stage, self.summary])
        self.add_class("isomax-viz")
        lifetime.register(self)
        self._silent = False
        self._update()

    def __repr__(self) -> str:
        return f"Explorer({len(self.shelf)} captures; the controls need a running notebook)"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        # The words stand in saved notebooks where no front end draws widgets: they shall not list every child.
        return super()._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}

    def _make_controls(self) -> dict[str, Any]:
        made = {name: controls.chooser(self.shelf, name) for name in self.shelf.choosers}
        for name, control in made.items():
            control.observe(lambda change, name=name: self._chosen(name), "value")
        for name, control in (
            ("score", controls.score_chooser(self.shelf.scores)),
            ("view", controls.view_chooser()),
        ):
            control.observe(lambda change: self._update(), "value")
            made[name] = control
        made["ood"] = controls.Several("Against", self.shelf.ood, changed=self._update)
        if "es" in self.shelf.scores:
            made["score"].value = "es"
        return made | {"view": made.pop("view")}

    @property
    def capture(self) -> Capture:
        """The capture that is shown."""
        return self.shelf.captures[self._number]

    @property
    def _number(self) -> int:
        return self.shelf.nearest({name: self.controls[name].value for name in self.shelf.choosers})

    def _chosen(self, dimension: str) -> None:
        """Follow a chooser: where no capture has this combination, the other choosers give way."""
        if self._silent:
            return
        wanted = {name: self.controls[name].value for name in self.shelf.choosers}
        self._show_place(self.shelf.nearest(wanted, first=dimension))
        self._update()

    def _show_place(self, number: int) -> None:
        with self._silently():
            for name in self.shelf.choosers:
                self.controls[name].value = self.shelf.places[number][name]

    @contextmanager
    def _silently(self) -> Iterator[None]:
        """Change several controls and redraw once, at the end."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def _update(self) -> None:
        if self._silent:
            return
        try:
            self._draw()
        except Exception as error:
            # ipywidgets would swallow it: the view shows what is wrong, and a test must fail.
            self.message.value = words.error_html(error)
            self.message.layout.display = None
            self.picture.layout.visibility = "hidden"
            self.summary.value = ""
            if self.strict:
                raise
        else:
            self.message.layout.display = "none"
            self.picture.layout.visibility = "visible"

    def _draw(self) -> None:
        capture, score = self.capture, self.controls["score"].value
        self.controls["ood"].offer([name for name in self.shelf.ood if name in capture.ood])
        ood = self.controls["ood"].value
        axes = draw(self.controls["view"].value, capture, score=score, ood=ood)
        figure = axes.get_figure(root=True)
        self.picture.value = png(figure)
        self.summary.value = words.metrics_html(self._evaluated(score, ood)) + words.sentence_html(describe(figure))

    def _evaluated(self, score: str, ood: tuple[str, ...]) -> pd.DataFrame:
        """Return the metrics, computed once per capture, score and set."""
        number = self._number
        for name in ood:
            key = (number, score, name)
            if key not in self._metrics:
                self._metrics[key] = evaluate(self.capture, scores=score, ood=name)
        return pd.concat([self._metrics[number, score, name] for name in ood], ignore_index=True)

    def state(self) -> dict[str, Any]:
        """Return the settings as plain JSON values; :meth:`restore` takes them back."""
        place = self.shelf.places[self._number]
        return {name: place[name] for name in self.shelf.choosers} | {
            "score": self.controls["score"].value,
            "ood": list(self.controls["ood"].value),
            "view": self.controls["view"].value,
        }

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
        wanted = json.loads(state) if isinstance(state, str) else dict(state)
        check_known("state", wanted, [*self.shelf.choosers, "score", "ood", "view"])
        place = {name: wanted[name] for name in self.shelf.choosers if name in wanted}
        number = self.shelf.find(place) if place else self._number
        if "score" in wanted:
            check_choice("score", wanted["score"], self.shelf.scores)
        if "view" in wanted:
            check_choice("view", wanted["view"], VIEWS)
        if "ood" in wanted:
            wanted["ood"] = check_known("ood", wanted["ood"], self.shelf.captures[number].ood)
        with self._silently():
            self._show_place(number)
            for name in ("score", "ood", "view"):
                if name in wanted:
                    self.controls[name].value = wanted[name]
        self._update()
        return self

    def close(self) -> None:
        """Close the view with everything in it."""
        lifetime.close_tree(self)


def explore(captures: Captures, *, strict: bool | None = None) -> Explorer:
    """Explore what networks said: toggle loss, score, out-of-distribution sets and view.

    Parameters
    ----------
    captures : Capture, list of Capture or mapping of name to Capture
        What to choose from. Choosers appear for everything in which the captures differ.
    strict : bool, optional
        Raise errors in callbacks as well as showing them in the view; by default under pytest only.

    Returns
    -------
    Explorer
        A widget: the last line of a cell shows it. Running the cell again closes the former one.

    Raises
    ------
    TypeError
        If there is something else than captures.
    ValueError
        If there is none, or none of them has an out-of-distribution set.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> explore(Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.3, 0.1]]}, loss="softmax"))
    Explorer(1 captures; the controls need a running notebook)
    """
    return Explorer(captures, strict=strict)

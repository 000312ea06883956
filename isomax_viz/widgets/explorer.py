"""The explorer: choose losses, score, out-of-distribution sets, view and threshold; look at one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd

from isomax_viz.captures import Capture
from isomax_viz.datasets import ImageSet
from isomax_viz.tables import Captures, evaluate
from isomax_viz.thresholds import find_threshold, same_share, score_range, threshold_table
from isomax_viz.widgets import controls, lessons, lifetime, settings, takeaway, words
from isomax_viz.widgets.gallery import Gallery
from isomax_viz.widgets.one_image import OneImage
from isomax_viz.widgets.painter import Painter, Picture
from isomax_viz.widgets.shelf import Shelf
from isomax_viz.widgets.takeaway import TakeAway
from isomax_viz.widgets.threshold import ThresholdBar
from isomax_viz.widgets.views import VIEWS, Look

__all__ = ["Explorer", "explore"]

PICTURE_HEIGHT = 418  # of the plain figures: the page must not jump when a picture is exchanged
AHEAD = 8  # pictures that are drawn while nobody asks for anything
DRAWERS = (
    ("Explain", "explain", "What the losses and the score mean"),
    ("Pictures", "pictures", "The images behind the numbers"),
    ("One image", "one_image", "Score an image of your own"),
    ("Take away", "take_away", "Save figure, data and settings; show the code; freeze the picture"),
    ("Nothing", "nothing", "Only the picture and its numbers"),
)


class Explorer(widgets.VBox):
    r"""Captures under controls for all that can be chosen; see :func:`explore`.

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
        self._idle, self._slow = lifetime.Later(0.15), lifetime.Later(0.15)
        self._drawers: dict[str, widgets.Widget] = {}
        self.shelf = Shelf(captures)
        if not self.shelf.ood:
            raise ValueError(
                "None of the captures has an out-of-distribution set to compare with. Record one with "
                "Experiment.run(ood='letters'), or pass ood={'mine': logits} to Capture.from_arrays."
            )
        self.strict = lifetime.under_test() if strict is None else strict
        self.folder, self.store = Path(folder), store
        self._silent = True
        self._last = "loss"
        self._metrics: dict[tuple[int, str, str], pd.DataFrame] = {}
        self._painter = Painter(self.shelf.captures)
        self.controls = self._make_controls()
        self.picture = widgets.Image(format="png")
        self.summary, self.drawer = widgets.HTML(), widgets.Box(layout={"overflow": "hidden"})
        self.lesson = widgets.HTML()
        self.gallery = Gallery(self, images or {})
        self.one_image = OneImage(self)
        self.take_away = TakeAway(self, guarded=self.guarded)
        self._drawers = {"explain": self.lesson, "pictures": self.gallery}
        self._drawers |= {"one_image": self.one_image, "take_away": self.take_away}
        self.message = widgets.HTML(layout={"display": "none"})
        super().__init__(self._arranged())
        self.add_class("isomax-viz")
        self._start = self.state()
        lifetime.register(self)
        self.born = lifetime.current_request()
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
        several = {
            "beside": controls.compare_chooser(self.shelf),
            "same_axes": controls.switch("same axes", tooltip="Give both panels the same axes", value=True),
            "score": controls.score_chooser(self.shelf.scores),
            "view": controls.view_chooser(),
            "quantity": controls.quantity_chooser(self.shelf.quantities),
            "more": controls.drawer_chooser(DRAWERS),
            "large_text": controls.switch("large text", tooltip="Text that is legible from the back row"),
        }
        several["score"].value = "es"
        for name, control in several.items():
            control.observe(lambda change, name=name: self._changed(name), "value")
        several["ood"] = controls.Several("Against", self.shelf.ood, changed=lambda: self._changed("ood"))
        several["threshold"] = ThresholdBar(changed=lambda: self._changed("threshold"))
        several["reset"] = widgets.Button(
            description="reset", tooltip="Back to the first settings", layout={"width": "auto"}
        )
        several["reset"].on_click(lambda _: self.restore(self._start))
        return made | several

    def _arranged(self) -> list[widgets.Widget]:
        get = self.controls
        stage = widgets.Box([self.picture], layout={"min_height": f"{PICTURE_HEIGHT}px", "overflow": "hidden"})
        stage.add_class("isomax-viz-picture")
        beside = widgets.HBox([get["beside"], get["same_axes"]], layout={"flex_flow": "row wrap"})
        beside.layout.display = None if len(self.shelf) > 1 else "none"
        last = widgets.HBox([get["more"], get["large_text"], get["reset"]], layout={"flex_flow": "row wrap"})
        choosers = [get[name] for name in self.shelf.choosers]
        rows = [*choosers, beside, get["score"], get["ood"], get["view"], get["quantity"]]
        return [widgets.HTML(words.CSS), *rows, self.message, stage, get["threshold"], self.summary, last, self.drawer]

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
        get, number = self.controls, self.number
        other, score, ood = get["beside"].value, get["score"].value, get["ood"].value
        numbers = (number,) if other in (controls.ALONE, number) else (number, other)
        return Look(
            view=get["view"].value,
            captures=numbers,
            score=score,
            ood=ood,
            threshold=self._thresholds(numbers, score, ood),
            quantity=get["quantity"].value or "accuracy",
            same_axes=get["same_axes"].value,
            theme="talk" if get["large_text"].value else "paper",
        )

    def _thresholds(self, numbers: tuple[int, ...], score: str, ood: tuple[str, ...]) -> tuple[float, ...]:
        chosen, value = [self.shelf.captures[number] for number in numbers], self.controls["threshold"].value
        if isinstance(value, str):
            return tuple(find_threshold(capture, ood, score=score, rule=value) for capture in chosen)
        return (value, *(same_share(value, chosen[0], other, score=score) for other in chosen[1:]))

    def _chosen(self, dimension: str) -> None:
        """Follow a chooser: where no capture has this combination, the other choosers give way."""
        if self._silent:
            return
        wanted = {name: self.controls[name].value for name in self.shelf.choosers}
        self.show_place(self.shelf.nearest(wanted, first=dimension))
        self._changed(dimension)

    def _changed(self, name: str) -> None:
        if self._silent:
            return
        if name in ("score", "ood", *self.shelf.choosers) and isinstance(self.controls["threshold"].value, float):
            # Scores of another loss or kind have another range: a number would mean something else there.
            self.controls["threshold"].value = "tpr95"
        self._last = name
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
        if self._silent:
            return
        self._idle.cancel()
        try:
            drawn = self.guarded(self._draw)
        except Exception:
            self.picture.layout.visibility, self.summary.value = "hidden", ""
            raise
        self.picture.layout.visibility = "visible" if drawn else "hidden"
        if drawn:
            chosen = self._drawers.get(self.controls["more"].value)
            self.drawer.children = () if chosen is None else (chosen,)
            self._slow.do(self.guarded, self._refresh_drawer)
            self._idle.prepare(self._ahead, self._neighbours())
        else:
            self.summary.value = ""

    def _draw(self) -> None:
        get, capture = self.controls, self.capture
        with self.silently():
            get["ood"].offer([name for name in self.shelf.ood if name in capture.ood])
        look = self.look
        picture = self._painter.picture(look)
        self.picture.value = picture.png
        low, high = score_range(capture, look.ood, score=look.score)
        get["threshold"].show(look.threshold[0], low=low, high=high)
        self.summary.value = self._summary(look) + words.sentence_html(picture.words)
        for name, needed in (
            ("threshold", "threshold" in VIEWS[look.view].uses),
            ("same_axes", len(look.captures) == 2 and "same_axes" in VIEWS[look.view].uses),
            ("quantity", "quantity" in VIEWS[look.view].uses),
        ):
            get[name].layout.display = None if needed else "none"

    def _summary(self, look: Look) -> str:
        """Return the numbers as HTML; the metrics are computed once per capture, score and set."""
        parts = []
        for number in look.captures:
            for name in look.ood:
                key = (number, look.score, name)
                if key not in self._metrics:
                    self._metrics[key] = evaluate(self.shelf.captures[number], scores=look.score, ood=name)
                parts.append(self._metrics[key])
        chosen = [self.shelf.captures[number] for number in look.captures]
        counts = threshold_table(chosen, list(look.ood), score=look.score, threshold=list(look.threshold))
        titles = tuple(self.shelf.title(number) for number in look.captures)
        return words.summary_html(pd.concat(parts, ignore_index=True), counts, titles=titles)

    def _refresh_drawer(self) -> None:
        """Bring what stands below up to date, if it is open."""
        name, look = self.controls["more"].value, self.look
        if name == "explain":
            losses = tuple(self.shelf.captures[number].loss for number in look.captures)
            self.lesson.value = lessons.lesson_html(losses, look.score)
        elif name == "pictures":
            self.gallery.refresh()
        elif name == "one_image":
            self.one_image.refresh()
        elif name == "take_away":
            self.take_away.forget()
    def _neighbours(self) -> list[Look]:
        """Return the looks that one more click on the same control would give."""
        look, name = self.look, self._last
        if name == "view":
            looks = [replace(look, view=view) for view in VIEWS]
        elif name == "score":
            looks = [self._moved(look, look.captures, score) for score in self.shelf.scores]
        else:
            looks = [self._moved(look, (number, *look.captures[1:]), look.score) for number in range(len(self.shelf))]
        return [item for item in looks if item is not None and not self._painter.knows(item)][:AHEAD]

    def _moved(self, look: Look, numbers: tuple[int, ...], score: str) -> Look | None:
        try:
            thresholds = self._thresholds(numbers, score, look.ood)
        except ValueError:
            return None  # a capture without this set or without distances
        return replace(look, captures=numbers, score=score, threshold=thresholds)

    def _ahead(self, looks: list[Look]) -> None:
        """Draw one picture that may be asked for next, and the others after a pause: the kernel stays responsive."""
        try:
            self._painter.picture(looks[0])
        except (ValueError, IndexError):
            return  # shown once somebody chooses it
        self._idle.prepare(self._ahead, looks[1:])

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
        settings.write(self, state)
        self._last = "loss"
        self._update()
        return self

    @property
    def selected(self) -> list[tuple[str, int]]:
        """The images that the drawer "Pictures" shows, as (set, index in it)."""
        rows = self.gallery.rows
        return [(name, int(index)) for name, index in zip(rows["set"], rows["index"], strict=True)]

    @property
    def drawn(self) -> Picture:
        """The picture that is shown, with its words."""
        return self._painter.picture(self.look)

    def save(self, path: str | Path) -> Path:
        """Write the figure (.png, .svg, .pdf), the data that it draws (.csv) or the settings (.json).

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

    def freeze(self) -> None:
        """Show the picture as a plain image below the running cell: it stays where no kernel runs."""
        takeaway.freeze(self)

    def close(self) -> None:
        """Close the view with everything in it."""
        self._idle.cancel()
        self._slow.cancel()
        lifetime.close_tree(self)
        for widget in self._drawers.values():  # the closed ones are in no box
            lifetime.close_tree(widget)


def explore(
    captures: Captures,
    *,
    images: Mapping[str, ImageSet] | None = None,
    folder: str | Path = ".",
    store: str | Path | None = None,
    strict: bool | None = None,
) -> Explorer:
    """Explore what networks said: toggle loss, score, out-of-distribution sets and view, move the threshold.

    Parameters
    ----------
    captures : Capture, list of Capture or mapping of name to Capture
        What to choose from. Choosers appear for everything in which the captures differ.
    images : mapping of str to ImageSet, optional
        Pictures of your own sets by name ("test" for the known ones); those of the package's sets are found by
        themselves.
    folder : str or Path
        Where figures, data and settings are saved.
    store : str or Path, optional
        Where the trained networks lie that can score an image of your own; by default the usual store.
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
    return Explorer(captures, images=images, folder=folder, store=store, strict=strict)

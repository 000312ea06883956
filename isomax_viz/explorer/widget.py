"""The explorer: choose losses, score, out-of-distribution sets, view and threshold; look at one picture."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz._common.files import csv_text, short_name, write_text
from isomax_viz.analysis.tables import Captures
from isomax_viz.analysis.thresholds import RULES, find_threshold, same_share, score_range
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import data_style
from isomax_viz.datasets import ImageSet
from isomax_viz.explorer import cells as lifetime
from isomax_viz.explorer import controls, lessons
from isomax_viz.explorer import lessons as words
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.controls import ALONE, Bands, ThresholdBar, share_of
from isomax_viz.explorer.data import VIEWS as PAGE_VIEWS
from isomax_viz.explorer.data import Numbers, need_sets
from isomax_viz.explorer.page import to_html
from isomax_viz.explorer.pictures import Gallery, OneImage
from isomax_viz.explorer.state import VIEWS, Look, _options, code, draw, drawn_data
from isomax_viz.figures import describe, save_figure
from isomax_viz.figures._canvas import png
from isomax_viz.figures.thresholds import MovingPoint

__all__ = [
    "Explorer",
    "FORMATS",
    "Painter",
    "Picture",
    "TakeAway",
    "arrange",
    "file_name",
    "freeze",
    "look_of",
    "make_controls",
    "neighbours",
    "read",
    "refresh_drawer",
    "save",
    "show_pictures",
    "thresholds_of",
    "update",
    "with_features",
    "write",
]

PICTURE_HEIGHT = 418  # of the plain figures: the page must not jump when a picture is exchanged
DRAWERS = (
    ("Explain", "explain", "What the losses and the score mean"),
    ("Pictures", "pictures", "The images behind the numbers"),
    ("One image", "one_image", "Score an image of your own"),
    ("Take away", "take_away", "Save figure, data and settings; show the code; freeze the picture"),
    ("Nothing", "nothing", "Only the picture and its numbers"),
)


def make_controls(explorer: Any) -> dict[str, Any]:
    """Return the explorer's controls by name, each telling the explorer when it was changed."""
    shelf = explorer.shelf
    made = {name: controls.chooser(shelf, name) for name in shelf.choosers}
    for name, control in made.items():
        control.observe(lambda change, name=name: explorer.chosen(name), "value")
    several = {
        "beside": controls.compare_chooser(shelf),
        "same_axes": controls.switch("same axes", tooltip="Give both panels the same axes", value=True),
        "score": controls.score_chooser(shelf.scores),
        "view": controls.view_chooser(),
        "quantity": controls.quantity_chooser(shelf.quantities),
        "more": controls.drawer_chooser(DRAWERS),
        "large_text": controls.switch("large text", tooltip="Text that is legible from the back row"),
    }
    several["score"].value = "es" if "es" in shelf.scores else shelf.scores[0]
    for name, control in several.items():
        control.observe(lambda change, name=name: explorer.changed(name), "value")
    several["ood"] = controls.Several("Against", shelf.ood, changed=lambda: explorer.changed("ood"))
    several["threshold"] = ThresholdBar(changed=lambda: explorer.changed("threshold"))
    several["reset"] = widgets.Button(
        description="reset", tooltip="Back to the first settings", layout={"width": "auto"}
    )
    several["reset"].on_click(lambda _: explorer.reset())
    return made | several


def arrange(explorer: Any) -> list[widgets.Widget]:
    """Return the explorer's parts from top to bottom."""
    get, shelf = explorer.controls, explorer.shelf
    # As large as the picture and no larger, so that shares of the one are shares of the other.
    frame = widgets.Box([explorer.picture, explorer.bands], layout={"overflow": "hidden", "margin": "0"})
    frame.add_class("isomax-viz-frame")
    stage = widgets.Box([frame], layout={"min_height": f"{PICTURE_HEIGHT}px", "overflow": "hidden"})
    stage.add_class("isomax-viz-picture")
    beside = widgets.HBox([get["beside"], get["same_axes"]], layout={"flex_flow": "row wrap"})
    beside.layout.display = None if len(shelf) > 1 else "none"
    last = widgets.HBox([get["more"], get["large_text"], get["reset"]], layout={"flex_flow": "row wrap"})
    choosers = [get[name] for name in shelf.choosers]
    above = [widgets.HTML(words.CSS), *choosers, beside, get["score"], get["ood"], get["view"], get["quantity"]]
    return [*above, explorer.message, stage, get["threshold"], explorer.summary, last, explorer.drawer]


def look_of(explorer: Any) -> Look:
    """Return all that determines the picture, as the controls stand."""
    get, number = explorer.controls, explorer.number
    other, score, ood = get["beside"].value, get["score"].value, get["ood"].value
    numbers = (number,) if other in (controls.ALONE, number) else (number, other)
    if get["view"].value == "features":
        ood = with_features(explorer, numbers, ood)
    return Look(
        view=get["view"].value,
        captures=numbers,
        score=score,
        ood=ood,
        threshold=thresholds_of(explorer, numbers, score, ood),
        quantity=get["quantity"].value or "accuracy",
        same_axes=get["same_axes"].value,
        theme="talk" if get["large_text"].value else "paper",
    )


def with_features(explorer: Any, numbers: tuple[int, ...], ood: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sets whose features all these captures have; all of them if none has any, for the figure to say so."""
    captures = [explorer.shelf.captures[number] for number in numbers]
    there = [name for name in ood if all(item.ood[name].features is not None for item in captures if name in item.ood)]
    return tuple(there) or ood


def thresholds_of(explorer: Any, numbers: tuple[int, ...], score: str, ood: tuple[str, ...]) -> tuple[float, ...]:
    """Return the threshold of each of these captures for what is chosen: a rule, or a number on the first one."""
    chosen, value = [explorer.shelf.captures[number] for number in numbers], explorer.controls["threshold"].value
    if isinstance(value, str):
        return tuple(find_threshold(capture, ood, score=score, rule=value) for capture in chosen)
    return (value, *(same_share(value, chosen[0], other, score=score) for other in chosen[1:]))


def neighbours(explorer: Any) -> list[Look]:
    """Return the looks, not drawn yet, that one more click on the control used last would give."""
    look, name = explorer.look, explorer.last
    if name == "view":
        looks = [replace(look, view=view) for view in VIEWS]
    elif name == "score":
        looks = [_moved(explorer, look, look.captures, score) for score in explorer.shelf.scores]
    else:
        numbers = range(len(explorer.shelf))
        looks = [_moved(explorer, look, (number, *look.captures[1:]), look.score) for number in numbers]
    return [item for item in looks if item is not None and not explorer.painter.knows(item)]


def _moved(explorer: Any, look: Look, numbers: tuple[int, ...], score: str) -> Look | None:
    try:
        thresholds = thresholds_of(explorer, numbers, score, look.ood)
    except ValueError:
        return None  # a capture without this set or without distances
    return replace(look, captures=numbers, score=score, threshold=thresholds)


PLAIN = ("beside", "same_axes", "score", "ood", "view", "quantity", "threshold", "large_text")


def read(explorer: Any) -> dict[str, Any]:
    """Return an explorer's settings as plain JSON values."""
    shelf, get = explorer.shelf, explorer.controls
    other, place = get["beside"].value, shelf.places[explorer.number]
    return {name: place[name] for name in shelf.choosers} | {
        "beside": None if other == ALONE else {name: shelf.places[other][name] for name in shelf.choosers},
        "same_axes": get["same_axes"].value,
        "score": get["score"].value,
        "ood": list(get["ood"].value),
        "view": get["view"].value,
        "quantity": get["quantity"].value,
        "threshold": get["threshold"].value,
        "large_text": get["large_text"].value,
    }


def write(explorer: Any, state: Mapping[str, Any] | str) -> None:
    """Set an explorer's controls, without drawing.

    Raises
    ------
    ValueError
        If a name or value is not on offer; nothing is changed then.
    """
    shelf, get = explorer.shelf, explorer.controls
    wanted = json.loads(state) if isinstance(state, str) else dict(state)
    check_known("state", wanted, [*shelf.choosers, *PLAIN])
    place = {name: wanted[name] for name in shelf.choosers if name in wanted}
    number = shelf.find(place) if place else explorer.number
    values = {name: wanted[name] for name in PLAIN if name in wanted}
    _check(shelf, number, values)
    if "beside" in values:
        values["beside"] = ALONE if values["beside"] is None else shelf.find(values["beside"])
    with explorer.silently():
        explorer.show_place(number)
        for name, value in values.items():
            get[name].value = value


def _check(shelf: Any, number: int, values: dict[str, Any]) -> None:
    accepted = {"score": shelf.scores, "view": VIEWS, "quantity": shelf.quantities or [None]}
    for name in accepted.keys() & values.keys():
        if values[name] not in accepted[name]:
            check_choice(name, values[name], accepted[name])
    if "ood" in values:
        values["ood"] = check_known("ood", values["ood"], shelf.captures[number].ood)
        if not values["ood"]:
            raise ValueError("ood is empty. Choose at least one out-of-distribution set.")
    if isinstance(values.get("threshold"), str):
        check_choice("threshold", values["threshold"], RULES, remedy="A number is accepted too.")
    elif "threshold" in values:
        values["threshold"] = float(check_number("threshold", values["threshold"]))
    for name in ("same_axes", "large_text"):
        if not isinstance(values.get(name, True), bool):
            raise ValueError(f"{name} must be True or False, but is {values[name]!r}.")


AHEAD = 8  # pictures that are drawn while nobody asks for anything


def update(explorer: Any) -> None:
    """Show what an explorer's controls say; nothing of a former picture stays beside an error."""
    explorer.idle.cancel()
    try:
        drawn = explorer.guarded(_draw, explorer)
    except Exception:
        explorer.picture.layout.visibility, explorer.summary.value = "hidden", ""
        raise
    explorer.picture.layout.visibility = "visible" if drawn else "hidden"
    if drawn:
        chosen = explorer.drawers.get(explorer.controls["more"].value)
        explorer.drawer.children = () if chosen is None else (chosen,)
        explorer.slow.do(explorer.guarded, refresh_drawer, explorer)
        explorer.idle.prepare(_ahead, explorer, neighbours(explorer)[:AHEAD])
    else:
        explorer.summary.value = ""


def _draw(explorer: Any) -> None:
    get, capture = explorer.controls, explorer.capture
    with explorer.silently():
        get["ood"].offer([name for name in explorer.shelf.ood if name in capture.ood])
    look = explorer.look
    with _pale_until_drawn(explorer, look):
        picture = explorer.painter.picture(look)
        explorer.picture.value = picture.png
    explorer.bands.put(picture.place)
    low, high = score_range(capture, look.ood, score=look.score)
    get["threshold"].show(look.threshold[0], low=low, high=high)
    absent = [data_style(name).label for name in get["ood"].value if name not in look.ood]
    remark = words.sentence_html(f"Recorded without features: {', '.join(absent)}.") if absent else ""
    explorer.summary.value = explorer.numbers.html(look) + remark + words.sentence_html(picture.words)
    for name, needed in (
        ("threshold", "threshold" in VIEWS[look.view].uses),
        ("same_axes", len(look.captures) == 2 and "same_axes" in VIEWS[look.view].uses),
        ("quantity", "quantity" in VIEWS[look.view].uses),
    ):
        get[name].layout.display = None if needed else "none"


@contextmanager
def _pale_until_drawn(explorer: Any, look: Look) -> Iterator[None]:
    """Make the former picture pale while another is drawn: the buttons say already what is to come."""
    if explorer.painter.knows(look):
        yield
        return
    explorer.picture.add_class(words.STALE)
    try:
        yield
    finally:
        explorer.picture.remove_class(words.STALE)


def refresh_drawer(explorer: Any) -> None:
    """Bring what stands below an explorer's picture up to date, if it is open."""
    name, look = explorer.controls["more"].value, explorer.look
    if name == "explain":
        losses = tuple(explorer.shelf.captures[number].loss for number in look.captures)
        explorer.lesson.value = lessons.lesson_html(losses, look.score)
    elif name == "pictures":
        explorer.gallery.refresh()
    elif name == "one_image":
        explorer.one_image.refresh()
    elif name == "take_away":
        explorer.take_away.forget()


def show_pictures(explorer: Any, low: float, high: float) -> None:
    """Open the images whose scores lie in a part of the axis, in percent of the way along it."""
    explorer.gallery.choose_range(low, high)
    if explorer.controls["more"].value == "pictures":
        explorer.slow.do(explorer.guarded, refresh_drawer, explorer)
    else:
        explorer.controls["more"].value = "pictures"  # which brings the drawer up to date


def _ahead(explorer: Any, looks: list[Look]) -> None:
    """Draw one picture that may be asked for next, and the others after a pause: the kernel stays responsive."""
    try:
        explorer.painter.picture(looks[0])
    except (ValueError, IndexError):
        return  # shown once somebody chooses it
    explorer.idle.prepare(_ahead, explorer, looks[1:])


KEPT_PICTURES = 96  # some 60 kB each
KEPT_MOVING = 3  # some 3 MB each


@dataclass(frozen=True)
class Picture:
    """A drawn picture.

    Attributes
    ----------
    png : bytes
        What the plain call shows.
    words : str
        The same in a sentence.
    place : tuple of float, optional
        Where the axes of the only histogram lie: left, bottom, width and height as shares of the picture.
    """

    png: bytes
    words: str
    place: tuple[float, float, float, float] | None = None


class Painter:
    """Draw looks, and keep what was drawn within bounds.

    Parameters
    ----------
    captures : sequence of Capture

    Attributes
    ----------
    keep : bool
        Whether pictures are kept (and drawn ahead); benchmarks switch it off.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax")
    >>> painter, look = Painter([capture]), Look("entropy", (0,), ood=("mine",))
    >>> painter.picture(look) is painter.picture(look), painter.knows(look)
    (True, True)
    """

    def __init__(self, captures: Sequence[Capture]) -> None:
        self.keep = True
        self._captures = captures
        self._pictures: OrderedDict[Look, Picture] = OrderedDict()
        self._moving: OrderedDict[Look, tuple[MovingPoint, str]] = OrderedDict()

    def knows(self, look: Look) -> bool:
        """Return whether the picture is kept already."""
        return not self.keep or _essential(look) in self._pictures

    def picture(self, look: Look) -> Picture:
        """Return the picture of a look, drawn or kept."""
        look = _essential(look)
        if look in self._pictures:
            self._pictures.move_to_end(look)
            return self._pictures[look]
        picture = self._operating(look) if VIEWS[look.view].kind == "operating" else self._plain(look)
        if not self.keep:
            return picture
        self._pictures[look] = picture
        while len(self._pictures) > KEPT_PICTURES:
            self._pictures.popitem(last=False)
        return picture

    def _plain(self, look: Look) -> Picture:
        figure = draw(look, self._captures)
        return Picture(png(figure), describe(figure))

    def _operating(self, look: Look) -> Picture:
        base = replace(look, threshold=())
        if base not in self._moving:
            options = _options(replace(look, threshold=(0.0,) * len(look.captures)))
            options.pop("threshold")
            moving = MovingPoint([self._captures[number] for number in look.captures], **options)
            self._moving[base] = moving, describe(moving.figure)
            while len(self._moving) > KEPT_MOVING:
                self._moving.popitem(last=False)
        self._moving.move_to_end(base)
        moving, words = self._moving[base]
        moving.move(list(look.threshold))
        single = look.view == "scores" and len(look.captures) == 1
        place = tuple(float(share) for share in moving.figure.axes[0].get_position().bounds) if single else None
        return Picture(moving.png(), words, place)


def _essential(look: Look) -> Look:
    """Return the look without what its view does not use, so that equal pictures have equal looks."""
    default, uses = Look(look.view, look.captures), VIEWS[look.view].uses
    kept = {name: getattr(look, name) for name in uses}
    if len(look.captures) == 1:
        kept["same_axes"] = False
    return replace(default, theme=look.theme, **kept)


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
    return short_name(re.sub(r"[^\w+.-]+", "-", "_".join(parts))) + f".{suffix}"


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
        text = csv_text(drawn_data(look, captures))
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
        self.controls = make_controls(self)
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
        super().__init__(arrange(self))
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
        return look_of(self)

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
            update(self)

    def reset(self) -> None:
        """Go back to the settings of the beginning."""
        self.restore(self._start)

    def state(self) -> dict[str, Any]:
        """Return the settings as plain JSON values; :meth:`restore` takes them back."""
        return read(self)

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
            write(self, state)
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
        show_pictures(self, low, high)

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
        return save(self, path)

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
        return save(self, Path(path).with_suffix(".html"))

    def freeze(self) -> None:
        """Show the picture as a plain image below the running cell: it stays where no kernel runs."""
        freeze(self)

    def close(self) -> None:
        """Close the view with everything in it."""
        self.idle.cancel()
        self.slow.cancel()
        lifetime.close_tree(self)
        for widget in self.drawers.values():  # the closed ones are in no box
            lifetime.close_tree(widget)

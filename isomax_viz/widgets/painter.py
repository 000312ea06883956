"""From settings to a picture, fast: pictures are kept, and a threshold moves on a kept background."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from isomax_viz.captures.capture import Capture
from isomax_viz.figures import describe
from isomax_viz.figures._canvas import png
from isomax_viz.figures.thresholds import MovingPoint
from isomax_viz.widgets.views import VIEWS, Look, _options, draw

__all__ = ["Painter", "Picture"]

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

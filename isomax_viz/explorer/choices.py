"""The captures on offer: what differs between them, and which one a choice means."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.chosen import Captures, as_list
from isomax_viz.analysis.scores import SCORES
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.catalog.losses import LOSSES
from isomax_viz.catalog.style import data_style, loss_style

__all__ = ["DIMENSIONS", "Shelf", "word"]

# In what captures differ: label and tooltip of the choosers. Losses come first among what is changed most.
DIMENSIONS = {
    "data": ("Data", "Data set that the network was trained on"),
    "backbone": ("Backbone", "Network that turns an image into features"),
    "preset": ("Preset", "Training protocol"),
    "loss": ("Loss", "Loss that the network was trained with"),
    "entropic_scale": ("Entropic scale", "Factor on the logits while training (the papers' alpha and E_s)"),
    "seed": ("Seed", "Seed of the training"),
    "name": ("Capture", "Which of the captures to show"),
}
NOT_SAID = "not said"


class Shelf:
    """Captures by what differs between them.

    Parameters
    ----------
    captures : Capture, list of Capture or mapping of name to Capture
        Names matter only where nothing else tells two captures apart.

    Examples
    --------
    >>> one = Capture.from_arrays([[3.0, 0.0]], [0], loss="softmax")
    >>> two = Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax+", meta={"entropic_scale": 10.0})
    >>> shelf = Shelf([two, one])
    >>> shelf.options("loss"), shelf.title(0)
    (['softmax', 'isomax+'], 'IsoMax+')
    """

    def __init__(self, captures: Captures) -> None:
        self.captures: list[Capture] = as_list(captures)
        self.places = [_place(capture) for capture in self.captures]
        if len({tuple(place[name] for name in self.choosers) for place in self.places}) < len(self.places):
            names = list(captures) if isinstance(captures, Mapping) else range(1, len(self.places) + 1)
            for place, name in zip(self.places, names, strict=True):
                place["name"] = str(name)

    def __len__(self) -> int:
        return len(self.captures)

    def options(self, dimension: str) -> list[Any]:
        """Return the values of a dimension: losses in the usual order, numbers ascending, else as they came."""
        values = list(dict.fromkeys(place[dimension] for place in self.places if dimension in place))
        if dimension == "loss":
            return sorted(values, key=lambda loss: (list(LOSSES) + values).index(loss))
        if dimension in ("entropic_scale", "seed"):
            return sorted(values, key=lambda value: (isinstance(value, str), value))
        return values

    @property
    def choosers(self) -> list[str]:
        """Dimensions to choose from: the loss always, any other where captures differ in it."""
        return [name for name in DIMENSIONS if name == "loss" or len(set(self.options(name)) - {NOT_SAID}) > 1]

    def find(self, wanted: Mapping[str, Any], *, near: Mapping[str, Any] | None = None) -> int:
        """Return the number of the capture at exactly this place; left-out dimensions are as ``near``, where they can.

        Raises
        ------
        ValueError
            If a value is not on offer, or this combination is not.
        """
        for dimension, value in wanted.items():
            check_choice("state", dimension, [name for name in DIMENSIONS if self.options(name)])
            if value not in self.options(dimension):
                offered = ", ".join(repr(item) for item in self.options(dimension))
                raise ValueError(f"{dimension} must be one of {offered}, but is {value!r}. Give such a capture.")
        fits = [n for n, place in enumerate(self.places) if all(place.get(key) == wanted[key] for key in wanted)]
        if not fits:
            raise ValueError(f"No capture has {dict(wanted)!r} together. Give such a capture.")
        return max(fits, key=lambda n: sum(self.places[n].get(key) == value for key, value in (near or {}).items()))

    def title(self, number: int) -> str:
        """Return a capture's name: its loss and what tells it from the others."""
        place = self.places[number]
        words = [word(name, place[name]) for name in self.choosers if name in place and place[name] != NOT_SAID]
        return " · ".join(words) or word("loss", place["loss"])

    def only(self, numbers: Sequence[int], sets: Collection[str]) -> Shelf:
        """Return the shelf of some of the captures, each with some of its sets."""
        kept = {}
        for number in numbers:
            capture = self.captures[number]
            ood = {name: samples for name, samples in capture.ood.items() if name in sets}
            kept[self.places[number].get("name", str(number))] = capture.replace(ood=ood)
        return Shelf(kept)

    @property
    def ood(self) -> list[str]:
        """Names of all out-of-distribution sets, in the order in which they came."""
        return list(dict.fromkeys(name for capture in self.captures for name in capture.ood))

    @property
    def quantities(self) -> list[str]:
        """Columns of the training histories, without epoch and split; none where no capture has a history."""
        columns = [name for item in self.captures if item.history is not None for name in item.history.columns]
        spreads = [name.replace("_mean", "_std") for name in columns if name.endswith("_mean")]
        return [name for name in dict.fromkeys(columns) if name not in ("epoch", "split", *spreads)]

    @property
    def scores(self) -> list[str]:
        """Keys of the scores that at least one capture can give: MDS needs distances, columns come last."""
        columns = [key for capture in self.captures for key in capture.test.extra_scores]
        computed = [key for key in SCORES if any(SCORES[key].fits(capture.test) for capture in self.captures)]
        return list(dict.fromkeys([*computed, *columns]))


def _place(capture: Capture) -> dict[str, Any]:
    place = {name: NOT_SAID if value is None else value for name, value in source(capture).items()}
    return {name: place[name] for name in DIMENSIONS if name in place}


def word(dimension: str, value: Any, *, short: bool = False) -> str:
    """Return one value in words; short where it stands beside the name of its dimension.

    Examples
    --------
    >>> word("entropic_scale", 10.0), word("seed", 3), word("loss", "isomax+")
    ('scale 10', 'seed 3', 'IsoMax+')
    """
    if dimension == "loss":
        return loss_style(value).label
    if value == NOT_SAID:
        return "none" if dimension == "entropic_scale" else NOT_SAID
    if dimension == "data":
        return data_style(value).label
    text = f"{value:g}" if dimension == "entropic_scale" else str(value)
    prefix = {"entropic_scale": "scale ", "seed": "seed "}.get(dimension, "")
    return text if short else prefix + text

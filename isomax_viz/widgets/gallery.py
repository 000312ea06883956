"""The pictures behind the numbers, as one composed image with labels, predictions and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_number
from isomax_viz.analysis.features import class_names
from isomax_viz.analysis.images import SELECTIONS, select_images
from isomax_viz.analysis.thresholds import score_range
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import data_style, loss_style
from isomax_viz.datasets import ImageSet, load_id, load_ood
from isomax_viz.figures.pictures import image_sheet
from isomax_viz.widgets import words
from isomax_viz.widgets.controls import LABEL_WIDTH

__all__ = ["Gallery", "find_images", "sheet"]

LABELS = {
    "confident_ood": "most confident OOD",
    "doubtful_id": "least confident ID",
    "near_threshold": "nearest the threshold",
    "range": "range of scores",
}


def find_images(capture: Capture, name: str, given: Mapping[str, ImageSet]) -> ImageSet:
    """Return the pictures that a capture recorded as a set, checked to be the same ones.

    Parameters
    ----------
    capture : Capture
    name : str
        "test", or an out-of-distribution set.
    given : mapping of str to ImageSet
        Pictures of the user's own, by the same names; they come first.

    Raises
    ------
    ValueError
        If there are none, or others than the network saw.

    Examples
    --------
    >>> find_images(Capture.from_arrays([[3.0, 0.0]], [0]), "test", {})
    Traceback (most recent call last):
        ...
    ValueError: The capture does not say on which data set its network was trained, so the pictures of 'test' are \
unknown. Give them: explore(captures, images={'test': image_set}).
    """
    samples, remedy = capture.samples[name], f"Give them: explore(captures, images={{{name!r}: image_set}})."
    if name in given:
        images = given[name]
    else:
        data = capture.meta.get("data")
        if data is None:
            raise ValueError(
                "The capture does not say on which data set its network was trained, so the pictures of "
                f"{name!r} are unknown. {remedy}"
            )
        known = load_id(data, held_out_classes=tuple(capture.meta.get("held_out_classes") or ()))
        images = known.test if name == "test" else load_ood(name, known)
    recorded = capture.meta.get("ood", {}).get(name, {}).get("fingerprint")
    same = recorded in (None, images.fingerprint) if name != "test" else np.array_equal(images.labels, samples.labels)
    if len(images) != len(samples) or not (same or name in given):
        raise ValueError(f"The pictures of {name!r} at hand are not those that the capture recorded. {remedy}")
    return images


def sheet(capture: Capture, rows: pd.DataFrame, given: Mapping[str, ImageSet]) -> bytes:
    """Return selected images as one PNG: the true class or the set, the prediction, the score.

    Parameters
    ----------
    capture : Capture
    rows : DataFrame
        From :func:`isomax_viz.analysis.images.select_images`.
    given : mapping of str to ImageSet
        See :func:`find_images`.
    """
    names, sets = class_names(capture), {}
    pictures, captions, colors = [], [], []
    for row in rows.to_dict("records"):
        if row["set"] not in sets:
            sets[row["set"]] = find_images(capture, row["set"], given)
        images, index = sets[row["set"]], int(row["index"])
        pictures.append(images.images[index])
        known = row["set"] == "test"
        own = images.class_names[images.labels[index]] if not known else names[row["label"]]
        source = data_style(row["set"]).label
        captions.append(
            (
                f"{'ID' if known else source} {own}" if own != "not labelled" else source,
                f"says {names[row['prediction']]}",
                f"{row['score']:.4g}".replace("-", "\N{MINUS SIGN}"),
            )
        )
        colors.append(loss_style(capture.loss).color if known else data_style(row["set"]).color)
    channels = max(picture.shape[-1] for picture in pictures)
    same = [np.broadcast_to(picture, (*picture.shape[:2], channels)) for picture in pictures]
    return image_sheet(np.stack(same), captions, colors=colors)


class Gallery(widgets.VBox):
    """Choose which images to see; they follow loss, score, sets and threshold.

    Parameters
    ----------
    explorer : Explorer
    images : mapping of str to ImageSet
        See :func:`find_images`.

    Attributes
    ----------
    rows : DataFrame
        What is shown; see :func:`isomax_viz.analysis.images.select_images`.
    """

    def __init__(self, explorer: Any, images: Mapping[str, ImageSet]) -> None:
        self._explorer, self._given = explorer, images
        self.rows = pd.DataFrame({"set": [], "index": []})
        self.which = widgets.ToggleButtons(
            description="Pictures",
            options=[(LABELS[key], key) for key in SELECTIONS],
            tooltip="Which images to show",
            tooltips=[f"Show {meaning}" for meaning in SELECTIONS.values()],
            style={"description_width": LABEL_WIDTH, "button_width": "auto"},
        )
        # In percent of the way from the lowest to the highest score: the slider's own range never changes (see
        # ThresholdBar).
        self.limits = widgets.IntRangeSlider(
            description="Scores",
            tooltip="Range of the histogram whose images are shown (arrow keys move its ends)",
            value=(0, 25),
            min=0,
            max=100,
            continuous_update=False,
            readout=False,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "520px", "max_width": "100%", "display": "none"},
        )
        self.image, self.told = widgets.Image(format="png"), widgets.HTML()
        self._silent = False
        for control in (self.which, self.limits):
            control.observe(lambda change: self._silent or explorer.guarded(self.refresh), "value")
        box = widgets.Box([self.image], layout={"overflow": "hidden"})
        box.add_class("isomax-viz-picture")
        self.told.value = words.sentence_html("Looking for the pictures ...")
        super().__init__([self.which, self.limits, self.told, box])

    def choose_range(self, low: float, high: float) -> None:
        """Choose the images of a part of the axis, in percent of it, without showing them yet."""
        check_number("low", low, at_least=0, at_most=100)
        check_number("high", high, at_least=low, at_most=100)
        self._silent = True
        try:
            self.which.value, self.limits.value = "range", (int(low), int(high))
        finally:
            self._silent = False

    def refresh(self) -> None:
        """Show the images that fit the explorer's settings now."""
        explorer, look, which = self._explorer, self._explorer.look, self.which.value
        capture = explorer.capture
        low, high = score_range(capture, look.ood, score=look.score)
        limits = tuple(low + (high - low) * share / 100 for share in self.limits.value)
        self.limits.layout.display = None if which == "range" else "none"
        self.rows = select_images(
            capture, look.ood, score=look.score, which=which, threshold=look.threshold[0], limits=limits
        )
        self.image.layout.display = "block" if len(self.rows) else "none"
        if len(self.rows):
            self.image.value = sheet(capture, self.rows, self._given)
        count = f"{len(self.rows)} images" if len(self.rows) else "No image has a score in this range"
        shown = f" ({limits[0]:.4g} to {limits[1]:.4g})" if which == "range" else ""
        frames = "Frames have the colours of the figure; explorer.selected lists them."
        self.told.value = words.sentence_html(f"{count}: {SELECTIONS[which]}{shown}. {frames}")

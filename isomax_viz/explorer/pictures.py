"""The pictures behind the numbers, as one composed image with labels, predictions and scores."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from isomax_viz._common.checks import check_number
from isomax_viz.analysis import scores
from isomax_viz.analysis.features import class_names
from isomax_viz.analysis.images import SELECTIONS, select_images
from isomax_viz.analysis.thresholds import score_range
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import data_style, loss_style
from isomax_viz.datasets import ImageSet, from_arrays, load_id, load_ood
from isomax_viz.explorer import lessons as words
from isomax_viz.explorer.controls import LABEL_WIDTH
from isomax_viz.figures._canvas import png
from isomax_viz.figures._words import number, percent
from isomax_viz.figures.pictures import image_sheet
from isomax_viz.figures.thresholds import plot_operating_point
from isomax_viz.store.folder import StoreError

__all__ = ["Gallery", "OneImage", "ask_network", "find_images", "read_image", "sheet"]

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


MARK = "#7F3C8D"
TRIED = 20  # test pictures that show whether a network is the capture's own


def read_image(content: bytes, name: str = "your image") -> ImageSet:
    """Return an image file as a set of one picture.

    Raises
    ------
    ValueError
        If this is no image that Pillow reads.

    Examples
    --------
    >>> read_image(b"no image")
    Traceback (most recent call last):
        ...
    ValueError: 'your image' is no image file that can be read (PNG, JPEG, GIF, BMP, WebP, TIFF ...).
    """
    try:
        picture = Image.open(BytesIO(content))
        pixels = np.asarray(picture.convert("L" if picture.mode in ("1", "L", "I", "I;16", "F") else "RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        kinds = "PNG, JPEG, GIF, BMP, WebP, TIFF ..."
        raise ValueError(f"{name!r} is no image file that can be read ({kinds}).") from error
    return from_arrays(pixels[None] if pixels.ndim == 3 else pixels[None, :, :, None], name=name)


def ask_network(capture: Capture, images: ImageSet, *, store: str | Path | None = None) -> Samples:
    """Return what the network behind a capture says about other pictures; this needs PyTorch and its weights.

    Raises
    ------
    ValueError
        If the capture was not recorded by an experiment of this package.
    StoreError
        If the network is not in the store, or another one is: trained on another machine, say.
    """
    if not capture.meta.get("id"):
        raise ValueError(
            "Scoring an image needs the network, but this capture does not say which experiment recorded it: only its "
            "numbers are there. Use a capture of Experiment(...).run()."
        )
    from isomax_viz.experiments.experiment import Experiment
    from isomax_viz.learning.recording.network import record_ood, record_samples

    experiment = Experiment.from_meta(capture.meta)
    if experiment.id != capture.meta["id"]:
        raise ValueError(
            f"The capture comes from experiment {capture.meta['id']}, which this version of isomax_viz would train "
            "differently. Run the experiment again."
        )
    data = load_id(experiment.data, held_out_classes=experiment.held_out_classes)
    network = experiment.network(store=store)
    known = record_samples(network, data.test.subset(np.arange(min(TRIED, len(data.test)))), data, device="cpu").logits
    expected = capture.test.logits[: len(known)].astype(np.float64)
    # Captures at half precision round to three digits; another training differs in the first.
    if known.shape != expected.shape or np.abs(known - expected).max() > 0.01 * np.abs(expected).max():
        raise StoreError(
            f"The network in the store under {experiment.id} is not the one behind this capture: it was trained "
            "anew, and other machines give other numbers. Explore the capture that Experiment(...).run() returns."
        )
    recorded = record_ood(capture, network, data, [images], device="cpu")
    return recorded.ood[images.name]


class OneImage(widgets.VBox):
    """Choose an image file and see what the network makes of it.

    Parameters
    ----------
    explorer : Explorer

    Attributes
    ----------
    upload : ipywidgets.FileUpload
        Takes one file; it goes to the kernel only.
    verdict : ipywidgets.HTML
        The answer in words.
    """

    def __init__(self, explorer: Any) -> None:
        self._explorer, self._image, self._said = explorer, None, {}
        self.upload = widgets.FileUpload(
            accept="image/*",
            multiple=False,
            description="Choose an image",
            tooltip="The file goes to the kernel only; it is brought to the size that the network knows",
            layout={"width": "auto", "align_self": "flex-start"},
        )
        self.upload.observe(lambda change: explorer.guarded(self._uploaded), "value")
        self.seen, self.picture = widgets.Image(format="png"), widgets.Image(format="png")
        self.verdict = widgets.HTML()
        layout = {"align_items": "center", "flex_flow": "row wrap", "display": "none"}
        self.box = widgets.HBox([self.seen, self.picture], layout=layout)
        self.box.add_class("isomax-viz-picture")
        super().__init__([self.upload, self.verdict, self.box])
        self.verdict.value = words.sentence_html(
            "Choose an image file (PNG, JPEG ...). It is cropped to the shape, scaled to the size and turned to the "
            "colours that the network learned from; what is left is what it judges."
        )

    def _uploaded(self) -> None:
        if self.upload.value:
            file = self.upload.value[0]
            self.show(bytes(file["content"]), file["name"])

    def show(self, content: bytes, name: str = "your image") -> None:
        """Judge the content of an image file."""
        data = self._explorer.capture.meta.get("data")
        if data is None:
            raise ValueError("The capture does not say on which data set its network was trained: no size is known.")
        known = load_id(data, held_out_classes=tuple(self._explorer.capture.meta.get("held_out_classes") or ()))
        self._image, self._said = read_image(content, name).matched_to(known.test), {}
        self.refresh()

    def refresh(self) -> None:
        """Judge the image again with the explorer's present settings."""
        if self._image is None:
            return
        explorer, look, image = self._explorer, self._explorer.look, self._image
        capture = explorer.capture
        score = scores.words(look.score)
        if look.score not in scores.SCORES:
            raise ValueError(
                f"{score.label} is stored beside the captured images and is not computed for one more image here. "
                "Choose a score that the logits, features or distances give."
            )
        if explorer.number not in self._said:
            self._said[explorer.number] = ask_network(capture, image, store=explorer.store)
        said = self._said[explorer.number]
        value = float(scores.compute(score, said)[0])
        figure = plot_operating_point(
            capture, list(look.ood), score=look.score, threshold=look.threshold[0], panels="scores"
        )
        ax = figure.axes[0]
        low, high = ax.get_xlim()
        ax.axvline(value, color=MARK, linewidth=2.5, linestyle="--", zorder=22)
        ax.set_xlim(min(low, value), max(high, value))
        self.picture.value = png(figure)
        name = class_names(capture)[int(said.predictions[0])]
        self.seen.value = image_sheet(image.images, [["as the network", "sees it"]], side=128)
        self.verdict.value = _verdict(capture, look, score, value, name, float(said.max_probabilities[0]))
        self.box.layout.display = None


def _verdict(capture: Capture, look: Any, score: Any, value: float, name: str, probability: float) -> str:
    threshold = look.threshold[0]
    accepted = value >= threshold
    word = "accepted as in-distribution" if accepted else "rejected as out-of-distribution"
    sets = {"known test images": capture.test} | {data_style(key).label: capture.ood[key] for key in look.ood}
    lower = [(label, float((scores.compute(score, samples) < value).mean())) for label, samples in sets.items()]
    shares = ", ".join(f"{percent(share)} of {label}" for label, share in lower)
    compared = "\N{GREATER-THAN OR EQUAL TO}" if accepted else "<"
    return words.verdict_html(
        f"{score.label} = {number(value)} {compared} {number(threshold)}: {word}.",
        f"The network calls it {name} (probability {percent(probability)}). Lower scores have {shares}. "
        "The dashed line is your image.",
    )

"""One image of your own: its score beside the distributions, and the verdict at the threshold."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image, UnidentifiedImageError

from isomax_viz.analysis import scores
from isomax_viz.analysis.features import class_names
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import data_style
from isomax_viz.datasets import ImageSet, from_arrays, load_id
from isomax_viz.figures._canvas import png
from isomax_viz.figures._words import number, percent
from isomax_viz.figures.pictures import image_sheet
from isomax_viz.figures.thresholds import plot_operating_point
from isomax_viz.store.folder import StoreError
from isomax_viz.widgets import words

__all__ = ["OneImage", "ask_network", "read_image"]

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
    from isomax_viz.experiments import Experiment
    from isomax_viz.learning.recording import record_ood, record_samples

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

"""The pictures behind the numbers, and what the networks say about a picture of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, from_arrays, load_id, load_ood
from isomax_viz.store.folder import StoreError

__all__ = ["Networks", "find_images", "on_pad", "read_image", "sheet"]

TRIED = 20  # test pictures that show whether a network is the capture's own
COLUMNS = 32  # of a sheet of pictures


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


def sheet(images: ImageSet, indices: Sequence[int] | None = None) -> tuple[bytes, dict[str, int]]:
    r"""Return pictures of a set in rows as one PNG, and how to find one in it.

    Examples
    --------
    >>> png, place = sheet(from_arrays(np.zeros((3, 8, 8, 1), dtype=np.uint8), name="mine"))
    >>> png[:4], place
    (b'\x89PNG', {'height': 8, 'columns': 32})
    """
    chosen = images.images if indices is None else images.images[np.asarray(indices, dtype=int)]
    n, height, width, channels = chosen.shape
    rows = -(-n // COLUMNS)
    grid = np.zeros((rows * COLUMNS, height, width, channels), dtype=np.uint8)
    grid[:n] = chosen
    grid = grid.reshape(rows, COLUMNS, height, width, channels).swapaxes(1, 2)
    return _png(grid.reshape(rows * height, COLUMNS * width, channels)), {"height": height, "columns": COLUMNS}


def _png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "png")
    return buffer.getvalue()


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


def on_pad(blocks: Sequence[int]) -> ImageSet:
    """Return what was drawn on the pad as a digit: 8x8 counts of 4x4 points, as the scans of the digits were made.

    Examples
    --------
    >>> on_pad([16] * 64).images.shape, int(on_pad([16] * 64).images.max())
    ((1, 8, 8, 1), 255)
    """
    counts = np.asarray(blocks, dtype=np.float64).reshape(1, 8, 8, 1)
    return from_arrays(np.rint(counts * 255 / 16).astype(np.uint8), name="your drawing")


class Networks:
    """The networks behind captures, loaded and checked once each when an image has to be judged.

    Parameters
    ----------
    captures : sequence of Capture
    store : str or Path, optional
        Where the trained networks lie.
    """

    def __init__(self, captures: Sequence[Capture], store: str | Path | None) -> None:
        self._captures, self._store = captures, store
        self._loaded: dict[int, Any] = {}

    def known(self, number: int) -> Any:
        """Return the data set on which a capture's network was trained."""
        meta = self._captures[number].meta
        if meta.get("data") is None:
            raise ValueError("The capture does not say on which data set its network was trained: no size is known.")
        return load_id(meta["data"], held_out_classes=tuple(meta.get("held_out_classes") or ()))

    def judge(self, number: int, images: ImageSet) -> Samples:
        """Return what the network behind a capture says about other pictures; this needs PyTorch and its weights.

        The store is asked first, then the networks that come with the package.

        Raises
        ------
        ValueError
            If the capture was not recorded by an experiment of this package.
        StoreError
            If the network is not in the store, or another one is: trained on another machine, say.
        """
        if number not in self._loaded:
            self._loaded[number] = self._load(number)
        from isomax_viz.learning.recording.network import record_ood

        data = self.known(number)
        return record_ood(self._captures[number], self._loaded[number], data, [images], device="cpu").ood[images.name]

    def file(self, number: int) -> bytes:
        """Return the network behind a capture as a file of ``data/networks``; errors as for :meth:`judge`."""
        if number not in self._loaded:
            self._loaded[number] = self._load(number)
        from isomax_viz.learning.shipped_networks import network_file

        return network_file(self._loaded[number], meta=self._captures[number].meta, settings={})

    def _load(self, number: int) -> Any:
        capture = self._captures[number]
        if not capture.meta.get("id"):
            raise ValueError("This capture does not say which experiment recorded it: only its numbers are there.")
        from isomax_viz.experiments.experiment import Experiment
        from isomax_viz.learning.recording.network import record_samples
        from isomax_viz.learning.shipped_networks import load_network

        experiment = Experiment.from_meta(capture.meta)
        if experiment.id != capture.meta["id"]:
            raise ValueError(
                f"The capture comes from experiment {capture.meta['id']}, which this version of isomax_viz would train "
                "differently. Run the experiment again."
            )
        data = self.known(number)
        tried = data.test.subset(np.arange(min(TRIED, len(data.test))))
        expected = capture.test.require("logits")[: len(tried)].astype(np.float64)

        def checked(network: Any) -> Any:
            said = record_samples(network, tried, data, device="cpu").logits
            # Captures and shipped networks at half precision round to three digits; another training differs in the
            # first.
            if said.shape != expected.shape or np.abs(said - expected).max() > 0.01 * np.abs(expected).max():
                raise StoreError(
                    f"The network in the store under {experiment.id} is not the one behind this capture: it was "
                    "trained anew, and other machines give other numbers. Explore the capture that "
                    "Experiment(...).run() returns."
                )
            return network

        try:
            return checked(experiment.network(store=self._store))
        except StoreError as error:
            try:
                return checked(load_network(capture.meta["data"], loss=capture.loss, seed=experiment.seed))
            except (ValueError, StoreError):  # not shipped, or not this one
                raise error from None

"""The pictures behind the numbers, and what the networks say about a picture of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from isomax_viz._common.checks import need_torch
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import OOD_SETS, ImageSet, InDistribution, from_arrays, load_id, load_ood
from isomax_viz.store.folder import StoreError

__all__ = ["Networks", "find_images", "on_pad", "read_image", "sheet"]

COLUMNS = 32  # of a sheet of pictures


def find_images(capture: Capture, name: str, given: Mapping[str, ImageSet]) -> ImageSet:
    """Return the pictures that a capture recorded as a set, checked to be the same ones.

    Parameters
    ----------
    capture : Capture
    name : str
        "test", "train", or an out-of-distribution set.
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
    told, every = capture.meta.get("ood", {}).get(name, {}), capture.meta.get("every", 1)
    if name in given:
        images = given[name].every(every, count=len(samples))
    else:
        known = _trained_on(capture, f"so the pictures of {name!r} are unknown. {remedy}")
        if told.get("provenance", {}).get("source") == "made here":
            made = f"iv.make_fooling({known.name!r}, n={len(samples) * every})"
            raise ValueError(f"The pictures of {name!r} were made by {made}. {remedy}")
        drawn = name in OOD_SETS and OOD_SETS[name].kind == "drawn"  # as many as were recorded
        of_ood, n = name in capture.ood, len(samples) * every
        images = load_ood(name, known, n=n if drawn else None) if of_ood else getattr(known, name)
        images = images.every(every, count=len(samples))
    recorded = told.get("fingerprint", images.fingerprint)
    same = recorded == images.fingerprint and (name in capture.ood or np.array_equal(images.labels, samples.labels))
    if len(images) != len(samples) or not (same or name in given):
        raise ValueError(f"The pictures of {name!r} at hand are not those that the capture recorded. {remedy}")
    return images


def _trained_on(capture: Capture, else_unknown: str) -> InDistribution:
    if capture.meta.get("data") is None:
        raise ValueError(f"The capture does not say on which data set its network was trained, {else_unknown}")
    return load_id(capture.meta["data"], held_out_classes=tuple(capture.meta.get("held_out_classes") or ()))


def sheet(images: ImageSet, indices: Sequence[int] | None = None) -> dict[str, Any]:
    r"""Return pictures of a set in rows as one PNG, and how to find one in it.

    Examples
    --------
    >>> made = sheet(from_arrays(np.zeros((3, 8, 8, 1), dtype=np.uint8), name="mine"))
    >>> made.pop("png")[:4].tobytes(), made
    (b'\x89PNG', {'height': 8, 'columns': 32})
    """
    chosen = images.images if indices is None else images.images[np.asarray(indices, dtype=int)]
    n, height, width, channels = chosen.shape
    rows = -(-n // COLUMNS)
    grid = np.zeros((rows * COLUMNS, height, width, channels), dtype=np.uint8)
    grid[:n] = chosen
    grid = grid.reshape(rows, COLUMNS, height, width, channels).swapaxes(1, 2)
    pixels, buffer = grid.reshape(rows * height, COLUMNS * width, channels), BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(buffer, "png")
    return {"png": np.frombuffer(buffer.getvalue(), dtype=np.uint8), "height": height, "columns": COLUMNS}


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
        self._network = cache(self._load)

    def known(self, number: int) -> InDistribution:
        """Return the data set on which a capture's network was trained."""
        return _trained_on(self._captures[number], "so the size of its pictures is unknown.")

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
        need_torch()
        from isomax_viz.learning.recording.network import record_ood

        data = self.known(number)
        return record_ood(self._captures[number], self._network(number), data, [images], device="cpu").ood[images.name]

    def file(self, number: int) -> bytes:
        """Return the network behind a capture as a file of ``data/networks``; errors as for :meth:`judge`."""
        need_torch()
        from isomax_viz.learning.shipped_networks import network_file

        return network_file(self._network(number), meta=self._captures[number].meta, settings={})

    def _load(self, number: int) -> Any:
        from isomax_viz.experiments.add_scores import experiment_of, known_of
        from isomax_viz.learning.shipped_networks import load_network

        capture, remedy = self._captures[number], "Explore the capture that Experiment(...).run() returns."
        experiment = experiment_of(capture, remedy=remedy)

        def checked(network: Any) -> Any:
            try:
                known_of(capture, network=network, device="cpu")
            except ValueError as error:
                raise StoreError(
                    f"The network in the store under {experiment.id} is not the one behind this capture: it was "
                    f"trained anew, and other machines give other numbers. {remedy}"
                ) from error
            return network

        try:
            return checked(experiment.network(store=self._store))
        except StoreError as error:
            try:
                return checked(load_network(capture.meta["data"], loss=capture.loss, seed=experiment.seed))
            except (ValueError, StoreError):  # not shipped, or not this one
                raise error from None

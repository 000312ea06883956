"""ImageSet and InDistribution: the pictures themselves, as frozen uint8 arrays with class names and provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from isomax_viz._common.checks import Sealed, check_labels, check_set_name
from isomax_viz.captures.samples import frozen

__all__ = ["ImageSet", "InDistribution", "UNLABELLED", "convert_images", "fit_picture"]


def _centre_box(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the largest centred box (left, upper, right, lower) with the aspect of ``size`` (height, width)."""
    scale = min(height / size[0], width / size[1])
    box_height = min(height, max(1, round(size[0] * scale)))
    box_width = min(width, max(1, round(size[1] * scale)))
    left, upper = (width - box_width) // 2, (height - box_height) // 2
    return left, upper, left + box_width, upper + box_height


def fit_picture(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a Pillow picture cropped at the centre to the aspect of ``size`` (height, width), then resized to it.

    Examples
    --------
    >>> fit_picture(Image.new("L", (40, 20)), (8, 8)).size
    (8, 8)
    """
    box = _centre_box(picture.height, picture.width, size)
    if box != (0, 0, picture.width, picture.height):
        picture = picture.crop(box)
    if picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return picture


def _converted(image: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if mode == "L":  # fewer channels first: resizing grey costs a third
        picture = picture.convert(mode)
    return np.asarray(fit_picture(picture, size).convert(mode))


def convert_images(images: np.ndarray, size: tuple[int, int], channels: int) -> tuple[np.ndarray, list[str]]:
    """Return the pictures at ``size`` (height, width) with ``channels`` channels, and notes of what was done.

    Parameters
    ----------
    images : array of uint8, shape (n, height, width, 1 or 3)
    size : (int, int)
        Height and width wanted.
    channels : {1, 3}
        Channels wanted.

    Returns
    -------
    ndarray of uint8, shape (n, *size, channels)
        The input itself where nothing had to be done.
    list of str
        One line per conversion, in order.

    Examples
    --------
    >>> convert_images(np.zeros((1, 4, 4, 1), np.uint8), (4, 4), 3)[1]
    ['grey repeated in 3 channels']
    """
    notes = []
    height, width, given = images.shape[1:]
    if given > channels:
        notes.append("colour to grey")
    left, upper, right, lower = _centre_box(height, width, size)
    cropped = (lower - upper, right - left)
    if cropped != (height, width):
        notes.append(f"centre crop from {height}x{width} to {cropped[0]}x{cropped[1]}")
    if cropped != tuple(size):
        notes.append(f"resized from {cropped[0]}x{cropped[1]} to {size[0]}x{size[1]} (bilinear)")
    if given < channels:
        notes.append("grey repeated in 3 channels")
    if notes:
        mode = "L" if channels == 1 else "RGB"
        images = np.stack([_converted(image, size, mode) for image in images]).reshape(-1, *size, channels)
    return images, notes


# What a set without classes calls its only one.
UNLABELLED: tuple[str, ...] = ("not labelled",)


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet(Sealed):
    """Pictures of one size with their labels, class names and provenance; the arrays are read-only.

    Parameters
    ----------
    name : str
        Short name, as in tables and legends.
    images : array of uint8, shape (n, height, width, channels)
        One channel (grey) or three (red, green, blue). May be memory-mapped; it is never copied.
    labels : array of int, shape (n,)
        Index into ``class_names``: the set's own classes, also where the set serves as out-of-distribution data
        (recording a network's answers replaces them by -1).
    class_names : sequence of str
        One name per class.
    provenance : mapping, optional
        How the set was made: source, licence, citation, home page, conversions. JSON values only.

    Raises
    ------
    TypeError
        If the pictures are not uint8 or the provenance is not JSON.
    ValueError
        If shapes disagree, the set is empty, or a label is no index into ``class_names``.

    Examples
    --------
    >>> grey = ImageSet("mine", np.zeros((2, 8, 8, 1), np.uint8), [0, 1], ("cat", "dog"))
    >>> grey
    ImageSet(mine: 2 images, 8x8x1, 2 classes)
    >>> len(grey), grey.size, grey.channels
    (2, (8, 8), 1)
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_set_name("The name of an ImageSet", self.name)
        images = np.asarray(self.images)
        if images.dtype != np.uint8:
            raise TypeError(
                f"images must be uint8, but its dtype is {images.dtype}. "
                "Use isomax_viz.datasets.from_arrays, which converts and says what it did."
            )
        if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:3]:
            raise ValueError(f"images must have shape (n, height, width, 1 or 3), but has shape {images.shape}.")
        if len(images) == 0:
            raise ValueError(f"images is empty: the set {self.name!r} has no picture. Give at least one.")
        class_names = tuple(str(item) for item in self.class_names)
        labels = check_labels("labels", self.labels, rows=len(images), classes=len(class_names))
        if labels.min() < 0:
            raise ValueError(
                "labels must be indices into class_names, but one is negative. Leave labels out (None) where a set has "
                "no classes; an out-of-distribution set keeps its own."
            )
        try:
            provenance = json.loads(json.dumps(dict(self.provenance), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise TypeError(f"provenance must hold JSON values only, but {error}.") from error
        values = {"images": frozen(images), "labels": frozen(labels), "class_names": class_names}
        self.__dict__.update(values, provenance=provenance)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        classes = "not labelled" if self.class_names == UNLABELLED else f"{len(self.class_names)} classes"
        return f"ImageSet({self.name}: {len(self):,} images, {_shape(self)}, {classes})"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def channels(self) -> int:
        """Number of channels: 1 or 3."""
        return self.images.shape[3]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over shape, pixels and labels, in order."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels.astype("<i8")).data)
        return digest.hexdigest()

    def with_provenance(self, **provenance: Any) -> ImageSet:
        """Return the same pictures with more provenance; what is already there is kept.

        Examples
        --------
        >>> grey = ImageSet("mine", np.zeros((2, 8, 8, 1), np.uint8), [0, 1], ("cat", "dog"), {"source": "me"})
        >>> grey.with_provenance(source="you", licence="free").provenance
        {'source': 'me', 'licence': 'free'}
        """
        noted = replace(self, provenance={**provenance, **self.provenance})
        # The pictures are the same: no need to read them again.
        if "fingerprint" in self.__dict__:
            noted.__dict__["fingerprint"] = self.fingerprint
        return noted

    def subset(self, indices: Any) -> ImageSet:
        """Return the pictures at ``indices`` (whole numbers or a mask), in that order, with the same class names.

        Raises
        ------
        ValueError
            If nothing is left, or the indices are neither a mask nor whole numbers in range.

        Examples
        --------
        >>> ImageSet("mine", np.zeros((3, 8, 8, 1), np.uint8), [0, 1, 1], ("a", "b")).subset([2, 0]).labels.tolist()
        [1, 0]
        """
        wanted = np.asarray(indices)
        if wanted.size == 0:
            raise ValueError(f"indices is empty: nothing would be left of {self!r}.")
        try:
            return replace(self, images=self.images[wanted], labels=self.labels[wanted])
        except IndexError as error:
            raise ValueError(
                f"indices must be whole numbers in 0 .. {len(self) - 1} or a mask of length {len(self)}, but {error}."
            ) from error

    def every(self, n: int, *, count: int | None = None) -> ImageSet:
        """Return every n-th picture from the first on, as captures hold them whose ``meta["every"]`` is n.

        Parameters
        ----------
        n : int
        count : int, optional
            How many the capture holds: if there are no more, they are returned as they are.

        Examples
        --------
        >>> ImageSet("mine", np.zeros((3, 8, 8, 1), np.uint8), [0, 1, 2], ("a", "b", "c")).every(2).labels.tolist()
        [0, 2]
        """
        return self if n == 1 or len(self) == count else self.subset(np.arange(0, len(self), n))

    def matched_to(self, other: ImageSet) -> ImageSet:
        """Return the pictures brought to the size and channels of another set; the provenance notes what was done.

        A network accepts one size and one number of channels. Pictures of another aspect are cropped at the centre,
        not squeezed; sizes change with Pillow's bilinear filter (which averages when it shrinks); colour becomes grey
        with the ITU-R 601 weights, and grey becomes colour by repetition.

        Examples
        --------
        >>> small = ImageSet("small", np.zeros((1, 8, 8, 1), np.uint8), [0], ("a",))
        >>> large = ImageSet("large", np.zeros((1, 16, 24, 3), np.uint8), [0], ("a",))
        >>> large.matched_to(small)
        ImageSet(large: 1 images, 8x8x1, 1 classes)
        >>> large.matched_to(small).provenance["conversions"]
        ['colour to grey', 'centre crop from 16x24 to 16x16', 'resized from 16x16 to 8x8 (bilinear)']
        """
        images, notes = convert_images(self.images, other.size, other.channels)
        if not notes:
            return self
        notes = [*self.provenance.get("conversions", []), *notes]
        return replace(self, images=images, provenance={**self.provenance, "conversions": notes})


@dataclass(frozen=True, eq=False, repr=False)
class InDistribution:
    """A training and a test set of the same classes, and the pictures of the classes that were held out.

    Attributes
    ----------
    name : str
        Key in ``ID_SETS``.
    train, test : ImageSet
        Labels count from 0 in the order of ``class_names``.
    unseen : ImageSet or None
        All pictures (training and test) of the held-out classes. No network trained on ``train`` has seen either, and
        together they are enough for a steady histogram.

    Raises
    ------
    ValueError
        If the test pictures have other classes (or another order of them), another size or other channels.
    """

    name: str
    train: ImageSet
    test: ImageSet
    unseen: ImageSet | None = None

    def __post_init__(self) -> None:
        # Labels are compared as numbers: one class too few would shift all that follow, and nothing would fail.
        if self.train.class_names != self.test.class_names:
            raise ValueError(
                f"train and test of {self.name!r} must have the same classes in the same order, but "
                f"{_difference(self.train.class_names, self.test.class_names)}. Number both alike: pass "
                "class_names=train.class_names to the from_folder or from_arrays that makes test, or get the bundle "
                "or download again that they were read from."
            )
        for part, images in (("test", self.test), ("unseen", self.unseen)):
            if images is not None and images.images.shape[1:] != self.train.images.shape[1:]:
                raise ValueError(
                    f"{part} of {self.name!r} must have the size and channels of train ({_shape(self.train)}), but is "
                    f"{_shape(images)}. Pass {part}.matched_to(train), or read both with the same size= and channels=."
                )

    def __repr__(self) -> str:
        held_out = f", unseen {len(self.unseen):,}" if self.unseen else ""
        return (
            f"InDistribution({self.name}: train {len(self.train):,}, test {len(self.test):,}{held_out}, "
            f"{_shape(self.train)}, {len(self.class_names)} classes)"
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes to be learnt."""
        return self.train.class_names

    def with_examples_per_class(self, n: int, *, seed: int) -> InDistribution:
        """Return the same data with ``n`` random training pictures of each class, for studies of robustness.

        Raises
        ------
        ValueError
            If a class has fewer.

        Examples
        --------
        >>> from isomax_viz import datasets
        >>> datasets.load_id("digits").with_examples_per_class(5, seed=0)
        InDistribution(digits: train 50, test 599, 8x8x1, 10 classes)
        """
        counts = np.bincount(self.train.labels, minlength=len(self.class_names))
        if counts.min() < n:
            raise ValueError(
                f"examples_per_class must be at most {counts.min()} for {self.name!r} (its smallest class), but is {n}."
            )
        rng = np.random.default_rng(seed)
        members = [np.flatnonzero(self.train.labels == label) for label in range(len(counts))]
        chosen = np.concatenate([rng.choice(m, size=n, replace=False) for m in members])
        return replace(self, train=self.train.subset(np.sort(chosen)))

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        images = self.train.images
        flat = images.reshape(len(images), -1)
        # Whole numbers add up exactly, and neither sum makes a temporary of the size of a memory-mapped set.
        squares = np.einsum("ij,ij->j", flat, flat, dtype=np.int64)
        sums = np.stack([flat.sum(axis=0, dtype=np.int64), squares])
        count = len(flat) * flat.shape[1] / images.shape[3]
        mean, square = sums.reshape(2, -1, images.shape[3]).sum(axis=1) / count
        std = np.sqrt(square - mean**2) / 255
        # A channel that never changes is normalised to 0, not to 0 / 0.
        return mean / 255, np.where(std > 0, std, 1.0)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel of the training pictures on the scale [0, 1], shape (channels,), float64."""
        return self._moments[0]

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation of each channel on the scale [0, 1], shape (channels,); of a constant one 1."""
        return self._moments[1]


def _shape(images: ImageSet) -> str:
    return "x".join(str(side) for side in images.images.shape[1:])


def _difference(train: tuple[str, ...], test: tuple[str, ...]) -> str:
    for part, only in (("train", sorted(set(train) - set(test))), ("test", sorted(set(test) - set(train)))):
        if only:
            return f"{part} alone has {', '.join(map(repr, only[:5]))}{', ...' if len(only) > 5 else ''}"
    return "their order differs"

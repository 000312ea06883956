"""Toys: rows of numbers with classes, small enough to train on while a class watches; no PyTorch needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from isomax_viz._common.checks import Sealed, check_choice, check_labels, check_matrix, check_names, check_number
from isomax_viz.captures.samples import frozen

__all__ = ["TOYS", "Toy", "load_toy", "toy_from_images"]

_RESERVED = {"train", "test", "ID", "plane", "prototype"}


@dataclass(frozen=True, eq=False, repr=False)
class Toy(Sealed):
    """Training and test points of some classes, and out-of-distribution points by name; the arrays are read-only.

    Parameters
    ----------
    name : str
        As in titles.
    train, test : array, shape (n, d) and (m, d)
        One row per point, float32.
    train_labels, test_labels : array of int
        Classes, counted from 0.
    ood : mapping of str to array, shape (k, d)
        Points of no class.
    class_names : tuple of str
        One name per class.

    Raises
    ------
    ValueError
        If shapes disagree, a class is out of range, there are no points, or a set is called as a part of the data is.

    Examples
    --------
    >>> Toy("mine", [[0.0, 0.0], [1.0, 1.0]], [0, 1], [[0.1, 0.0]], [0], {"far": [[9.0, 9.0]]}, ("a", "b"))
    Toy(mine: 2 training points, 1 test points, 2 numbers each, 2 classes, ood far 1)
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    ood: Mapping[str, np.ndarray] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        classes = len(self.class_names)
        check_number("The number of class_names", classes, at_least=2, whole=True)
        values = {"train": check_matrix("train", self.train)}
        columns = values["train"].shape[1]
        values["test"] = check_matrix("test", self.test, columns=columns)
        for part, points in list(values.items()):
            labels = check_labels(f"{part}_labels", getattr(self, f"{part}_labels"), rows=len(points), classes=classes)
            if not len(points) or labels.min() < 0:
                raise ValueError(
                    f"{part} must have at least one point, each of a class in 0 .. {classes - 1}, but has "
                    f"{len(points)} with {int((labels < 0).sum())} labels of -1. Points of no class belong into ood."
                )
            values[f"{part}_labels"] = labels
        for name in _RESERVED.intersection(self.ood):
            raise ValueError(f"ood must not call a set {name!r}: figures and tables use this name. Choose another one.")
        sets = check_names("ood", self.ood, "points").items()
        found = {name: frozen(check_matrix(f"ood[{name!r}]", points, columns=columns)) for name, points in sets}
        self.__dict__.update({name: frozen(array) for name, array in values.items()}, ood=found)

    def __repr__(self) -> str:
        sets = ", ".join(f"{name} {len(points)}" for name, points in self.ood.items()) or "none"
        return (
            f"Toy({self.name}: {len(self.train)} training points, {len(self.test)} test points, "
            f"{self.train.shape[1]} numbers each, {len(self.class_names)} classes, ood {sets})"
        )


def _moons(n: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 2
    angle = rng.uniform(0, np.pi, n)
    upper = np.column_stack([np.cos(angle), np.sin(angle)])
    lower = np.column_stack([1 - np.cos(angle), 0.5 - np.sin(angle)])
    points = np.where(labels[:, None] == 0, upper, lower)
    return points + noise * rng.normal(size=points.shape), labels


def _blobs(n: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 3
    angle = 2 * np.pi * (labels / 3 + 0.25)
    return np.column_stack([np.cos(angle), np.sin(angle)]) + noise * rng.normal(size=(n, 2)), labels


def _spirals(n: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 3
    along = np.sqrt(rng.uniform(0.02, 1, n))  # the root spreads points evenly over the arm
    angle = 2 * np.pi * (labels / 3 + 0.75 * along)
    arms = 1.3 * along[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return arms + noise * rng.normal(size=(n, 2)), labels


# name -> (function of n, noise and a generator; noise by default; classes)
TOYS: dict[str, tuple[Callable[..., tuple[np.ndarray, np.ndarray]], float, tuple[str, ...]]] = {
    "moons": (_moons, 0.12, ("upper", "lower")),
    "blobs": (_blobs, 0.25, ("top", "left", "right")),
    "spirals": (_spirals, 0.04, ("arm 1", "arm 2", "arm 3")),
}
FAR = 4.0  # standard deviations from the centre of everything at which the far blob lies
# Its radius: the known points lie within, the far blob outside.
RING = 2.6


def load_toy(name: str, *, n: int = 400, noise: float | None = None, seed: int = 0) -> Toy:
    """Return one of the two-dimensional toys, standardised, with a far blob and a ring as unknown points.

    Parameters
    ----------
    name : {"moons", "blobs", "spirals"}
        Two half circles that hook into each other, three round clouds, or three spiral arms.
    n : int
        Training points; there are half as many test points and half as many of each unknown set.
    noise : float, optional
        Standard deviation around the noiseless shape, before standardising; by default what suits the shape.
    seed : int
        Determines all points.

    Returns
    -------
    Toy
        With the sets ``"far blob"`` (a small cloud, four standard deviations away on the upper right) and ``"ring"``
        (a circle around the known points). Both coordinates have mean 0 and standard deviation 1 over the training
        points.

    Raises
    ------
    ValueError
        If the name is unknown or a number out of range.

    Examples
    --------
    >>> load_toy("moons", n=100)
    Toy(moons: 100 training points, 50 test points, 2 numbers each, 2 classes, ood far blob 50, ring 50)
    """
    make, usual, class_names = TOYS[check_choice("name", name, TOYS)]
    check_number("n", n, at_least=2 * len(class_names), whole=True)
    noise = usual if noise is None else float(check_number("noise", noise, at_least=0))
    rng = np.random.default_rng(seed)
    few = (n + 1) // 2
    train, train_labels = make(n, noise, rng)
    test, test_labels = make(few, noise, rng)
    mean, std = train.mean(axis=0), train.std(axis=0)
    far = FAR * np.sqrt(0.5) + 0.25 * rng.normal(size=(few, 2))
    angle = rng.uniform(0, 2 * np.pi, few)
    ring = (RING + 0.08 * rng.normal(size=few))[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    train, test = (train - mean) / std, (test - mean) / std
    return Toy(name, train, train_labels, test, test_labels, {"far blob": far, "ring": ring}, class_names)


def toy_from_images(data: str = "digits", *, ood: Iterable[str] = ("letters", "patches", "uniform")) -> Toy:
    """Return pictures as rows of pixels: the same lessons on data that one can look at.

    Parameters
    ----------
    data : str
        A key of ``iv.datasets.ID_SETS``.
    ood : iterable of str
        Keys of ``iv.datasets.OOD_SETS``.

    Returns
    -------
    Toy
        Pixels on the scale [0, 1], with the mean of the training pixels taken off and divided by their standard
        deviation (for colours the averages over the channels), for every set alike.

    Examples
    --------
    >>> toy_from_images("digits", ood=["uniform"])
    Toy(digits: 1198 training points, 599 test points, 64 numbers each, 10 classes, ood uniform 599)
    """
    from isomax_viz.datasets.catalogue import load_id, load_ood

    images = load_id(data)
    mean, std = float(images.mean.mean()), float(images.std.mean())

    def rows(pictures: np.ndarray) -> np.ndarray:
        return (pictures.reshape(len(pictures), -1) / np.float32(255) - mean) / std

    names = [ood] if isinstance(ood, str) else ood
    sets = {name: rows(load_ood(name, images).images) for name in names}
    train, test = rows(images.train.images), rows(images.test.images)
    return Toy(data, train, images.train.labels, test, images.test.labels, sets, images.class_names)

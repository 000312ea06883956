"""Samples: what a network said about one set of images, as frozen numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np

from isomax_viz._common.checks import check_column, check_labels, check_matrix

__all__ = ["Samples", "frozen", "in_blocks", "log_softmax"]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of softmax along the last axis, stable for any finite logits.

    Parameters
    ----------
    logits : ndarray, shape (n, classes)

    Returns
    -------
    ndarray, shape (n, classes)
        In the dtype of the logits, natural logarithm.

    Examples
    --------
    >>> log_softmax(np.array([[0.0, -1000.0]])).tolist()
    [[0.0, -1000.0]]
    """
    largest = logits.argmax(axis=-1)[..., None]
    with np.errstate(over="ignore"):
        shifted = logits - np.take_along_axis(logits, largest, axis=-1)
    # Logits farther apart than any number: minus infinity times the probability 0 would be no number.
    np.maximum(shifted, np.finfo(shifted.dtype).min, out=shifted)
    others = np.exp(shifted)
    # Without the 1 of the largest class, in whose rounding the others would drown: entropies near 0 stay exact.
    np.put_along_axis(others, largest, 0.0, axis=-1)
    shifted -= np.log1p(others.sum(axis=-1, keepdims=True))
    return shifted


def frozen(array: np.ndarray | None) -> np.ndarray | None:
    """Return a read-only view of an array."""
    if array is None:
        return None
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """What the network said about one set of images; all arrays are read-only and share their first axis.

    Arrays that somebody may still write to are copied, others (a mapped file, arrays of other samples) are not.

    Parameters
    ----------
    logits : array, shape (n, classes)
        What the head gives for detection: temperature 1, no entropic scale (float32).
    labels : array of int, shape (n,)
        Class of each image, -1 for out-of-distribution images.
    features : array, shape (n, features), optional
        Input of the head (penultimate features).
    distances : array, shape (n, classes), optional
        Feature-prototype distances without any learned scale (for IsoMax+ between unit vectors). For SoftMax, which has
        no prototypes, distances to the class means of the training features.
    predictions : array of int, shape (n,), optional
        Argmax of the class logits; by default argmax of ``logits``. They differ for IsoMax2, whose class logits are
        scaled and tilted per class.
    extra_scores : mapping of str to array of float, shape (n,), optional
        Scores by name that cannot be computed from what stands above, because they need the network, its gradients or
        its training features (:func:`isomax_viz.add_scores`); higher = more in-distribution.

    Raises
    ------
    ValueError
        If shapes disagree, labels are out of range, or a value is NaN or infinite.

    Examples
    --------
    >>> samples = Samples(logits=[[2.0, 0.0], [0.5, 0.5]], labels=[0, 1])
    >>> samples
    Samples(n=2, classes=2, no features, no distances)
    >>> samples.max_probabilities.round(3).tolist()
    [0.8809999823570251, 0.5]
    """

    logits: np.ndarray
    labels: np.ndarray
    features: np.ndarray | None = None
    distances: np.ndarray | None = None
    predictions: np.ndarray | None = None
    extra_scores: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        logits = check_matrix("logits", self.logits, own=True)
        n, classes = logits.shape
        if classes < 2:
            raise ValueError(
                f"logits must have at least 2 columns, one per class, but has shape {logits.shape}. "
                "Out-of-distribution scores compare classes; a single one leaves nothing to compare."
            )
        values = {"logits": logits, "labels": check_labels("labels", self.labels, rows=n, classes=classes)}
        if self.features is not None:
            values["features"] = check_matrix("features", self.features, rows=n, own=True)
        if self.distances is not None:
            values["distances"] = check_matrix("distances", self.distances, rows=n, columns=classes, own=True)
        predictions = logits.argmax(axis=1) if self.predictions is None else self.predictions
        values["predictions"] = check_labels("predictions", predictions, rows=n, classes=classes)
        for name, array in values.items():
            object.__setattr__(self, name, frozen(array))
        columns = {
            name: check_column(f"extra_scores[{name!r}]", column, rows=n) for name, column in self.extra_scores.items()
        }
        object.__setattr__(self, "extra_scores", columns)

    @classmethod
    def _unread(cls, *, extra_scores: Mapping[str, np.ndarray] | None = None, **arrays: np.ndarray) -> Samples:
        """Build from arrays that lie on the disk, where they are left; all but their values is checked."""
        n, classes = arrays["logits"].shape
        wanted = {"logits": (n, classes), "labels": (n,), "predictions": (n,), "distances": (n, classes)}
        if "features" in arrays:
            wanted["features"] = (n, *arrays["features"].shape[1:2])
        for name in ("labels", "predictions", *arrays):
            array = arrays[name]
            dtype = np.int64 if name in ("labels", "predictions") else np.float32
            if array.shape != wanted[name] or array.dtype != dtype:
                raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}")
        for name, column in (extra_scores or {}).items():
            if column.shape != (n,) or column.dtype not in (np.float32, np.float64):
                raise ValueError(f"the column {name} has shape {column.shape} and dtype {column.dtype}")
        samples = object.__new__(cls)
        for item in fields(cls):
            object.__setattr__(samples, item.name, frozen(arrays.get(item.name)))
        object.__setattr__(samples, "extra_scores", {k: frozen(v) for k, v in (extra_scores or {}).items()})
        return samples

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        parts = [f"n={len(self):,}", f"classes={self.classes}"]
        for name in ("features", "distances"):
            array = getattr(self, name)
            parts.append(f"no {name}" if array is None else f"{name}={array.shape[1]}")
        parts += [f"scores {', '.join(self.extra_scores)}"] if self.extra_scores else []
        return f"Samples({', '.join(parts)})"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.logits.shape[1]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits at temperature 1, shape (n, classes)."""
        return frozen(np.exp(log_softmax(self.logits)))

    @cached_property
    def max_probabilities(self) -> np.ndarray:
        """Largest probability of each sample, shape (n,)."""
        return frozen(in_blocks(lambda logits: np.exp(log_softmax(logits).max(axis=1)), self.logits))

    @cached_property
    def entropies(self) -> np.ndarray:
        """Entropy of the probabilities of each sample in nats, shape (n,); through log-softmax, so never NaN."""
        # A saturated softmax gives -0.0; "+ 0.0" turns it into 0.0 for tables and log axes.
        return frozen(in_blocks(_entropies, self.logits) + 0.0)

    @cached_property
    def min_distances(self) -> np.ndarray:
        """Distance to the nearest prototype, shape (n,).

        Raises
        ------
        ValueError
            If the samples carry no distances.
        """
        if self.distances is None:
            raise ValueError(
                "These samples carry no feature-prototype distances. Pass distances=... when building them, or record "
                "them from the network with Experiment.run()."
            )
        return frozen(self.distances.min(axis=1))

    @property
    def accuracy(self) -> float:
        """Share of labelled samples that are classified correctly, in [0, 1]; NaN if none is labelled."""
        known = self.labels >= 0
        return float((self.predictions[known] == self.labels[known]).mean()) if known.any() else float("nan")

    @cached_property
    def intra_logits(self) -> np.ndarray:
        """Logit of each labelled sample's own class, shape (labelled samples,)."""
        known = np.flatnonzero(self.labels >= 0)
        return frozen(self.logits[known, self.labels[known]])

    @cached_property
    def inter_logits(self) -> np.ndarray:
        """Logits of all other classes of the labelled samples, shape (labelled samples * (classes - 1),)."""
        return frozen(_others(self.logits, self.labels))

    @cached_property
    def intra_distances(self) -> np.ndarray:
        """Distance of each labelled sample to its own prototype, shape (labelled samples,)."""
        self.min_distances  # noqa: B018 - raises where there are no distances
        known = np.flatnonzero(self.labels >= 0)
        return frozen(self.distances[known, self.labels[known]])

    @cached_property
    def inter_distances(self) -> np.ndarray:
        """Distances of the labelled samples to all other prototypes."""
        self.min_distances  # noqa: B018 - raises where there are no distances
        return frozen(_others(self.distances, self.labels))


def _entropies(logits: np.ndarray) -> np.ndarray:
    log_probabilities = log_softmax(logits)
    return -(np.exp(log_probabilities) * log_probabilities).sum(axis=1)


def in_blocks(
    function: Callable[[np.ndarray], np.ndarray], matrix: np.ndarray, dtype: type | None = None
) -> np.ndarray:
    """Apply a function of rows to blocks that fit the processor's cache: less memory, and faster for many rows."""
    rows = max(1, 65_536 // matrix.shape[1])
    result = np.empty(len(matrix), dtype=dtype or matrix.dtype)
    for start in range(0, len(matrix), rows):
        result[start : start + rows] = function(matrix[start : start + rows])
    return result


def _others(matrix: np.ndarray, labels: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(labels >= 0)
    mask = np.ones((len(known), matrix.shape[1]), dtype=bool)
    mask[np.arange(len(known)), labels[known]] = False
    return matrix[known][mask]

"""Samples: what a network said about one set of images, as frozen numpy arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np

from isomax_viz._common.checks import Sealed, check_column, check_labels, check_matrix, check_names

__all__ = ["Samples", "are_log_probabilities", "frozen", "in_blocks", "log_softmax"]


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
    shifted, others, _ = _above_others(logits)
    shifted -= np.log1p(others.sum(axis=-1, keepdims=True))
    return shifted


def _above_others(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the logits minus the largest one, the exponentials of these but for the largest one's, and the largest."""
    place = logits.argmax(axis=-1)[..., None]
    largest = np.take_along_axis(logits, place, axis=-1)
    with np.errstate(over="ignore"):
        shifted = logits - largest
    # Logits farther apart than any number: minus infinity times the probability 0 would be no number.
    np.maximum(shifted, np.finfo(shifted.dtype).min, out=shifted)
    others = np.exp(shifted)
    # Without the 1 of the largest class, in whose rounding the others would drown: entropies near 0 stay exact.
    np.put_along_axis(others, place, 0.0, axis=-1)
    return shifted, others, largest


def frozen(array: np.ndarray) -> np.ndarray:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


def _sum_to(total: float, rows: np.ndarray) -> bool:
    return bool((np.abs(rows.sum(axis=1, dtype=np.float64) - total) < 1e-3 * total).all())


def _are_probabilities(logits: np.ndarray) -> bool:
    # The first rows decide nearly always. Zeros and ones alone may be logits, too.
    def sum_to(total: float) -> bool:
        return all((rows >= 0).all() and _sum_to(total, rows) for rows in (logits[:100], logits))

    return (sum_to(1) or sum_to(100)) and bool((logits % 1).any())


def are_log_probabilities(logits: np.ndarray) -> bool:
    """Return whether the logits are logarithms of probabilities, as log_softmax gives them.

    Examples
    --------
    >>> are_log_probabilities(np.log([[0.25, 0.75]])), are_log_probabilities(np.array([[0.25, 0.75]]))
    (True, False)
    """
    if not all((rows <= 0).all() and _sum_to(1, np.exp(rows)) for rows in (logits[:100], logits)):
        return False
    # Of samples that are all decided, logits may have zero as their largest, too.
    return bool((logits.max(axis=1) < -1e-3).any())


def _check_meaning(logits: np.ndarray, *, warn: bool) -> None:
    """Refuse probabilities, and warn of their logarithms; one row may be either by chance."""
    if len(logits) > 1 and _are_probabilities(logits):
        raise ValueError(
            "logits must be what the network gives before softmax, but each row is positive and sums to 1 (or 100): "
            "these are probabilities. Pass the raw outputs, or np.log(probabilities), with which scores of "
            "probabilities (mps, es) are right and scores of logits (energy, max_logit) are not."
        )
    if warn and len(logits) > 1 and are_log_probabilities(logits):
        warnings.warn(
            "The logits are logarithms of probabilities: scores of probabilities (mps, es) are right, but energy is "
            "the same for every sample and max_logit orders as mps. Pass the outputs before log_softmax if you can.",
            stacklevel=5,
        )


# What samples may lack, and how to get it.
_REMEDIES = {
    "logits": "Name a score that they carry: {}; or build them with logits (Capture.from_arrays, iv.record).",
    "features": "Pass features=... when building them, or record them from the network (iv.record, Experiment.run()).",
    "predictions": "Pass predictions=..., or logits.",
    "distances": "Pass distances=... when building them, or record them: iv.record(..., train=data), Experiment.run().",
}
_CALLED = {"distances": "feature-prototype distances"}


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Sealed):
    """What the network said about one set of images; all arrays are read-only and share their first axis.

    Arrays that somebody may still write to are copied, others (a mapped file, arrays of other samples) are not.

    Parameters
    ----------
    logits : array, shape (n, classes), or None
        What the head gives for detection: temperature 1, no entropic scale (float32). None where nothing but scores is
        known (:func:`isomax_viz.from_scores`).
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
        its training features (:func:`isomax_viz.add_scores`); higher = more in-distribution. They go before computed
        scores of the same name.

    Raises
    ------
    ValueError
        If shapes disagree, labels are out of range, a value is NaN or infinite, or the logits are probabilities.

    Warns
    -----
    UserWarning
        If the logits are logarithms of probabilities.

    Examples
    --------
    >>> samples = Samples(logits=[[2.0, 0.0], [0.5, 0.5]], labels=[0, 1])
    >>> samples
    Samples(n=2, classes=2, no features, no distances)
    >>> samples.max_probabilities.round(3).tolist()
    [0.8809999823570251, 0.5]
    """

    logits: np.ndarray | None
    labels: np.ndarray
    features: np.ndarray | None = None
    distances: np.ndarray | None = None
    predictions: np.ndarray | None = None
    extra_scores: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Read-only arrays come from other samples mostly, whose maker was warned.
        is_new = not isinstance(self.logits, np.ndarray) or self.logits.flags.writeable
        self.__dict__.update({name: frozen(array) for name, array in self._checked().items()})
        given = check_names("extra_scores", self.extra_scores, "scores").items()
        columns = {name: check_column(f"extra_scores[{name!r}]", column, rows=len(self)) for name, column in given}
        self.__dict__["extra_scores"] = columns
        if self.logits is not None:
            _check_meaning(self.logits, warn=is_new)

    def _checked(self) -> dict[str, np.ndarray]:
        values, predictions = {}, self.predictions
        if self.logits is None:
            self._check_alone()
            n, classes = len(self.labels), 2**31
        else:
            logits = values["logits"] = check_matrix("logits", self.logits, own=True)
            n, classes = logits.shape
            if classes < 2:
                raise ValueError(
                    f"logits must have at least 2 columns, one per class, but has shape {logits.shape}. "
                    "Out-of-distribution scores compare classes; a single one leaves nothing to compare."
                )
            if predictions is None:  # in blocks, because NumPy's argmax copies what is read-only
                predictions = in_blocks(lambda rows: rows.argmax(axis=1), logits)
        for name, labels in (("labels", self.labels), ("predictions", predictions)):
            if labels is not None:
                values[name] = check_labels(name, labels, rows=n, classes=classes)
        for name, columns in (("features", None), ("distances", classes)):
            if getattr(self, name) is not None:
                values[name] = check_matrix(name, getattr(self, name), rows=n, columns=columns, own=True)
        return values

    def _check_alone(self) -> None:
        for name in ("features", "distances"):
            if getattr(self, name) is not None:
                raise ValueError(f"logits is None, but {name} is given. Give the logits too, or leave {name} out.")
        if not self.extra_scores:
            raise ValueError("logits is None, and there are no extra_scores. Give logits, or iv.from_scores(...).")

    @classmethod
    def _unread(cls, *, extra_scores: Mapping[str, np.ndarray] | None = None, **arrays: np.ndarray) -> Samples:
        """Build from arrays that lie on the disk, where they are left; all but their values is checked."""
        found = {item.name: arrays.get(item.name) for item in fields(cls) if item.name != "extra_scores"}
        logits, features = found["logits"], found["features"]
        n, classes = len(arrays["labels"]), 0 if logits is None else logits.shape[1]
        pairs = {"logits": classes, "distances": classes, "features": 0 if features is None else features.shape[1]}
        for name, array in found.items():
            if array is None and not (name == "predictions" and logits is not None):
                continue
            wanted = ((n, pairs[name]), np.float32) if name in pairs else ((n,), np.int64)
            if array is None or (array.shape, array.dtype) != wanted:
                raise ValueError(f"{name} does not have the shape {wanted[0]} of the samples")
        for name, column in (extra_scores or {}).items():
            if column.shape != (n,) or column.dtype not in (np.float32, np.float64):
                raise ValueError(f"the column {name} has shape {column.shape} and dtype {column.dtype}")
        samples = object.__new__(cls)
        samples.__dict__.update({name: None if array is None else frozen(array) for name, array in found.items()})
        samples.__dict__["extra_scores"] = {k: frozen(v) for k, v in (extra_scores or {}).items()}
        return samples

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        parts = [f"n={len(self):,}"]
        for name, called in (("logits", "classes"), ("features", "features"), ("distances", "distances")):
            array = getattr(self, name)
            parts.append(f"no {name}" if array is None else f"{called}={array.shape[1]}")
        parts += [f"scores {', '.join(self.extra_scores)}"] if self.extra_scores else []
        return f"Samples({', '.join(parts)})"

    def every(self, n: int) -> Samples:
        """Return every n-th sample from the first on.

        Examples
        --------
        >>> Samples(logits=[[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]], labels=[0, 1, 1]).every(2).labels.tolist()
        [0, 1]
        """
        arrays = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "extra_scores"}
        kept = {name: array[::n] for name, array in arrays.items() if array is not None}
        return replace(self, **kept, extra_scores={name: column[::n] for name, column in self.extra_scores.items()})

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.require("logits").shape[1]

    def require(self, name: str, *, of: str = "These samples") -> np.ndarray:
        """Return the logits, features or distances; where they are missing, say of what, and what to do.

        Raises
        ------
        ValueError
            If the samples do not carry them.

        Examples
        --------
        >>> Samples(logits=[[2.0, 0.0]], labels=[0]).require("logits").tolist()
        [[2.0, 0.0]]
        """
        array = getattr(self, name)
        if array is None:
            columns = ", ".join(f"score={key!r}" for key in self.extra_scores)
            raise ValueError(f"{of} carry no {_CALLED.get(name, name)}. {_REMEDIES[name].format(columns)}")
        return array

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits at temperature 1, shape (n, classes)."""
        return frozen(np.exp(log_softmax(self.require("logits"))))

    @cached_property
    def max_probabilities(self) -> np.ndarray:
        """Largest probability of each sample, shape (n,)."""
        return frozen(np.exp(-self._softmax[:, 1]))

    @cached_property
    def entropies(self) -> np.ndarray:
        """Entropy of the probabilities of each sample in nats, shape (n,); through log-softmax, so never NaN."""
        return frozen(self._softmax[:, 2])

    @cached_property
    def energies(self) -> np.ndarray:
        """Logarithm of the sum of the exponentials of the logits, shape (n,)."""
        return frozen(self._softmax[:, :2].sum(axis=1))

    @cached_property
    def _softmax(self) -> np.ndarray:
        """Largest logit, logarithm of the sum of all exponentials above its own, entropy: one pass for all scores."""
        return in_blocks(_summed_up, self.require("logits"))

    @cached_property
    def min_distances(self) -> np.ndarray:
        """Distance to the nearest prototype, shape (n,).

        Raises
        ------
        ValueError
            If the samples carry no distances.
        """
        return frozen(self.require("distances").min(axis=1))

    @property
    def accuracy(self) -> float:
        """Share of labelled samples that are classified correctly, in [0, 1]; NaN if none is labelled."""
        known = self.labels >= 0
        if self.predictions is None:
            return float("nan")
        return float((self.predictions[known] == self.labels[known]).mean()) if known.any() else float("nan")

    @cached_property
    def intra_logits(self) -> np.ndarray:
        """Logit of each labelled sample's own class, shape (labelled samples,)."""
        known = np.flatnonzero(self.labels >= 0)
        return frozen(self.require("logits")[known, self.labels[known]])

    @cached_property
    def inter_logits(self) -> np.ndarray:
        """Logits of all other classes of the labelled samples, shape (labelled samples * (classes - 1),)."""
        return frozen(_others(self.require("logits"), self.labels))

    @cached_property
    def intra_distances(self) -> np.ndarray:
        """Distance of each labelled sample to its own prototype, shape (labelled samples,)."""
        known = np.flatnonzero(self.labels >= 0)
        return frozen(self.require("distances")[known, self.labels[known]])

    @cached_property
    def inter_distances(self) -> np.ndarray:
        """Distances of the labelled samples to all other prototypes."""
        return frozen(_others(self.require("distances"), self.labels))


def _summed_up(logits: np.ndarray) -> np.ndarray:
    shifted, others, largest = _above_others(logits)
    rest = others.sum(axis=1)
    log_sum = np.log1p(rest)
    others *= shifted  # no term of the entropy is below 0, so none takes digits from another
    return np.stack([largest[:, 0], log_sum, log_sum - others.sum(axis=1) / (1 + rest)], axis=1)


def in_blocks(function: Callable[[np.ndarray], np.ndarray], matrix: np.ndarray) -> np.ndarray:
    """Apply a function of rows to blocks that fit the processor's cache: less memory, and faster for many rows."""
    rows = max(1, 65_536 // matrix.shape[1])
    return np.concatenate([function(matrix[start : start + rows]) for start in range(0, max(1, len(matrix)), rows)])


def _others(matrix: np.ndarray, labels: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(labels >= 0)
    mask = np.ones((len(known), matrix.shape[1]), dtype=bool)
    mask[np.arange(len(known)), labels[known]] = False
    return matrix[known][mask]

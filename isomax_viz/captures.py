"""Samples and Capture: the frozen numpy record of what a network said about its images.

A capture is all that scores, metrics, tables, figures and widgets know. It needs neither the network nor PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._checks import as_numeric, check_choice, check_labels, check_matrix

__all__ = ["Capture", "CaptureError", "DamagedCaptureError", "Samples", "log_softmax"]

FORMAT = "isomax_viz.capture"
FORMAT_VERSION = 1
_ARRAYS = ("logits", "labels", "features", "distances", "predictions")


class CaptureError(ValueError):
    """A capture file is damaged, foreign, or written by a newer version."""


class DamagedCaptureError(CaptureError):
    """A capture file is damaged; what it held can be recorded again."""


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
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _frozen(array: np.ndarray | None) -> np.ndarray | None:
    if array is None:
        return None
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """What the network said about one set of images; all arrays are read-only and share their first axis.

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

    def __post_init__(self) -> None:
        logits = check_matrix("logits", self.logits)
        n, classes = logits.shape
        if classes < 2:
            raise ValueError(
                f"logits must have at least 2 columns, one per class, but has shape {logits.shape}. "
                "Out-of-distribution scores compare classes; a single one leaves nothing to compare."
            )
        values = {"logits": logits, "labels": check_labels("labels", self.labels, rows=n, classes=classes)}
        if self.features is not None:
            values["features"] = check_matrix("features", self.features, rows=n)
        if self.distances is not None:
            values["distances"] = check_matrix("distances", self.distances, rows=n, columns=classes)
        predictions = logits.argmax(axis=1) if self.predictions is None else self.predictions
        values["predictions"] = check_labels("predictions", predictions, rows=n, classes=classes)
        for name, array in values.items():
            object.__setattr__(self, name, _frozen(array))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        parts = [f"n={len(self):,}", f"classes={self.classes}"]
        for name in ("features", "distances"):
            array = getattr(self, name)
            parts.append(f"no {name}" if array is None else f"{name}={array.shape[1]}")
        return f"Samples({', '.join(parts)})"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.logits.shape[1]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits at temperature 1, shape (n, classes)."""
        return _frozen(np.exp(log_softmax(self.logits)))

    @cached_property
    def max_probabilities(self) -> np.ndarray:
        """Largest probability of each sample, shape (n,)."""
        return _frozen(np.exp(log_softmax(self.logits).max(axis=1)))

    @cached_property
    def entropies(self) -> np.ndarray:
        """Entropy of the probabilities of each sample in nats, shape (n,); through log-softmax, so never NaN."""
        log_probabilities = log_softmax(self.logits)
        entropies = -(np.exp(log_probabilities) * log_probabilities).sum(axis=1)
        # A saturated softmax gives -0.0; "+ 0.0" turns it into 0.0 for tables and log axes.
        return _frozen(entropies + 0.0)

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
        return _frozen(self.distances.min(axis=1))

    @property
    def accuracy(self) -> float:
        """Share of labelled samples that are classified correctly, in [0, 1]; NaN if none is labelled."""
        known = self.labels >= 0
        return float((self.predictions[known] == self.labels[known]).mean()) if known.any() else float("nan")

    @cached_property
    def intra_logits(self) -> np.ndarray:
        """Logit of each labelled sample's own class, shape (labelled samples,)."""
        known = np.flatnonzero(self.labels >= 0)
        return _frozen(self.logits[known, self.labels[known]])

    @cached_property
    def inter_logits(self) -> np.ndarray:
        """Logits of all other classes of the labelled samples, shape (labelled samples * (classes - 1),)."""
        return _frozen(_others(self.logits, self.labels))

    @cached_property
    def intra_distances(self) -> np.ndarray:
        """Distance of each labelled sample to its own prototype, shape (labelled samples,)."""
        self.min_distances  # noqa: B018 - raises where there are no distances
        known = np.flatnonzero(self.labels >= 0)
        return _frozen(self.distances[known, self.labels[known]])

    @cached_property
    def inter_distances(self) -> np.ndarray:
        """Distances of the labelled samples to all other prototypes."""
        self.min_distances  # noqa: B018 - raises where there are no distances
        return _frozen(_others(self.distances, self.labels))


def _copied(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if array is None else as_numeric(name, array).copy() for name, array in arrays.items()}


def _others(matrix: np.ndarray, labels: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(labels >= 0)
    mask = np.ones((len(known), matrix.shape[1]), dtype=bool)
    mask[np.arange(len(known)), labels[known]] = False
    return matrix[known][mask]


@dataclass(frozen=True, eq=False, repr=False)
class Capture:
    """One network's record: in-distribution test (and training) samples, out-of-distribution sets, provenance.

    Parameters
    ----------
    test : Samples
        In-distribution test samples.
    ood : mapping of str to Samples
        Out-of-distribution sets by name; their labels are -1.
    train : Samples, optional
        In-distribution training samples (without augmentation).
    meta : mapping, optional
        Provenance: loss, data, backbone, seed, preset, versions ... JSON values only.
    history : DataFrame, optional
        One row per epoch and split, see :func:`isomax_viz.learning.training.train`.
    prototypes : array, shape (classes, features), optional
        The head's prototypes (for IsoMax+ before normalisation), for SoftMax the class means of the training features.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 3.0]], [0, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> capture
    Capture(SoftMax: test 2, ood mine 1)
    """

    test: Samples
    ood: Mapping[str, Samples] = field(default_factory=dict)
    train: Samples | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    history: pd.DataFrame | None = None
    prototypes: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, samples in self.ood.items():
            if name in ("train", "test"):
                raise ValueError(f"ood={name!r} is the name of the in-distribution samples. Give the set another name.")
            if not name:
                raise ValueError("An out-of-distribution set has an empty name. Name it, such as ood={'letters': ...}.")
            if samples.classes != self.test.classes:
                raise ValueError(
                    f"ood[{name!r}] has logits for {samples.classes} classes, but test has {self.test.classes}. "
                    "Record both with the same network."
                )
        if self.prototypes is not None:
            prototypes = check_matrix("prototypes", self.prototypes, rows=self.test.classes)
            object.__setattr__(self, "prototypes", _frozen(prototypes))
        object.__setattr__(self, "ood", dict(self.ood))
        object.__setattr__(self, "meta", dict(self.meta))

    def __repr__(self) -> str:
        from isomax_viz.style import loss_style

        where = [str(self.meta[key]) for key in ("data", "backbone", "preset") if self.meta.get(key)]
        parts = [f"test {len(self.test):,}"]
        if self.ood:
            parts.append("ood " + ", ".join(f"{name} {len(samples):,}" for name, samples in self.ood.items()))
        head = " · ".join([loss_style(self.loss).label, *where])
        return f"Capture({head}: {', '.join(parts)})"

    @property
    def loss(self) -> str:
        """Key of the loss the network was trained with, ``"unknown"`` if nobody said."""
        return str(self.meta.get("loss") or "unknown")

    @property
    def samples(self) -> dict[str, Samples]:
        """All sets by name: ``train`` (if recorded), ``test``, then the out-of-distribution sets."""
        known = {"train": self.train, "test": self.test}
        return {name: value for name, value in known.items() if value is not None} | dict(self.ood)

    def replace(self, **changes: Any) -> Capture:
        """Return a copy with some fields replaced.

        Examples
        --------
        >>> capture = Capture.from_arrays([[3.0, 0.0]], [0])
        >>> capture.replace(meta={"loss": "isomax+"}).loss
        'isomax+'
        """
        return Capture(**({item.name: getattr(self, item.name) for item in fields(self)} | changes))

    @classmethod
    def from_arrays(
        cls,
        logits: Any,
        labels: Any,
        *,
        ood: Mapping[str, Any] | None = None,
        features: Any = None,
        distances: Any = None,
        loss: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Capture:
        """Build a capture from your own arrays (numpy, lists or tensors).

        Parameters
        ----------
        logits : array, shape (n, classes)
            In-distribution test logits at temperature 1.
        labels : array of int, shape (n,)
            In-distribution classes.
        ood : mapping, optional
            Name to logits of shape (m, classes), to a mapping with the keys ``logits``, ``features``, ``distances``, or
            to :class:`Samples`.
        features, distances : array, optional
            Of the in-distribution test samples; see :class:`Samples`.
        loss : str, optional
            Key of the loss, for colours and titles.
        meta : mapping, optional
            Further provenance.

        Returns
        -------
        Capture

        Examples
        --------
        >>> Capture.from_arrays([[3.0, 0.0]], [0], ood={"mine": {"logits": [[0.2, 0.1]], "distances": [[1.0, 1.1]]}})
        Capture(unknown loss: test 1, ood mine 1)
        """
        # Copies: a record must not change when the caller's arrays do.
        test = Samples(**_copied({"logits": logits, "features": features, "distances": distances}), labels=labels)
        sets = {}
        for name, value in (ood or {}).items():
            if isinstance(value, Samples):
                sets[name] = value
                continue
            arrays = dict(value) if isinstance(value, Mapping) else {"logits": value}
            for key in arrays:
                check_choice(f"a key of ood[{name!r}]", key, ("logits", "features", "distances", "predictions"))
            if "logits" not in arrays:
                raise ValueError(
                    f"ood[{name!r}] must hold 'logits', but holds {', '.join(map(repr, arrays)) or 'nothing'}."
                )
            arrays["logits"] = check_matrix(f"ood[{name!r}]", arrays["logits"], columns=test.classes)
            sets[name] = Samples(**_copied(arrays), labels=np.full(len(arrays["logits"]), -1))
        return cls(test=test, ood=sets, meta={**(meta or {}), **({"loss": loss} if loss else {})})

    def to_frame(self) -> pd.DataFrame:
        """Return one tidy row per sample.

        Returns
        -------
        DataFrame
            Columns ``loss, set, ood (bool), index, label, prediction, max_probability, entropy, max_logit`` and, where
            recorded, ``min_distance``.

        Examples
        --------
        >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], ood={"mine": [[0.1, 0.0]]})
        >>> capture.to_frame()[["set", "label", "prediction"]]
            set  label  prediction
        0  test      0           0
        1  mine     -1           0
        """
        parts = []
        for name, samples in self.samples.items():
            columns = {
                "loss": self.loss,
                "set": name,
                "ood": name in self.ood,
                "index": np.arange(len(samples)),
                "label": samples.labels,
                "prediction": samples.predictions,
                "max_probability": samples.max_probabilities,
                "entropy": samples.entropies,
                "max_logit": samples.logits.max(axis=1),
            }
            if samples.distances is not None:
                columns["min_distance"] = samples.min_distances
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def save(self, path: str | Path) -> Path:
        """Write the capture as one safetensors file, atomically (the name appears only once it is complete).

        Returns
        -------
        Path
            Where it was written.

        Raises
        ------
        OSError
            If the place cannot be written; the message names it and what to do.
        """
        from safetensors.numpy import save

        path = Path(path).expanduser()
        arrays = {}
        for group, samples in self._groups().items():
            for name in _ARRAYS:
                if getattr(samples, name) is not None:
                    arrays[f"{group}/{name}"] = np.ascontiguousarray(getattr(samples, name))
        if self.prototypes is not None:
            arrays["prototypes"] = np.ascontiguousarray(self.prototypes)
        history = None if self.history is None else self.history.to_dict(orient="list")
        content = {"meta": self.meta, "history": history, "ood": list(self.ood)}
        document = json.dumps(content, default=_plain)
        header = {
            "format": FORMAT,
            "version": str(FORMAT_VERSION),
            "content": document,
            "sha256": _digest(arrays, document),
        }
        payload = save(arrays, metadata=header)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(payload)
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise OSError(
                f"The capture could not be written to {path}: {error.strerror or error}. Choose a folder that you may "
                "write to (for experiments: set ISOMAX_VIZ_STORE) and that has free space."
            ) from error
        return path

    def _groups(self) -> dict[str, Samples]:
        # Sets are numbered, not named, in the file: a set's name may hold any character.
        groups = {"test": self.test} | {f"ood{i}": samples for i, samples in enumerate(self.ood.values())}
        return groups if self.train is None else groups | {"train": self.train}

    @classmethod
    def load(cls, path: str | Path) -> Capture:
        """Read a capture written by :meth:`save`, verifying its checksum.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        CaptureError
            If the file is damaged, not a capture, or written by a newer version.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"There is no capture at {path}. Write one with capture.save(path).")
        try:
            with safe_open(path, framework="numpy") as file:
                header = file.metadata() or {}
                _check_header(path, header)
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if header["sha256"] != _digest(arrays, header["content"]):
                raise _damaged(path, "its checksum does not match")
            return cls._from_parts(arrays, json.loads(header["content"]))
        except (CaptureError, PermissionError):
            raise
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path, str(error)) from error

    @classmethod
    def _from_parts(cls, arrays: Mapping[str, np.ndarray], content: Mapping[str, Any]) -> Capture:
        groups: dict[str, dict[str, np.ndarray]] = {}
        for key, array in arrays.items():
            if "/" in key:
                group, name = key.split("/")
                groups.setdefault(group, {})[name] = array
        return cls(
            test=Samples(**groups["test"]),
            ood={name: Samples(**groups[f"ood{i}"]) for i, name in enumerate(content["ood"])},
            train=Samples(**groups["train"]) if "train" in groups else None,
            meta=content["meta"],
            history=None if content["history"] is None else pd.DataFrame(content["history"]),
            prototypes=arrays.get("prototypes"),
        )


def _check_header(path: Path, header: Mapping[str, str]) -> None:
    if header.get("format") != FORMAT:
        raise CaptureError(f"{path} is a safetensors file, but not a capture. Write captures with capture.save(path).")
    version = header.get("version", "")
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        raise CaptureError(
            f"{path} has capture format {version!r}; this version of isomax_viz reads up to {FORMAT_VERSION}. "
            "Update isomax_viz to open it."
        )


def _damaged(path: Path, reason: str) -> DamagedCaptureError:
    return DamagedCaptureError(
        f"{path} is damaged and was not read ({reason}). Delete it and record it again (for an experiment: "
        "Experiment.run() trains or records what is missing)."
    )


def _digest(arrays: Mapping[str, np.ndarray], document: str) -> str:
    digest = hashlib.sha256(document.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype.str}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Turn what json does not know (numpy numbers, tuples in models, paths) into plain values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"meta must hold JSON values only, but holds {value!r} of type {type(value).__name__}.")

"""Capture: the frozen numpy record of what a network said about its images.

A capture is all that scores, metrics, tables, figures and widgets know. It needs neither the network nor PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import (
    Sealed,
    check_choice,
    check_known,
    check_matrix,
    check_number,
    check_ood_names,
    missing_package,
)
from isomax_viz._common.files import new_entry
from isomax_viz.captures import files
from isomax_viz.captures.files import CaptureError, DamagedCaptureError
from isomax_viz.captures.provenance import loss_key
from isomax_viz.captures.samples import Samples, are_log_probabilities, log_softmax
from isomax_viz.catalog.style import loss_style

__all__ = ["Capture", "CaptureError", "DamagedCaptureError", "Samples", "log_softmax"]

_ROW_GROUP = 100_000  # rows of a Parquet file that a reader may skip at once


@dataclass(frozen=True, eq=False, repr=False)
class Capture(Sealed):
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
        One row per epoch and split, see :func:`isomax_viz.learning.training.loop.train`.
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
        sets = check_ood_names(self.ood, "Samples")
        for name in ("train", "test"):
            if getattr(self, name) is not None:
                _check_known(name, getattr(self, name))
        for name, samples in sets.items():
            if (samples.labels >= 0).any():
                raise ValueError(
                    f"ood[{name!r}] has labels of classes, but those of out-of-distribution samples are -1. Pass its "
                    "logits alone, or labels=np.full(len(logits), -1)."
                )
            _check_alike(f"ood[{name!r}]", samples, self.test)
        if self.train is not None:
            _check_alike("train", self.train, self.test)
        if self.prototypes is not None:
            own = check_matrix("prototypes", self.prototypes, rows=self.test.classes, own=True)
            self.__dict__["prototypes"] = own
        _check_keys(self.meta)
        self.__dict__.update(ood=sets, meta=dict(self.meta))

    def __repr__(self) -> str:
        where = [str(self.meta[key]) for key in ("data", "backbone", "preset") if self.meta.get(key)]
        ood = ", ".join(f"{name} {len(samples):,}" for name, samples in self.ood.items())
        head = " · ".join([loss_style(self.loss).label, *where])
        return f"Capture({head}: test {len(self.test):,}{', ood ' if ood else ''}{ood})"

    @property
    def loss(self) -> str:
        """Key of the loss the network was trained with, ``"unknown"`` if nobody said."""
        return loss_key(self.meta)

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

    def with_samples(self, changed: Mapping[str, Samples]) -> Capture:
        """Return a copy with the samples of some sets replaced.

        Examples
        --------
        >>> capture = Capture.from_arrays([[3.0, 0.0]], [0])
        >>> capture.with_samples({"test": Samples([[3.0, 0.0], [0.0, 1.0]], [0, 1])})
        Capture(unknown loss: test 2)
        """
        known = {name: changed.get(name, getattr(self, name)) for name in ("train", "test")}
        return self.replace(**known, ood={name: changed.get(name, samples) for name, samples in self.ood.items()})

    def every(self, n: int) -> Capture:
        """Return every n-th test and out-of-distribution sample, to compare with a capture that holds no more.

        ``meta["every"]`` says so, and the fingerprints of the whole sets are left out; training samples stay.

        Examples
        --------
        >>> Capture.from_arrays([[3.0, 0.0], [0.0, 3.0], [0.0, 1.0]], [0, 1, 1], ood={"mine": [[0.1, 0.0]]}).every(2)
        Capture(unknown loss: test 2, ood mine 1)
        """
        check_number("n", n, at_least=1, whole=True)
        told = {
            name: {key: value for key, value in what.items() if key != "fingerprint"}
            for name, what in self.meta.get("ood", {}).items()
        }
        meta = {**self.meta, "every": n * self.meta.get("every", 1)} | ({"ood": told} if told else {})
        ood = {name: samples.every(n) for name, samples in self.ood.items()}
        return self.replace(test=self.test.every(n), ood=ood, meta=meta)

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
        meta = {} if meta is None else meta
        _check_keys(meta)
        test = Samples(logits=logits, labels=labels, features=features, distances=distances)
        sets = {}
        for name, value in check_ood_names({} if ood is None else ood, "logits").items():
            if isinstance(value, Samples):
                sets[name] = value
                continue
            arrays = dict(value) if isinstance(value, Mapping) else {"logits": value}
            check_known(f"a key of ood[{name!r}]", arrays, ("logits", "features", "distances", "predictions"))
            if "logits" not in arrays:
                listed = ", ".join(map(repr, arrays)) or "nothing"
                raise ValueError(f"ood[{name!r}] must hold 'logits', but holds {listed}.")
            arrays["logits"] = check_matrix(f"ood[{name!r}]", arrays["logits"], columns=test.classes, own=True)
            sets[name] = Samples(**arrays, labels=np.full(len(arrays["logits"]), -1))
        return cls(test=test, ood=sets, meta={**meta, **({"loss": loss} if loss else {})})

    def to_frame(self) -> pd.DataFrame:
        """Return one tidy row per sample.

        Returns
        -------
        DataFrame
            Columns ``loss, set, ood (bool), index, label``, where there are logits ``prediction, max_probability,
            entropy, max_logit`` and, where recorded, ``min_distance`` and the samples' own score columns.

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
            columns = {"loss": self.loss, "set": name, "ood": name in self.ood, "index": np.arange(len(samples))}
            columns["label"] = samples.labels
            if samples.predictions is not None:
                columns["prediction"] = samples.predictions
            if samples.logits is not None:
                columns |= {"max_probability": samples.max_probabilities, "entropy": samples.entropies}
                columns["max_logit"] = samples.logits.max(axis=1)
            if samples.distances is not None:
                columns["min_distance"] = samples.min_distances
            columns |= {key: column for key, column in samples.extra_scores.items() if key not in columns}
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def to_parquet(self, path: str | Path, *, vectors: Iterable[str] = ()) -> Path:
        """Write one row per sample as a Parquet file, for DuckDB, polars, pandas and others.

        Parameters
        ----------
        path : str or Path
        vectors : iterable of {"logits", "features", "distances"}
            Arrays to write too, each as a column of lists; all sets must carry them.

        Returns
        -------
        Path
            Where it was written: the columns of :meth:`to_frame` and the vectors; ``meta`` is in the file's metadata.

        Raises
        ------
        ImportError
            If pyarrow is missing.
        ValueError
            If a set does not carry an array that is asked for.
        OSError
            If the place can't be written; the message names it and what to do.

        Examples
        --------
        DuckDB reads it by name: ``duckdb.sql("select ood, avg(entropy) from 'capture.parquet' group by ood")``.
        """
        names = check_known("vectors", vectors, ("logits", "features", "distances"))
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise missing_package("pyarrow", "write Parquet") from error
        path, frame = Path(path).expanduser(), self.to_frame()
        schema = pa.Schema.from_pandas(frame.iloc[:1], preserve_index=False)
        for name in names:
            missing = [key for key, samples in self.samples.items() if getattr(samples, name) is None]
            if missing:
                listed = ", ".join(map(repr, missing))
                raise ValueError(f"vectors={name!r} is not recorded in {listed}. Leave it out, or record it there too.")
            schema = schema.append(pa.field(name, pa.list_(pa.float32(), getattr(self.test, name).shape[1])))
        schema = schema.with_metadata({"isomax_viz": json.dumps(self.meta, default=str)})
        start, remedy = 0, "Choose a folder that you may write to and that has free space."
        with new_entry(path, remedy=remedy) as file, pq.ParquetWriter(file, schema) as writer:
            for samples in self.samples.values():
                table = pa.Table.from_pandas(frame.iloc[start : start + len(samples)], preserve_index=False)
                for name in names:
                    array = getattr(samples, name)
                    column = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
                    table = table.append_column(name, column)
                writer.write_table(table.cast(schema), row_group_size=_ROW_GROUP)
                start += len(samples)
        return path

    def save(self, path: str | Path, *, dtype: str = "float32") -> Path:
        """Write the capture as one safetensors file, atomically (the name appears only once it is complete).

        Parameters
        ----------
        path : str or Path
            Ends in ``.safetensors``. Missing folders are made.
        dtype : {"float32", "float16"}
            "float16" halves the file for sharing: about three digits of each value are kept, ``meta["stored_as"]`` says
            so, and loading gives float32 again. Score columns stay as they are: many differ in later digits only.

        Returns
        -------
        Path
            Where it was written.

        Raises
        ------
        OSError
            If the place cannot be written; the message names it and what to do.
        ValueError
            If the suffix is another one, or a value is too large for float16 (above 65,504).
        """
        check_choice("The suffix of path", Path(path).suffix.lower(), [".safetensors"])
        check_choice("dtype", dtype, ("float32", "float16"))
        arrays, content = files.pack(self.test, self.ood, self.train)
        if self.prototypes is not None:
            arrays["prototypes"] = self.prototypes
        meta, history = self.meta, None if self.history is None else self.history.to_dict(orient="list")
        if dtype == "float16":
            arrays, meta = files.narrowed(arrays), {**meta, "stored_as": dtype}
        return files.write_capture(Path(path).expanduser(), arrays, {"meta": meta, "history": history, **content})

    @classmethod
    def load(cls, path: str | Path, *, mmap: bool = False) -> Capture:
        """Read a capture written by :meth:`save`, verifying its checksum.

        Parameters
        ----------
        path : str or Path
        mmap : bool
            Leave the arrays on the disk until they are used: a capture of any size opens at once, and what several
            processes use is in memory once. Only the checksum of provenance, history, names and shapes is verified;
            that of the values would read them all, and is verified by loading without ``mmap`` or by
            :func:`isomax_viz.store.table.verify`. Windows lets nobody replace the file while it is mapped. Arrays of a
            file saved as float16 are widened on opening, and so read at once into this process's memory.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        OSError
            If the system can't read it, which does not mean that it is damaged.
        CaptureError
            If the file is damaged, not a capture, or written by a newer version.
        """
        path = Path(path).expanduser()
        arrays, content = files.read_capture(path, mmap=mmap)
        try:
            return cls(
                **files.unpack(arrays, content, checked=not mmap),
                meta=content["meta"],
                history=None if content["history"] is None else pd.DataFrame(content["history"]),
                prototypes=arrays.get("prototypes"),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise files.damaged(path, str(error)) from error


def _check_keys(meta: Any) -> None:
    """Refuse keys that are no text, at any depth: JSON would write 1 and "1" as one."""
    if not isinstance(meta, Mapping):
        raise TypeError(f"meta must map names to JSON values, but is {type(meta).__name__}.")
    parts: list[Any] = [meta]
    seen: set[int] = set()
    for part in parts:  # it grows meanwhile
        if id(part) in seen:
            continue
        seen.add(id(part))
        for key in part if isinstance(part, Mapping) else ():
            if not isinstance(key, str):
                raise TypeError(f"A key of meta must be text, but is {key!r}. Write it as such: {str(key)!r}.")
        inside = part.values() if isinstance(part, Mapping) else part
        parts += [item for item in inside if isinstance(item, (Mapping, list, tuple))]


def _check_known(part: str, samples: Samples) -> None:
    unknown = int((samples.labels < 0).sum())
    if 0 < unknown < len(samples):
        raise ValueError(
            f"{part} has {unknown:,} of {len(samples):,} labels of -1, which mark out-of-distribution samples. Keep "
            "the rows with labels >= 0 and pass the others as a set of their own: ood={'mine': logits[labels == -1]}."
        )


def _check_alike(which: str, samples: Samples, test: Samples) -> None:
    """Refuse a set that the network behind the test samples cannot have given."""
    if samples.logits is None or test.logits is None:
        if (samples.logits is None) != (test.logits is None):
            raise ValueError(f"One of test and {which} has logits, the other scores alone. Give both alike.")
        return
    if samples.classes != test.classes:
        classes = f"{which} has logits for {samples.classes} classes, but test has {test.classes}"
        raise ValueError(f"{classes}. Record both with the same network.")
    are_logs = [are_log_probabilities(item.require("logits")) for item in (samples, test)]
    if len(samples) > 1 and len(test) > 1 and are_logs[0] != are_logs[1]:
        this, other = (which, "test")[:: 1 if are_logs[0] else -1]
        remedy = "Pass both as the network gives them, before softmax and log_softmax."
        raise ValueError(f"The logits of {this} are logarithms of probabilities, those of {other} are not. {remedy}")

"""Where results live on disk: what is there, whether it is whole, how large it is, and one table over all of it.

:class:`Store` reads and writes single experiments; the functions here look at all of them. They take the store's
``folder``, by default :func:`default_folder`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_ood
from isomax_viz.analysis import tables
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.store.folder import Store, StoreError, default_folder

__all__ = ["Store", "StoreError", "default_folder", "frame", "list", "remove", "size", "verify"]

logger = logging.getLogger(__name__)

LISTED = {
    "id": "string",
    "data": "string",
    "backbone": "string",
    "loss": "string",
    "entropic_scale": "float64",
    "seed": "Int64",
    "preset": "string",
    "epochs": "Int64",
    "accuracy": "float64",
    "duration_s": "float64",
    "device": "string",
    "bytes": "int64",
    "created": "datetime64[s, UTC]",
}
# What `frame` tells of a training beside the columns of `evaluate`.
OF_TRAINING = ("epochs", "examples_per_class", "duration_s")
Folder = str | Path | Store | None

# What reading an experiment raises where it is damaged, foreign, newer or gone; CaptureError is a ValueError.
UNREADABLE = (StoreError, ValueError, OSError)


def list(folder: Folder = None) -> pd.DataFrame:  # hides the builtin in this module only
    """Return the stored experiments, one row each, oldest first; only manifests are read.

    Parameters
    ----------
    folder : str, Path or Store, optional
        By default :func:`default_folder`.

    Returns
    -------
    DataFrame
        ``id, data, backbone, loss`` (with extra data followed by its method, such as ``"softmax+oe"``),
        ``entropic_scale`` (missing where the loss has none), ``seed, preset, epochs,
        accuracy`` (of the test pictures, in [0, 1]), ``duration_s, device, bytes, created`` (UTC). An experiment whose
        manifest can't be read has a row with nothing but ``id``, ``bytes`` and ``created``, and a warning is logged.

    Examples
    --------
    >>> import tempfile
    >>> len(list(tempfile.mkdtemp()))
    0
    """
    store = Store(folder)
    rows = []
    for name in store.ids():
        try:
            rows.append(_row(store, name))
        except FileNotFoundError:
            continue  # removed by another process meanwhile
    table = pd.DataFrame(rows, columns=[*LISTED]).astype(LISTED)
    return table.sort_values(["created", "id"], ignore_index=True)


def _row(store: Store, experiment_id: str) -> dict[str, Any]:
    row: dict[str, Any] = {"id": experiment_id, "bytes": 0}
    try:
        files = [item.stat() for item in os.scandir(store.path(experiment_id)) if item.is_file()]
        row["bytes"] = sum(file.st_size for file in files)
        row["created"] = datetime.fromtimestamp(max(file.st_mtime for file in files), UTC)
        manifest = store.head(experiment_id)
    except (StoreError, PermissionError) as error:
        logger.warning("%s", error)
        return row
    experiment = manifest["experiment"]
    row |= {name: experiment[name] for name in ("data", "backbone", "loss", "seed", "preset")}
    if experiment.get("outliers"):
        row["loss"] = f"{row['loss']}+{experiment['outliers']}"
    row |= {name: manifest[name] for name in ("accuracy", "entropic_scale", "duration_s", "device")}
    row["epochs"] = manifest["protocol"]["epochs"]
    row["created"] = datetime.fromisoformat(manifest["created"]).astimezone(UTC)
    return row


def verify(id: str | None = None, *, folder: Folder = None) -> pd.DataFrame:
    """Read every file and compare it with its checksum.

    Parameters
    ----------
    id : str, optional
        One experiment; by default all, and folders that hold none.
    folder : str, Path or Store, optional
        By default :func:`default_folder`.

    Returns
    -------
    DataFrame
        One row per damaged or missing file, ``id, file, problem`` (a sentence that says what to do); empty if all is
        whole. ``attrs["experiments"]`` is the number of experiments that were looked at.

    Raises
    ------
    StoreError
        If the experiment is not in the store.

    Examples
    --------
    >>> import tempfile
    >>> verify(folder=tempfile.mkdtemp()).attrs
    {'experiments': 0}
    """
    store = Store(folder)
    names = _names(store) if id is None else [_present(store, id)]
    rows = [(name, *problem) for name in names for problem in _problems(store, name).items()]
    table = pd.DataFrame(rows, columns=["id", "file", "problem"])
    table.attrs["experiments"] = len(names)
    return table


def _names(store: Store) -> Sequence[str]:
    if not store.folder.is_dir():
        return []
    return sorted(item.name for item in os.scandir(store.folder) if item.is_dir() and store.is_id(item.name))


def _present(store: Store, experiment_id: str) -> str:
    if not os.path.isdir(store.path(experiment_id)) and experiment_id not in store:
        remedy = "iv.store.list() shows what is there."
        raise StoreError(f"There is no experiment {experiment_id} in {store.folder}. {remedy}")
    return experiment_id


def _problems(store: Store, experiment_id: str) -> dict[str, str]:
    found = {}
    try:
        manifest = store.head(experiment_id)
        for name in manifest["files"]:
            try:
                store.whole_file(experiment_id, name, manifest)
            except (StoreError, OSError) as error:
                found[name] = str(error)
    except StoreError as error:
        found["manifest.json"] = str(error)
    try:
        store.capture(experiment_id)
    except UNREADABLE as error:
        found["capture.safetensors"] = str(error)
    return found


def remove(id: str, *, folder: Folder = None) -> None:
    """Delete an experiment, and the state of its training if that is unfinished.

    Parameters
    ----------
    id : str
        From :func:`list` or ``Experiment(...).id``.
    folder : str, Path or Store, optional
        By default :func:`default_folder`.

    Raises
    ------
    StoreError
        If it is not in the store, or the store can't be written.
    ValueError
        If the id could lead out of the store.
    """
    store = Store(folder)
    if not any(map(os.path.isfile, (store.lock_path(id), store.checkpoint_path(id)))):  # nobody began to compute it
        _present(store, id)
    with store.lock(id):  # a training that is under way ends first
        if not os.path.isfile(store.checkpoint_path(id)):
            _present(store, id)
        store.remove(id)


def size(folder: Folder = None) -> int:
    """Return how many bytes the store takes, unfinished trainings included.

    Examples
    --------
    >>> import tempfile
    >>> size(tempfile.mkdtemp())
    0
    """
    total = 0
    for place, _, names in os.walk(Store(folder).folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except OSError:
                continue  # deleted or renamed by another process while we count, or another user's
    return total


def frame(
    which: str | Iterable[str] | None = None,
    *,
    scores: str | Callable[[Samples], np.ndarray] | Iterable[Any] = tables.DEFAULT_SCORES,
    ood: str | Iterable[str] | None = None,
    folder: Folder = None,
) -> pd.DataFrame:
    """Return the detection metrics of everything stored as one tidy table, for pandas.

    Parameters
    ----------
    which : str or iterable of str, optional
        Ids of experiments, and names of files of captures; by default all that is stored.
    scores, ood
        As in :func:`isomax_viz.evaluate`; experiments without a set that is asked for are left out.
    folder : str, Path or Store, optional
        By default :func:`default_folder`.

    Returns
    -------
    DataFrame
        ``id``, the columns of :func:`isomax_viz.evaluate`, then ``epochs, examples_per_class, duration_s``. One row per
        experiment, score and out-of-distribution set. What is damaged is left out, and a warning is logged for each;
        ``attrs["left_out"]`` names it. Captures are read one after the other, so memory holds one.

    Examples
    --------
    >>> import tempfile
    >>> frame(folder=tempfile.mkdtemp())[["id", "loss", "score", "AUROC"]]
    Empty DataFrame
    Columns: [id, loss, score, AUROC]
    Index: []
    """
    store = Store(folder)
    wanted = [ood] if isinstance(ood, str) else tables.as_names(ood)
    rows, seen, left_out = [], set(), []
    named = [which] if isinstance(which, str) else which
    there = store.ids()
    for name in there if named is None else named:
        if not os.path.isfile(name):
            check_choice("which", name, there, remedy="The path of a capture is taken too.")
        try:
            common, capture = _read(store, name)
        except UNREADABLE as error:
            logger.warning("%s is left out of the table: %s", name, error)
            left_out.append(name)
            continue
        seen |= set(capture.ood)
        chosen = [key for key in capture.ood if wanted is None or key in wanted]
        if chosen:
            part = tables.evaluate(capture, scores=scores, ood=chosen)
            rows += [common | row for row in part.to_dict("records")]
    if seen:
        check_ood(wanted, sorted(seen))
    table = pd.DataFrame(rows, columns=["id", *tables.EVALUATE_COLUMNS, *OF_TRAINING])
    table.attrs["left_out"] = left_out
    return table


def _read(store: Store, name: str) -> tuple[dict[str, Any], Capture]:
    if os.path.isfile(name):
        return {"id": name}, Capture.load(name)
    manifest = store.head(name)
    told = (manifest["protocol"]["epochs"], manifest["experiment"].get("examples_per_class"), manifest["duration_s"])
    return {"id": name, **dict(zip(OF_TRAINING, told, strict=True))}, store.capture(name)

"""Scores that were computed elsewhere become captures; from here on, higher = more in-distribution."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_labels, check_scores, missing_package
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples

__all__ = ["LIBRARIES", "Library", "from_labelled_scores", "from_scores", "read_scores"]


@dataclass(frozen=True)
class Library:
    """How a library writes scores.

    Attributes
    ----------
    higher : {"id", "ood"}
        Which samples have the higher scores.
    negative : bool
        Whether out-of-distribution samples have labels below 0; else they have 1 and the others 0.
    scores, labels : str
        What it calls both in a file.
    """

    higher: str
    negative: bool = False
    scores: str = "scores"
    labels: str = "labels"


LIBRARIES: dict[str, Library] = {
    "pytorch-ood": Library("ood", negative=True),
    "openood": Library("id", negative=True, scores="conf", labels="label"),
    **dict.fromkeys(("torch-uncertainty", "oodeel", "probly"), Library("ood")),
}


def _columns(scores: Any, name: str) -> dict[str, Any]:
    """Return arrays by the names of their scores."""
    if isinstance(scores, (Mapping, pd.DataFrame)):
        return {key: scores[key] for key in scores}
    return {name: scores}


def _sets(ood_scores: Any, names: list[str]) -> dict[str, Any]:
    """Return what each set has: arrays by the names of sets, or one set alone, called "ood"."""
    if not isinstance(ood_scores, Mapping):
        return {"ood": ood_scores}
    nested = any(isinstance(value, (Mapping, pd.DataFrame)) for value in ood_scores.values())
    # Where the known samples come by the names of scores, so does a single set.
    return {"ood": ood_scores} if not nested and list(ood_scores) == names else dict(ood_scores)


def _samples(
    parameter: str, columns: Mapping[str, Any], names: list[str], sign: int, labels: Any = None, predictions: Any = None
) -> Samples:
    if not columns or list(columns) != names:
        raise ValueError(
            f"{parameter} must have the scores {', '.join(map(repr, names)) or 'of any name'}, as id_scores has, but "
            f"has {', '.join(map(repr, columns)) or 'none'}. Give the same scores of every set."
        )
    checked = {key: sign * check_scores(f"{parameter}[{key!r}]", values) for key, values in columns.items()}
    labels = np.full(len(next(iter(checked.values()))), -1) if labels is None else labels
    return Samples(None, labels, predictions=predictions, extra_scores=checked)


def from_scores(
    id_scores: Any, ood_scores: Any, *, higher: str | None = None, library: str | None = None, name: str = "score"
) -> Capture:
    """Make a capture of scores alone: histogram, ROC, metrics, threshold and explorer work on it.

    What needs logits (entropies, calibration, computed scores such as ES) says that there are none.

    Parameters
    ----------
    id_scores : array, shape (n,), or mapping of str to array, or DataFrame
        Scores of in-distribution samples; several by their names.
    ood_scores : array, shape (m,), or mapping of str to array
        Scores of out-of-distribution samples; several sets by their names. Of several scores, a mapping (or DataFrame)
        with the names of ``id_scores``, or one such for each set.
    higher : {"id", "ood"}, optional
        Which samples have the higher scores; by default in-distribution. ``"ood"`` changes the sign of all.
    library : str, optional
        A key of :data:`LIBRARIES`, whose convention is taken.
    name : str
        Name of a single score.

    Returns
    -------
    Capture
        The scores are columns (``capture.test.extra_scores``), in float64 unless they came in float32;
        ``meta["scores"]`` says whether the sign was changed.

    Raises
    ------
    TypeError, ValueError
        If these are no finite numbers in one dimension, a set lacks a score, or a choice is unknown.

    Warns
    -----
    UserWarning
        If the scores of the known samples lie below those of every other set: the sign is likely wrong.

    Examples
    --------
    >>> capture = from_scores([0.9, 0.8, 0.7], [0.3, 0.75])
    >>> capture
    Capture(unknown loss: test 3, ood ood 2)
    >>> from isomax_viz import evaluate
    >>> evaluate(capture)[["score", "ood", "AUROC"]].round(3)
       score  ood  AUROC
    0  score  ood  0.833
    """
    return _capture(_columns(id_scores, name), ood_scores, higher=higher, library=library, name=name)


def _capture(
    known: dict[str, Any],
    ood_scores: Any,
    *,
    higher: str | None,
    library: str | None,
    name: str = "score",
    labels: Any = None,
    predictions: Any = None,
) -> Capture:
    if library is not None:
        own = LIBRARIES[check_choice("library", library, LIBRARIES)].higher
        if higher not in (None, own):
            raise ValueError(f"higher must be left out or {own!r} with library={library!r}, but is {higher!r}.")
        higher = own
    higher = check_choice("higher", higher or "id", ("id", "ood"))
    sign, names = (1 if higher == "id" else -1), list(known)
    test = _samples("id_scores", known, names, sign, labels, predictions)
    sets = {
        key: _samples(f"ood_scores[{key!r}]", _columns(part, name), names, sign)
        for key, part in _sets(ood_scores, names).items()
    }
    _warn_of_sign(test, sets, higher)
    said = "as they were given" if sign == 1 else "with their sign changed: given, higher meant out-of-distribution"
    return Capture(test=test, ood=sets, meta={"scores": said} | ({"library": library} if library else {}))


def _warn_of_sign(test: Samples, sets: dict[str, Samples], higher: str) -> None:
    for name, values in test.extra_scores.items():
        middle = np.median(values)
        if sets and all(np.median(samples.extra_scores[name]) > middle for samples in sets.values()):
            warnings.warn(
                f"The median of {name!r} says that the in-distribution samples are less in-distribution than every "
                f"other set. If the sign is wrong, pass higher={'ood' if higher == 'id' else 'id'!r}.",
                stacklevel=4,
            )


def from_labelled_scores(scores: Any, labels: Any, *, library: str, name: str = "score") -> Capture:
    """Make a capture of scores that come together with labels which say what is out-of-distribution.

    Parameters
    ----------
    scores : array, shape (n,)
    labels : array of int, shape (n,)
        As the library has them: for ``"pytorch-ood"`` and ``"openood"`` below 0 for out-of-distribution samples (each
        negative label is a set of its own), for the others 1 for these and 0 for the known ones.
    library : str
        A key of :data:`LIBRARIES`: which sign and which labels are meant.
    name : str
        Name of the score.

    Returns
    -------
    Capture
        See :func:`from_scores`.

    Raises
    ------
    TypeError, ValueError
        If shapes disagree, a score is not finite, or one of the two kinds is missing.

    Examples
    --------
    >>> capture = from_labelled_scores([-0.9, -0.8, -0.2], [3, 0, -1], library="pytorch-ood")
    >>> capture.test.extra_scores["score"].tolist(), capture.ood["ood"].extra_scores["score"].tolist()
    ([0.9, 0.8], [0.2])
    """
    convention = LIBRARIES[check_choice("library", library, LIBRARIES)]
    values = check_scores("scores", scores)
    numbers = check_labels("labels", labels, rows=len(values), classes=2**31, lowest=-(2**31))
    rule = "labels below 0 are OOD" if convention.negative else "labels of 1 are OOD, of 0 ID"
    unknown = numbers < 0 if convention.negative else numbers == 1
    if not convention.negative and not (unknown | (numbers == 0)).all():
        raise ValueError(f"labels range from {numbers.min()} to {numbers.max()}, but in {library}, {rule}.")
    if unknown.all() or not unknown.any():
        kind = "OOD" if unknown.all() else "ID"
        raise ValueError(f"labels must name samples of both kinds, but all are {kind}: in {library}, {rule}.")
    kinds = np.unique(numbers[unknown])[::-1]
    sets = {f"ood {kind}" if len(kinds) > 1 else "ood": values[numbers == kind] for kind in kinds}
    known = numbers[~unknown] if convention.negative else None
    return _capture({name: values[~unknown]}, sets, higher=None, library=library, name=name, labels=known)


def read_scores(
    source: str | Path | Mapping[str, Any],
    *,
    library: str,
    scores: str | None = None,
    labels: str | None = None,
    id_name: str | None = None,
) -> Capture:
    """Read a file of scores that another library wrote.

    Parameters
    ----------
    source : str, Path or mapping
        A file of named arrays (``.npz``, ``.csv``, ``.parquet``; ``.pt``, read with ``weights_only=True``) or a mapping
        of them, with scores and labels. For ``"openood"`` also its folder ``scores``, one ``.npz`` for each set, or
        ``evaluator.scores``.
    library : str
        A key of :data:`LIBRARIES`: which sign and which labels are meant.
    scores, labels : str, optional
        What both are called there; by default as the library has it, mostly ``"scores"`` and ``"labels"``.
    id_name : str, optional
        For a folder: which of its files holds the in-distribution samples, such as ``"cifar10"``.

    Returns
    -------
    Capture
        See :func:`from_scores`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a pickle (which could run code), of another kind, or lacks an array.

    Examples
    --------
    >>> read_scores({"scores": [0.1, 0.2, 0.9], "labels": [0, 0, 1]}, library="oodeel")
    Capture(unknown loss: test 2, ood ood 1)
    """
    convention = LIBRARIES[check_choice("library", library, LIBRARIES)]
    arrays = source
    if not isinstance(arrays, Mapping):
        path = Path(arrays).expanduser()
        if path.is_dir():
            if library != "openood":
                raise ValueError(f"source must be a file with library={library!r}, but {path} is a folder.")
            return _openood(*_openood_folder(path, id_name))
        arrays = _arrays(path)
    elif library == "openood" and "ood" in arrays:
        return _openood(*_openood_evaluator(arrays))
    scores, labels = scores or convention.scores, labels or convention.labels
    for parameter, key in (("scores", scores), ("labels", labels)):
        check_choice(parameter, key, arrays, remedy=f"These are the arrays there; name yours with {parameter}=...")
    return from_labelled_scores(arrays[scores], arrays[labels], library=library, name=scores)


def _arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of scores at {path}.")
    remedy = "Save the arrays with np.savez(path, scores=..., labels=...)."
    if path.suffix.lower() in (".pkl", ".pickle"):
        remedy = f"A pickle can run code as it is read, so none is. {remedy}"
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"source must end in .npz, .csv, .parquet or .pt, but is {path}. {remedy}")
    try:
        return {str(name): array for name, array in _READERS[path.suffix.lower()](path).items()}
    except (OSError, ImportError):
        raise
    # Damage shows as an error of nearly any kind, and so does what is no table and no mapping of arrays.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"{path} is damaged or holds something else than named arrays ({reason}). {remedy}") from error


def _npz(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _pt(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise missing_package("torch", f"read {path.name}") from error
    return torch.load(path, weights_only=True, map_location="cpu")


_READERS: dict[str, Callable[[Path], Any]] = {
    ".npz": _npz, ".csv": pd.read_csv, ".parquet": pd.read_parquet, ".pt": _pt, ".pth": _pt,
}  # fmt: skip


class Parts(NamedTuple):
    """What OpenOOD tells of one set, in its order."""

    predictions: Any
    scores: Any
    labels: Any


def _openood_folder(folder: Path, id_name: str | None) -> tuple[Parts, dict[str, Parts]]:
    files = {path.stem: path for path in sorted(folder.glob("*.npz"))}
    known = check_choice("id_name", id_name, files, remedy="It names the file of the in-distribution samples.")
    sets = {}
    for name, path in files.items():
        arrays = _arrays(path)
        for key in ("pred", "conf", "label"):
            check_choice(f"an array of {path}", key, arrays, remedy="OpenOOD saves all three.")
        sets[name] = Parts(arrays["pred"], arrays["conf"], arrays["label"])
    return sets.pop(known), sets


def _openood_evaluator(scores: Mapping[str, Any]) -> tuple[Parts, dict[str, Parts]]:
    try:
        found = {"": scores["id"]["test"], **scores["ood"]["near"], **scores["ood"]["far"]}
        sets = {name: Parts(*parts) for name, parts in found.items() if parts is not None}
        return sets.pop(""), sets
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(
            "source must be evaluator.scores of OpenOOD after eval_ood(...), with three arrays in ['id']['test'] and "
            f"for each set in ['ood']['near'] and ['ood']['far'], but is of another form ({error!r})."
        ) from error


def _openood(known: Parts, sets: dict[str, Parts]) -> Capture:
    # Labels of other sets are those of their own classes in some versions: the file says what is OOD, not the label.
    own = {"labels": known.labels, "predictions": known.predictions, "library": "openood", "name": "conf"}
    return _capture({"conf": known.scores}, {name: parts.scores for name, parts in sets.items()}, higher=None, **own)

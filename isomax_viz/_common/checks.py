"""Argument errors, worded once: parameter, accepted values, value received, remedy.

Every public function that rejects its input does it through this module, so that messages look alike and each wording
has one test. What concerns arrays stands in :mod:`isomax_viz._common.checks`.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Mapping
from numbers import Real
from types import FunctionType
from typing import Any

import numpy as np

__all__ = [
    "Sealed", "as_numeric", "check_choice", "check_column", "check_finite", "check_known", "check_labels",
    "check_matrix", "check_names", "check_number", "check_ood", "check_ood_names", "check_scores", "check_set_name",
    "check_unused", "missing_package", "name_of", "need_torch", "owned", "run_hint", "sealed",
]  # fmt: skip


def check_finite(parameter: str, array: np.ndarray, *, remedy: str, remedy_masked: str = "") -> np.ndarray:
    """Return ``array`` if all its values are finite, else say how many are not and where the first one stands.

    ``remedy_masked`` takes the place of the remedy where all that is not finite is minus infinity.

    Examples
    --------
    >>> check_finite("logits", np.array([[0.0, np.nan]]), remedy="Remove these samples.")
    Traceback (most recent call last):
        ...
    ValueError: logits has 1 of 2 values that are NaN or infinite; the first stands at index (0, 1). Remove these
    samples.
    """
    # A sum is finite unless a value is not (or it overflows): one fast pass without a temporary for the common case.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum(dtype=np.float64)):
            return array
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(np.argwhere(bad)[0].tolist())
        where = first[0] if len(first) == 1 else first
        remedy = remedy_masked if remedy_masked and np.isneginf(array[bad]).all() else remedy
        raise ValueError(
            f"{parameter} has {bad.sum():,} of {array.size:,} values that are NaN or infinite; the first stands at "
            f"index {where}. {remedy}"
        )
    return array


_TEXT = {
    "logits": " Give numbers: np.load(path)['logits'].",
    "labels": " Give classes counted from 0 in the order of the logits' columns.",
}


def as_numeric(parameter: str, values: Any, *, kinds: str = "iuf") -> np.ndarray:
    """Return ``values`` (array, list or tensor) as an array of real numbers.

    Raises
    ------
    TypeError
        If they are no real numbers, or rows differ in length.

    Examples
    --------
    >>> as_numeric("labels", ["cat"])
    Traceback (most recent call last):
        ...
    TypeError: labels must be an array of real numbers, but its dtype is <U3. Give classes counted from 0 in the order
    of the logits' columns.
    """
    if hasattr(values, "detach"):
        values = _from_tensor(parameter, values)
    elif isinstance(values, (list, tuple)) and any(hasattr(item, "detach") for item in values):
        raise TypeError(
            f"{parameter} must be one array, but is a {type(values).__name__} of {len(values)} tensors. Join them: "
            "torch.cat(tensors) for batches, torch.stack(tensors) for one tensor per sample."
        )
    try:
        array = np.ma.asarray(values) if _is_masked(values) else np.asarray(values)
    except ValueError as error:
        raise TypeError(
            f"{parameter} must be an array, but its rows differ in length. Join batches with np.concatenate(batches)."
        ) from error
    if np.ma.is_masked(array):
        raise ValueError(
            f"{parameter} has {int(np.ma.count_masked(array)):,} masked values, which would count as if they were not "
            "masked. Leave out their rows, or fill them: array.filled(value)."
        )
    if array.dtype == object:
        array = _from_objects(parameter, array)
    if array.dtype.kind not in kinds:
        remedy = _TEXT.get(parameter, "") if array.size and isinstance(array.flat[0], str) else ""
        raise TypeError(f"{parameter} must be an array of real numbers, but its dtype is {array.dtype}.{remedy}")
    return array


def _is_masked(values: Any) -> bool:
    parts = values if isinstance(values, (list, tuple)) else [values]
    return any(isinstance(part, np.ma.MaskedArray) for part in parts)


def _from_tensor(parameter: str, tensor: Any) -> np.ndarray:
    # Duck-typed: accepting a tensor must not import torch.
    try:
        tensor = tensor.detach().cpu()
        if tensor.is_quantized:
            tensor = tensor.dequantize()
        if str(tensor.layout) != "torch.strided":
            tensor = tensor.to_dense()
        if tensor.is_floating_point() and str(tensor.dtype) not in ("torch.float16", "torch.float32", "torch.float64"):
            tensor = tensor.float()  # bfloat16 and float8, which NumPy lacks
        return tensor.resolve_conj().resolve_neg().numpy()
    except RuntimeError as error:
        raise TypeError(f"{parameter} must be an array of numbers, but this tensor is none: {error}") from error


def _from_objects(parameter: str, array: np.ndarray) -> np.ndarray:
    """Return Python's numbers, as pandas' nullable columns give them beside others, as floats."""
    import pandas as pd

    missing = np.argwhere(pd.isna(array))
    if len(missing):
        raise ValueError(
            f"{parameter} has {len(missing):,} missing values (None, NaN or pandas.NA); the first stands at index "
            f"{tuple(missing[0].tolist())}. Leave out their rows."
        )
    if all(isinstance(item, Real) and not isinstance(item, bool) for item in array.flat):
        return array.astype(np.float64)
    return array


def check_set_name(parameter: str, name: Any) -> str:
    """Return the name of a set if it is text.

    Examples
    --------
    >>> check_set_name("A name in ood", 1)
    Traceback (most recent call last):
        ...
    TypeError: A name in ood must be text, but is 1. Write it as such: '1'.
    """
    if not isinstance(name, str):
        raise TypeError(f"{parameter} must be text, but is {name!r}. Write it as such: {str(name)!r}.")
    if not name:
        raise ValueError(f"{parameter} is an empty name. Name the set, such as 'letters'.")
    if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ValueError(
            f"{parameter} must be text that can be written, but {name!r} holds a NUL or half a letter (a surrogate). "
            "Leave it out: name.replace('\\0', ''), name.encode(errors='replace').decode()."
        )
    return str(name)


def check_names(parameter: str, mapping: Any, values: str) -> dict[str, Any]:
    """Return a mapping of names to values as a dict, if it is one and its names are text.

    Examples
    --------
    >>> check_names("ood", [[0.5, 0.0]], "logits")
    Traceback (most recent call last):
        ...
    TypeError: ood must map names to logits, such as {'mine': logits}, but is list.
    """
    if not isinstance(mapping, Mapping):
        kind = type(mapping).__name__
        raise TypeError(f"{parameter} must map names to {values}, such as {{'mine': {values}}}, but is {kind}.")
    return {check_set_name(f"A name in {parameter}", name): value for name, value in mapping.items()}


def check_ood_names(ood: Any, values: str) -> dict[str, Any]:
    """Return out-of-distribution sets by name as a dict, if none has the name of the in-distribution samples.

    Examples
    --------
    >>> check_ood_names({"test": [[0.5, 0.0]]}, "logits")
    Traceback (most recent call last):
        ...
    ValueError: ood='test' is the name of the in-distribution samples. Give the set another name.
    """
    sets = check_names("ood", ood, values)
    for name in ("train", "test"):
        if name in sets:
            raise ValueError(f"ood={name!r} is the name of the in-distribution samples. Give the set another name.")
    return sets


def sealed(array: np.ndarray) -> np.ndarray:
    """Return an array that nobody else works with, read-only from now on, as are the arrays that it is a view of.

    Examples
    --------
    >>> sealed(np.zeros(2)).flags.writeable
    False
    """
    part: Any = array
    while isinstance(part, np.ndarray):
        part.flags.writeable = False
        part = part.base
    return array


def owned(array: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the array read-only, as a copy where it shares memory with a source that may still be written to.

    Examples
    --------
    >>> mine, given = np.zeros(2), sealed(np.zeros(2))
    >>> np.shares_memory(owned(mine, mine), mine), np.shares_memory(owned(given, given), given)
    (False, True)
    """
    part: Any = source
    while isinstance(part, np.ndarray):
        # A read-only view changes with the array behind it: pandas hands out such views.
        if part.flags.writeable and np.may_share_memory(array, source):
            return sealed(array.copy())
        part = part.base
    array.flags.writeable = False
    return array


class Sealed:
    """A frozen record whose arrays are read-only again after pickle or copy."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for value in state.values():
            for array in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(array, np.ndarray):
                    sealed(array)
        self.__dict__.update(state)


_MASKED = (
    "Minus infinity stands for classes that are masked. Leave their columns out of all sets, or put a finite number in "
    "its place, the same in all: np.maximum(logits, -1e4) changes no probability."
)


def check_matrix(
    parameter: str, values: Any, *, rows: int | None = None, columns: int | None = None, own: bool = False
) -> np.ndarray:
    """Return ``values`` as a finite float32 array of shape (rows, columns); see :func:`owned` for ``own``.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If the shape is wrong or a value is not finite.

    Examples
    --------
    >>> check_matrix("logits", [1.0, 2.0])
    Traceback (most recent call last):
        ...
    ValueError: logits must have shape (samples, columns), but has shape (2,). Give one row per sample.
    """
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is found below
        source = as_numeric(parameter, values)
        array = source.astype(np.float32, copy=False)
    sides = {"samples": rows, "columns": columns}
    if array.ndim != 2 or any(side not in (None, n) for side, n in zip(sides.values(), array.shape, strict=True)):
        wanted = f"({', '.join(name if side is None else str(side) for name, side in sides.items())})"
        raise ValueError(f"{parameter} must have shape {wanted}, but has shape {array.shape}. Give one row per sample.")
    remedy = "Find where the network produced them (too high a learning rate is common) or drop these samples."
    check_finite(parameter, array, remedy=remedy, remedy_masked=_MASKED)
    array = np.ascontiguousarray(array)
    return owned(array, source) if own else array


def check_column(parameter: str, values: Any, *, rows: int) -> np.ndarray:
    """Return ``values`` as a finite float array of shape (rows,) of its own; float32 stays float32.

    Examples
    --------
    >>> check_column("extra_scores['odin']", [0.5], rows=2)
    Traceback (most recent call last):
        ...
    ValueError: extra_scores['odin'] must have shape (2,), but has shape (1,). Give one number each.
    """
    source = as_numeric(parameter, values)
    _check_length(parameter, source, rows, "number")
    array = source if source.dtype == np.float32 else source.astype(np.float64, copy=False)
    return owned(check_finite(parameter, array, remedy="A score must be a finite number for every sample."), source)


def _check_length(parameter: str, array: np.ndarray, rows: int, what: str, remedy: str = "") -> None:
    if array.shape != (rows,):
        found = f"{parameter} must have shape ({rows},), but has shape {array.shape}"
        raise ValueError(f"{found}. Give one {what} each.{remedy}")


def check_labels(parameter: str, values: Any, *, rows: int, classes: int, lowest: int = -1) -> np.ndarray:
    """Return ``values`` as int64 labels in [lowest, classes), where -1 marks an out-of-distribution sample.

    Examples
    --------
    >>> check_labels("labels", [0, 3], rows=2, classes=3)
    Traceback (most recent call last):
        ...
    ValueError: labels must lie in -1 .. 2 (-1 marks out-of-distribution samples), but range from 0 to 3. Number the \
classes from 0 in the order of the logits' columns.
    """
    array = as_numeric(parameter, values, kinds="iuf" if lowest >= -1 else "biuf")  # a mask is no list of classes
    _check_length(parameter, array, rows, "label", " Rows are samples: logits.T." if array.shape == (classes,) else "")
    if array.dtype.kind == "f":
        check_finite(parameter, array, remedy="Leave out rows whose class nobody knows.")
        if not np.array_equal(array, np.floor(array)):
            raise TypeError(f"{parameter} must be whole numbers, but its dtype is {array.dtype}.")
    # Before they become int64, in which the largest uint64 is -1.
    if rows and (array.min() < lowest or array.max() >= classes):
        remedy = "Number the classes from 0 in the order of the logits' columns."
        if array.dtype.kind == "u" and array.max() == np.iinfo(array.dtype).max:
            remedy = f"{array.max()} is what -1 becomes as {array.dtype}: keep labels in a type with a sign (int64)."
        raise ValueError(
            f"{parameter} must lie in {lowest} .. {classes - 1} (-1 marks out-of-distribution samples"
            f"{', with no place here' if lowest == 0 else ''}), but range from {array.min()} to {array.max()}. {remedy}"
        )
    return array.astype(np.int64)


def check_scores(parameter: str, values: Any) -> np.ndarray:
    """Return ``values`` as a non-empty, finite, one-dimensional float array (float32 stays float32).

    Examples
    --------
    >>> check_scores("ood_scores", [])
    Traceback (most recent call last):
        ...
    ValueError: ood_scores is empty. A metric needs an in-distribution and an out-of-distribution score.
    """
    array = as_numeric(parameter, values) if np.size(values) else np.empty(0)
    if array.size == 0:
        raise ValueError(f"{parameter} is empty. A metric needs an in-distribution and an out-of-distribution score.")
    if array.ndim != 1:
        raise ValueError(f"{parameter} must be one-dimensional, but has shape {array.shape}. Give one score each.")
    if array.dtype.kind in "iu" and (array.max() > 2**53 or array.min() < -(2**53)):
        raise ValueError(
            f"{parameter} must be numbers that float64 tells apart, but holds whole numbers beyond 2**53. Subtract a "
            "constant from all scores, or divide them, before they are rounded."
        )
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    remedy = "Sorting them would silently change every metric; drop these samples or mend the score."
    return check_finite(parameter, array, remedy=remedy)


def check_choice(parameter: str, value: Any, accepted: Iterable[str], *, remedy: str = "") -> str:
    """Return ``value`` if it is one of ``accepted``, else raise an error that lists them.

    Parameters
    ----------
    parameter : str
        Name of the argument, as the caller wrote it.
    value : object
        What was received.
    accepted : iterable of str
        The accepted values.
    remedy : str, optional
        A closing sentence that says what to do beyond choosing an accepted value.

    Returns
    -------
    str
        The value itself.

    Raises
    ------
    ValueError
        If the value is not accepted. A near miss is suggested.

    Examples
    --------
    >>> check_choice("loss", "isomx", ["softmax", "isomax"])
    Traceback (most recent call last):
        ...
    ValueError: loss must be one of 'softmax', 'isomax', but is 'isomx'. Did you mean 'isomax'?
    """
    accepted = list(accepted)
    if isinstance(value, str) and value in accepted:
        return value
    listed = ", ".join(map(repr, accepted)) or "(nothing is available)"
    written, names = str(value).lower().replace("plus", "+"), list(map(str, accepted))
    # Swapped letters are nearer than another one: "msd" means "mds", not "mps".
    near = [name for name in names if sorted(name) == sorted(written)] or difflib.get_close_matches(written, names)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{parameter} must be one of {listed}, but is {value!r}.{hint} {remedy}".rstrip())


_WITHIN = {"above": operator.gt, "of at least": operator.ge, "of at most": operator.le, "below": operator.lt}


def check_number(
    parameter: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> Any:
    """Return ``value`` if it is a finite number within the bounds.

    Raises
    ------
    TypeError
        If it is no number, or no whole number where one is needed.
    ValueError
        If it is not finite or out of bounds.

    Examples
    --------
    >>> check_number("entropic_scale", -1.0, above=0)
    Traceback (most recent call last):
        ...
    ValueError: entropic_scale must be a number above 0, but is -1.0.
    """
    kind = "a whole number" if whole else "a number"
    given = {"above": above, "of at least": at_least, "of at most": at_most, "below": below}
    bounds = {words: bound for words, bound in given.items() if bound is not None}
    wanted = f"{kind} {' and '.join(f'{words} {bound}' for words, bound in bounds.items())}".strip()
    accepted_types = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, accepted_types):
        raise TypeError(f"{parameter} must be {wanted}, but is {value!r}.")
    finite = isinstance(value, (int, np.integer)) or np.isfinite(value)
    if not finite or not all(_WITHIN[words](value, bound) for words, bound in bounds.items()):
        raise ValueError(f"{parameter} must be {wanted}, but is {value!r}.")
    return value


def check_known(parameter: str, names: Iterable[str], accepted: Iterable[str], *, remedy: str = "") -> list[str]:
    """Return ``names`` as a list if each is accepted; a single string counts as one name."""
    listed = [names] if isinstance(names, str) else list(names)
    accepted = list(accepted)
    for name in listed:
        check_choice(parameter, name, accepted, remedy=remedy)
    return listed


def check_ood(ood: str | Iterable[str] | None, accepted: Iterable[str]) -> list[str]:
    """Return the chosen out-of-distribution sets as a list; None means all, and an empty choice is refused.

    Examples
    --------
    >>> check_ood("letters", ["letters", "patches"]), check_ood(None, ["letters", "patches"])
    (['letters'], ['letters', 'patches'])
    >>> check_ood([], ["letters"])
    Traceback (most recent call last):
        ...
    ValueError: ood must name at least one out-of-distribution set, or be None for all, but is empty.
    """
    if ood is None:
        return list(accepted)
    names = check_known("ood", ood, accepted)
    if not names:
        raise ValueError("ood must name at least one out-of-distribution set, or be None for all, but is empty.")
    return names


def check_unused(beside: str, **options: Any) -> None:
    """Raise an error if an option is given (is not None) that changes nothing beside another one.

    Examples
    --------
    >>> check_unused("which='range'", threshold=0.5)
    Traceback (most recent call last):
        ...
    ValueError: threshold changes nothing with which='range'. Leave it out.
    """
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{name} changes nothing with {beside}. Leave it out.")


def missing_package(package: str, purpose: str, *, install: str | None = None) -> ImportError:
    """Return the error to raise where an optional package is needed but not installed.

    Examples
    --------
    >>> print(missing_package("torch", "train a network"))
    torch is needed to train a network, but is not installed. Install it with: python -m pip install torch
    """
    command = f"python -m pip install {install or package}"
    return ImportError(f"{package} is needed to {purpose}, but is not installed. Install it with: {command}")


def name_of(thing: Any) -> str:
    """Return what figures and tables call it: its attribute ``label`` where there is one, else its name.

    Examples
    --------
    >>> class CosineHead:
    ...     label = "Cosine"
    >>> name_of(CosineHead), name_of(len), name_of("isomax+")
    ('Cosine', 'len', 'isomax+')
    """
    if isinstance(thing, str):
        return thing
    label = vars(thing).get("label") if isinstance(thing, (type, FunctionType)) else None
    return label if isinstance(label, str) and label else thing.__name__


def need_torch() -> None:
    """Say what to install where PyTorch is missing; called before what trains or runs a network is imported.

    Raises
    ------
    ImportError
        If there is no PyTorch.

    Examples
    --------
    >>> need_torch()
    """
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing_package("PyTorch", "train or run a network", install='"isomax_viz[train]"') from error


def run_hint(value: Any) -> str:
    """Return what to do where an Experiment is given instead of its capture; nothing for anything else.

    Experiments lie above the modules that ask, so they are known by what they can do.

    Examples
    --------
    >>> run_hint([])
    ''
    """
    return "Pass what its run() returns." if hasattr(value, "run") and hasattr(value, "loss") else ""

"""Argument errors, worded once: parameter, accepted values, value received, remedy.

Every public function that rejects its input does it through this module, so that messages look alike and each wording
has one test. What concerns arrays stands in :mod:`isomax_viz._check_arrays`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from isomax_viz._check_arrays import as_numeric, check_column, check_finite, check_labels, check_matrix, check_scores

__all__ = [
    "as_numeric",
    "check_choice",
    "check_column",
    "check_finite",
    "check_known",
    "check_labels",
    "check_matrix",
    "check_number",
    "check_scores",
    "missing_package",
    "run_hint",
]


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
    listed = ", ".join(repr(name) for name in accepted) or "(nothing is available)"
    message = f"{parameter} must be one of {listed}, but is {value!r}."
    written = str(value).lower().replace("plus", "+")
    near = difflib.get_close_matches(written, [str(name) for name in accepted], n=1)
    if near:
        message += f" Did you mean {near[0]!r}?"
    if remedy:
        message += f" {remedy}"
    raise ValueError(message)


def check_number(
    parameter: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
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
    bounds = []
    if above is not None:
        bounds.append(f"above {above}")
    if at_least is not None:
        bounds.append(f"of at least {at_least}")
    if at_most is not None:
        bounds.append(f"of at most {at_most}")
    wanted = " ".join([kind, " and ".join(bounds)]).strip()
    accepted_types = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, accepted_types):
        raise TypeError(f"{parameter} must be {wanted}, but is {value!r}.")
    inside = (
        (isinstance(value, (int, np.integer)) or np.isfinite(value))
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (at_most is None or value <= at_most)
    )
    if not inside:
        raise ValueError(f"{parameter} must be {wanted}, but is {value!r}.")
    return value


def check_known(parameter: str, names: Collection[str], accepted: Iterable[str], *, remedy: str = "") -> list[str]:
    """Return ``names`` as a list if each is accepted; a single string counts as one name."""
    listed = [names] if isinstance(names, str) else list(names)
    accepted = list(accepted)
    for name in listed:
        check_choice(parameter, name, accepted, remedy=remedy)
    return listed


def missing_package(package: str, purpose: str, *, install: str | None = None) -> ImportError:
    """Return the error to raise where an optional package is needed but not installed.

    Examples
    --------
    >>> print(missing_package("torch", "train a network"))
    torch is needed to train a network, but is not installed. Install it with: python -m pip install torch
    """
    return ImportError(
        f"{package} is needed to {purpose}, but is not installed. "
        f"Install it with: python -m pip install {install or package}"
    )


def run_hint(value: Any) -> str:
    """Return what to do where an Experiment is given instead of its capture; nothing for anything else.

    Experiments lie above the modules that ask, so they are known by what they can do.

    Examples
    --------
    >>> run_hint([])
    ''
    """
    return "Pass what its run() returns." if hasattr(value, "run") and hasattr(value, "loss") else ""

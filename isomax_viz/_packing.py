"""Packing: sets of samples as the named arrays and the JSON content of a capture's file, and back.

Sets are numbered, not named, in the arrays' names: a set's name may hold any character.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from isomax_viz.samples import Samples

__all__ = ["pack", "unpack"]

_ARRAYS = ("logits", "labels", "features", "distances", "predictions")


def pack(
    test: Samples, ood: Mapping[str, Samples], train: Samples | None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return arrays by name, and what the content of the file must say to find them again.

    Examples
    --------
    >>> test = Samples(logits=[[3.0, 0.0]], labels=[0])
    >>> arrays, content = pack(test, {"mine": Samples(logits=[[0.1, 0.0]], labels=[-1])}, None)
    >>> [*arrays], content
    (['test/logits', 'test/labels', 'test/predictions', 'ood0/logits', 'ood0/labels', 'ood0/predictions'], \
{'ood': ['mine']})
    """
    groups = {"test": test} | {f"ood{number}": samples for number, samples in enumerate(ood.values())}
    if train is not None:
        groups["train"] = train
    arrays = {}
    for group, samples in groups.items():
        for name in _ARRAYS:
            if getattr(samples, name) is not None:
                arrays[f"{group}/{name}"] = getattr(samples, name)
        for number, column in enumerate(samples.extra_scores.values()):
            arrays[f"{group}/score{number}"] = column
    content: dict[str, Any] = {"ood": list(ood)}
    columns = {group: list(samples.extra_scores) for group, samples in groups.items()}
    if any(columns.values()):  # a file without them is the one that earlier versions wrote
        content["scores"] = columns
    return arrays, content


def unpack(arrays: Mapping[str, np.ndarray], content: Mapping[str, Any], *, checked: bool = True) -> dict[str, Any]:
    """Return ``test``, ``ood`` and ``train`` from what :func:`pack` gave.

    Parameters
    ----------
    arrays, content
        As read from the file; further entries are left aside.
    checked : bool
        Whether the values are looked at; it would read all of a file that is only mapped.

    Raises
    ------
    KeyError, ValueError, TypeError, AttributeError
        If an array is missing or impossible.
    """
    build = partial(Samples._stored, checked=checked)
    groups: dict[str, dict[str, Any]] = {}
    for key, array in arrays.items():
        if "/" in key:
            group, name = key.split("/")
            groups.setdefault(group, {})[name] = array
    for group, names in content.get("scores", {}).items():
        found = groups[group]
        found["extra_scores"] = {name: found.pop(f"score{number}") for number, name in enumerate(names)}
    return {
        "test": build(groups["test"]),
        "ood": {name: build(groups[f"ood{number}"]) for number, name in enumerate(content["ood"])},
        "train": build(groups["train"]) if "train" in groups else None,
    }

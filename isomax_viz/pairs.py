"""Pairs of networks for a comparison: the same seeds, images and sets, or an error that says what is not the same."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from isomax_viz import scores as scores_module
from isomax_viz.alike import check_alike, shared_ood
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source, variant
from isomax_viz.catalog.style import loss_style
from isomax_viz.tables import as_list

__all__ = ["Side", "names_of", "paired", "same_sets", "side"]

Side = tuple[list[Capture], scores_module.Score]

# In which a comparison may find its two sides to differ, most telling first, and what to call it.
_TOLD = {"entropic_scale": "entropic scale", "backbone": "network", "preset": "preset", "select": "epoch kept"}


def side(parameter: str, value: Any) -> Side:
    """Return the captures and the score of one side.

    Raises
    ------
    TypeError
        If this is no pair of captures and score.
    ValueError
        If the captures differ in more than the seed.

    Examples
    --------
    >>> captures, score = side("a", (Capture.from_arrays([[3.0, 0.0]], [0]), "es"))
    >>> len(captures), score.label
    (1, 'ES')
    """
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(
            f"{parameter} must be a pair (captures, score), such as (capture, 'es'), but is a {type(value).__name__}."
        )
    captures = as_list(value[0])
    columns = ("loss", "entropic_scale", "data", "backbone", "preset", "select")
    check_alike(captures, columns, "the seed", parameter=f"The captures of {parameter}")
    return captures, scores_module.get(value[1], captures[0].test)


def names_of(sides: list[Side]) -> list[str]:
    """Return what to call both sides: loss and score, and what else tells them apart where these are the same.

    Raises
    ------
    ValueError
        If two different scores share a name.

    Examples
    --------
    >>> one, ten = (Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax", meta={"entropic_scale": s}) for s in (1, 10))
    >>> names_of([([one], scores_module.get("es")), ([ten], scores_module.get("es"))])
    ['IsoMax/ES (entropic scale 1)', 'IsoMax/ES (entropic scale 10)']
    """
    names = [f"{loss_style(captures[0].loss).label}/{score.label}" for captures, score in sides]
    (first, one), (second, other) = sides
    if names[0] != names[1]:
        return names
    if _computed_by(one) != _computed_by(other):
        raise ValueError(
            f"a and b have different scores with the same name {one.label!r}. Give functions of your own different "
            "names: write them with def, or set function.__name__."
        )
    told = [source(captures[0]) for captures in (first, second)]
    for key, word in _TOLD.items():
        values = [one[key] for one in told]
        if None not in values and values[0] != values[1]:
            ends = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
            return [f"{name} ({word} {end})" for name, end in zip(names, ends, strict=True)]
    changes = [variant(captures[0]) for captures in (first, second)]
    if changes[0] != changes[1]:
        return [f"{name} ({change or 'as usual'})" for name, change in zip(names, changes, strict=True)]
    seeds = [one["seed"] for one in told]
    if len(first) == len(second) == 1 and None not in seeds and seeds[0] != seeds[1]:
        return [f"{name} (seed {seed})" for name, seed in zip(names, seeds, strict=True)]
    return names


def _computed_by(score: scores_module.Score) -> Any:
    # Two readers of one column are two partial objects that do the same.
    function = score.function
    return (function.func, function.args, function.keywords) if isinstance(function, partial) else function


def paired(first: list[Capture], second: list[Capture]) -> list[tuple[Capture, Capture]]:
    """Pair captures by the seed of their training; one and one need no seed.

    Raises
    ------
    ValueError
        If seeds are missing, repeated or without a partner, or the test images are not the same.
    """
    if len(first) == len(second) == 1:
        pairs = [(first[0], second[0])]
    else:
        keyed = []
        for parameter, captures in (("a", first), ("b", second)):
            seeds = [capture.meta.get("seed") for capture in captures]
            if None in seeds or len(set(seeds)) < len(seeds):
                raise ValueError(
                    f"{parameter} must hold one capture per seed, but has the seeds {seeds}. Give captures that differ "
                    "in nothing but meta['seed']."
                )
            keyed.append(dict(zip(seeds, captures, strict=True)))
        if keyed[0].keys() != keyed[1].keys():
            raise ValueError(
                f"a and b must have the same seeds, but have {sorted(keyed[0])} and {sorted(keyed[1])}. "
                "Leave out the captures without a partner."
            )
        pairs = [(capture, keyed[1][seed]) for seed, capture in keyed[0].items()]
    everything = [capture for pair in pairs for capture in pair]
    data = list(dict.fromkeys(capture.meta["data"] for capture in everything if capture.meta.get("data")))
    if len(data) > 1:
        raise ValueError(
            f"a and b must come from the same test images, but their data is {' and '.join(map(repr, data))}. "
            "Record both on the same data."
        )
    for capture in everything:
        if not np.array_equal(capture.test.labels, everything[0].test.labels):
            raise ValueError(
                "a and b must come from the same test images in the same order, but their labels differ. "
                "Record both on the same data."
            )
    return pairs


def same_sets(pairs: list[tuple[Capture, Capture]], ood: str | Iterable[str] | None) -> list[str]:
    """Return the out-of-distribution sets to compare on, which must hold the same images everywhere.

    Raises
    ------
    ValueError
        If a set is missing somewhere, or differs in size or, where recorded, in its images.
    """
    everything = [capture for pair in pairs for capture in pair]
    names = shared_ood(everything, ood)
    for name in names:
        sizes = list(dict.fromkeys(len(capture.ood[name]) for capture in everything))
        marks = [capture.meta.get("ood", {}).get(name, {}).get("fingerprint") for capture in everything]
        if len(sizes) > 1 or len(set(marks) - {None}) > 1:
            found = f"{sizes[0]} and {sizes[1]}" if len(sizes) > 1 else "different ones of equal number"
            raise ValueError(
                f"The out-of-distribution set {name!r} must hold the same images for a and b, but has {found}. "
                "Record both with the same set."
            )
    return names

"""Rows of the papers' tables: which networks stand in one row, on which sets, and whether they may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from isomax_viz._common.checks import check_known
from isomax_viz.analysis.comparable import check_alike, shared_ood
from isomax_viz.analysis.scores import words
from isomax_viz.analysis.tables import evaluate
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import loss_style

__all__ = ["SCALES", "check_methods_once", "check_settings", "method_label", "origin_of", "results_of", "with_sets"]

# How IsoMax2 trains its scales and tilts: an ablation's columns, and no matter for other losses.
SCALES = ("scales_learning_rate", "scales_weight_decay")


def method_label(loss: str, score: str) -> str:
    """Return a method's name as the papers write it.

    Examples
    --------
    >>> method_label("isomax+", "mds")
    'IsoMax+/MDS'
    """
    return f"{loss_style(loss).label}/{words(score).label}"


def origin_of(capture: Capture) -> dict[str, Any]:
    """Return network, data and seed; the first two are empty where the capture does not say."""
    meta = capture.meta
    return {"backbone": meta.get("backbone") or "", "data": meta.get("data") or "", "seed": meta.get("seed")}


def groups(captures: list[Capture]) -> list[list[Capture]]:
    """Return the captures of each network and data set: a row of a table compares only these."""
    found: dict[tuple[str, str], list[Capture]] = {}
    for capture in captures:
        origin = origin_of(capture)
        found.setdefault((origin["backbone"], origin["data"]), []).append(capture)
    return list(found.values())


def check_settings(captures: list[Capture], *, of_one_method: Sequence[str] = ()) -> None:
    """Raise an error if a row would compare networks that were not trained alike, or average over more than seeds.

    Parameters
    ----------
    captures : list of Capture
    of_one_method : sequence of str
        Settings that networks of one loss may differ in, because each setting is a method of its own.
    """
    remedy = "Give captures of one setting."
    for group in groups(captures):
        check_alike(group, ("preset", "select"), "loss and seed", without=SCALES, remedy=remedy)
        for loss in dict.fromkeys(capture.loss for capture in group):
            alike = [capture for capture in group if capture.loss == loss]
            may_differ = f"the seed, where their loss is {loss!r},"
            check_alike(alike, ["entropic_scale"], may_differ, without=of_one_method, remedy=remedy)


def with_sets(captures: list[Capture], ood: Any, *, without: Sequence[str] = ()) -> list[tuple[Capture, list[str]]]:
    """Return every capture with the sets to look at, the same for all of one network and data set."""
    if ood is not None:
        everything = dict.fromkeys(name for capture in captures for name in capture.ood)
        ood = check_known("ood", ood, everything)
    chosen: dict[int, list[str]] = {}
    for group in groups(captures):
        if ood is None:
            shared = shared_ood(group, None)
            names = [name for name in shared if name not in without] or shared
        else:
            there = [name for name in ood if any(name in capture.ood for capture in group)]
            names = shared_ood(group, there or ood)
        chosen |= {id(capture): names for capture in group}
    return [(capture, chosen[id(capture)]) for capture in captures]


def results_of(
    captures: list[Capture], methods: Sequence[tuple[str, str]], ood: Any, *, without: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the metrics of each method, network, set and seed, the methods in the given order.

    Parameters
    ----------
    captures : list of Capture
    methods : sequence of (loss, score)
        Those without a capture are left out.
    ood : str, list of str or None
        Sets; None for all that the captures of a network and data set share, but those in ``without``.
    without : sequence of str
        Sets that are left out unless they are asked for, or there are no others.

    Raises
    ------
    ValueError
        If no capture has one of the losses, or a row would mix settings.
    """
    losses = dict.fromkeys(loss for loss, _ in methods)
    used = [capture for capture in captures if capture.loss in losses]
    if not used:
        wanted, found = ", ".join(map(repr, losses)), ", ".join(repr(capture.loss) for capture in captures)
        raise ValueError(f"captures must hold one of the losses {wanted}, but are of {found}. Choose other methods.")
    check_settings(used)
    parts = []
    chosen = with_sets(used, ood, without=without)
    for loss, score in methods:
        for capture, names in chosen:
            if capture.loss == loss:
                part = evaluate(capture, scores=score, ood=names)
                parts.append(part.assign(method=method_label(loss, part["score"].iloc[0]), **origin_of(capture)))
    results = pd.concat(parts, ignore_index=True)
    check_methods_once(results)
    return results


def check_methods_once(results: pd.DataFrame) -> None:
    """Raise an error if a method has two values for one network, data set, set and seed: one would count twice."""
    twice = results[results.duplicated(["backbone", "data", "ood", "method", "seed"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(
            f"captures must differ in the seed where loss and data are the same, but {row['method']} on "
            f"{row['data'] or 'unnamed data'} has seed {row['seed']} twice. Give every training once, each with its "
            "meta['seed'], and every method once."
        )

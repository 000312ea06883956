"""How far the logits of unknown images overlap with those of known ones, and whether the papers' words hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import as_numeric, check_number, check_scores
from isomax_viz.analysis.histograms import chosen_ood
from isomax_viz.analysis.tables import as_list
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.catalog.losses import loss_record

__all__ = ["logit_overlaps", "overlap_coefficient", "sample_overlap"]

INTRA, INTER, NEITHER = "intra-class", "inter-class", "neither"


def overlap_coefficient(p: np.ndarray, q: np.ndarray) -> float:
    """Return the share that two histograms have in common: 1 if they are equal, 0 if they do not touch.

    Parameters
    ----------
    p, q : array, shape (bins,)
        Counts in the same bins (or densities, if the bins are of equal width).

    Returns
    -------
    float
        Sum of min(p, q) after both are brought to sum 1.

    Raises
    ------
    ValueError
        If the bins are not the same number, a value is negative, or a histogram is empty.

    Examples
    --------
    >>> overlap_coefficient(np.array([2, 2, 0]), np.array([0, 1, 1]))
    0.5
    """
    p, q = as_numeric("p", p), as_numeric("q", q)
    if p.shape != q.shape or p.ndim != 1:
        raise ValueError(f"p and q must be counts in the same bins, but have the shapes {p.shape} and {q.shape}.")
    for parameter, counts in (("p", p), ("q", q)):
        if not (counts >= 0).all() or not 0 < counts.sum() < np.inf:
            raise ValueError(f"{parameter} must be counts of at least 0, and not all 0, but is {counts.tolist()}.")
    return float(np.minimum(p / p.sum(), q / q.sum()).sum())


def sample_overlap(a: Any, b: Any, *, bins: int = 20) -> float:
    """Return the overlap coefficient of two samples in bins that hold equal shares of both together.

    Parameters
    ----------
    a, b : array, shape (n,) and (m,)
        Values; each sample counts as much as the other, whatever its size.
    bins : int
        Number of bins, at least 2. More show finer differences, and more chance: samples of one distribution overlap by
        about 1 - 0.4 sqrt(bins (1/n + 1/m)).

    Returns
    -------
    float
        The same for all increasing transformations of the values: neither a unit nor one value far away matters.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, or there are too few bins.

    Examples
    --------
    >>> sample_overlap([0, 1, 2, 3], [0, 1, 2, 3]), sample_overlap([0, 1], [2, 1e9])
    (1.0, 0.0)
    """
    check_number("bins", bins, at_least=2, whole=True)
    a, b = check_scores("a", a), check_scores("b", b)
    pooled = np.concatenate([a, b])
    order = np.argsort(pooled, kind="stable")
    share = np.cumsum(np.repeat([0.5 / len(a), 0.5 / len(b)], [len(a), len(b)])[order])
    inner = np.unique(pooled[order][np.searchsorted(share, np.arange(1, bins) / bins)])
    counts = [np.bincount(np.searchsorted(inner, part, side="right"), minlength=len(inner) + 1) for part in (a, b)]
    return overlap_coefficient(*counts)


def logit_overlaps(
    captures: Capture | Iterable[Capture], *, ood: str | Iterable[str] | None = None, bins: int = 20
) -> pd.DataFrame:
    """Say which in-distribution logits the out-of-distribution logits resemble more.

    Parameters
    ----------
    captures : Capture or iterable of Capture
        Networks to compare.
    ood : str or iterable of str, optional
        Sets to look at; by default all.
    bins : int
        Number of bins, which hold equal shares of the logits: see :func:`sample_overlap`.

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, seed, ood, intra_overlap, inter_overlap`` (overlap coefficients of all logits of
        the OOD set with the intra- and inter-class logits of the ID test set), ``this_run`` (the nearer of the two,
        "neither" if they are equal), ``papers_say`` and ``agrees`` (missing where the papers make no claim).

    Raises
    ------
    ValueError
        If a set is unknown or empty, or the test samples carry no labels.

    Notes
    -----
    The claims: "Hyperparameter-Free Isotropic Maximization Loss", figure 3 (out-of-distribution logits mimic
    inter-class ones with SoftMax, intra-class ones with IsoMax2); Distinction Maximization Loss (2019), figure 3 and
    section 3 (they overlap the inter-class ones with SoftMax, and do not completely with IsoMax).

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 9.0]], [0, 1], ood={"x": [[0.1, 0.0]]}, loss="softmax")
    >>> row = logit_overlaps(capture).iloc[0]
    >>> row["this_run"], row["papers_say"], bool(row["agrees"])
    ('inter-class', 'inter-class', True)
    """
    rows: list[dict[str, Any]] = []
    ood = ood if ood is None or isinstance(ood, str) else list(ood)
    for capture in as_list(captures):
        intra, inter = capture.test.intra_logits, capture.test.inter_logits
        if not len(intra):
            raise ValueError(f"The test samples of {capture!r} carry no labels, so no logit is that of its own class.")
        for name, samples in chosen_ood(capture, ood).items():
            outside = samples.require("logits").ravel()
            to_intra, to_inter = (sample_overlap(inside, outside, bins=bins) for inside in (intra, inter))
            nearer = INTRA if to_intra > to_inter else INTER if to_inter > to_intra else NEITHER
            claimed = loss_record(capture.loss).ood_logits or None
            origin = {key: source(capture)[key] for key in ("loss", "entropic_scale", "data", "seed")}
            found = {"ood": name, "intra_overlap": to_intra, "inter_overlap": to_inter, "this_run": nearer}
            rows.append(origin | found | {"papers_say": claimed, "agrees": _agrees(nearer, claimed)})
    return pd.DataFrame(rows)


def _agrees(nearer: str, claimed: str | None) -> bool | None:
    if claimed is None:
        return None
    return nearer != INTER if claimed == f"not {INTER}" else nearer == claimed

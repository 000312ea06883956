"""How far the logits of unknown images overlap with those of known ones, and whether the papers' words hold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_number
from isomax_viz.analysis.bootstrap import draw_counts
from isomax_viz.analysis.chosen import Captures, Names, as_list, as_names, chosen_ood
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import loss_record

__all__ = ["logit_overlaps"]

Draws = dict[tuple[int, int], np.ndarray]  # of how many known (0) or unknown (1) images

INTRA, INTER, UNDECIDED = "intra-class", "inter-class", "undecided"


def _inner_edges(a: np.ndarray, b: np.ndarray, bins: int) -> np.ndarray:
    """Return the edges of bins that hold equal shares of both samples together, whatever their sizes."""
    pooled = np.concatenate([a, b])
    order = np.argsort(pooled, kind="stable")
    share = np.cumsum(np.repeat([0.5 / len(a), 0.5 / len(b)], [len(a), len(b)])[order])
    return np.unique(pooled[order][np.searchsorted(share, np.arange(1, bins) / bins)])


def logit_overlaps(
    captures: Captures, *, ood: Names = None, bins: int = 20, resamples: int = 400, confidence: float = 0.95
) -> pd.DataFrame:
    """Say which in-distribution logits the out-of-distribution logits resemble more, where the images decide it.

    Parameters
    ----------
    captures : Capture or iterable of Capture
        Networks to compare; what the papers say of IsoMax needs a SoftMax network of the same data among them.
    ood : str or iterable of str, optional
        Sets to look at; by default all.
    bins : int
        Number of bins, which hold equal shares of both kinds of logits together: neither a unit nor one value far away
        matters. More show finer differences, and more chance: n and m values of one distribution overlap by about
        1 - 0.4 sqrt(bins (1/n + 1/m)).
    resamples : int
        Draws of images, with replacement, behind each interval.
    confidence : float
        Of each interval, in (0, 1).

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, seed, ood, intra_overlap, inter_overlap`` (of all logits of the OOD set with the
        intra- and inter-class logits of the ID test set: the sum of the smaller share in each bin, 1 for equal
        distributions and 0 for those that do not touch), ``difference`` (inter minus intra; for a
        claim about IsoMax the inter-class overlap minus that of SoftMax on the same set) with its interval ``low,
        high``, ``this_run`` ("inter-class", "intra-class" or "undecided", where the interval of inter minus intra holds
        zero), ``papers_say`` (missing where they make no claim) and ``agrees`` (missing where there is no claim, or the
        interval holds zero).

    Raises
    ------
    ValueError
        If a set is unknown or empty, or the test samples carry no labels.

    Notes
    -----
    The claims: "Hyperparameter-Free Isotropic Maximization Loss", figure 3 (out-of-distribution logits mimic
    inter-class ones with SoftMax, intra-class ones with IsoMax2); Distinction Maximization Loss (2019), figure 3 and
    section 3 (they overlap the inter-class ones with SoftMax, and do not completely with IsoMax: here, clearly less
    than with SoftMax). That figure draws the logits of the predicted class and the others of out-of-distribution images
    apart; here they are taken together. The interval covers the choice of images, not that of the training. Every row
    has an interval of its own: of twenty rows without any difference one will show one at 95 %.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels, logits = np.arange(90) % 3, rng.normal(size=(90, 3))
    >>> logits[np.arange(90), labels] += 6
    >>> capture = Capture.from_arrays(logits, labels, ood={"x": rng.normal(size=(80, 3))}, loss="softmax")
    >>> row = logit_overlaps(capture).iloc[0]
    >>> row["this_run"], row["papers_say"], bool(row["agrees"])
    ('inter-class', 'inter-class', True)
    """
    check_number("bins", bins, at_least=2, whole=True)
    check_number("resamples", resamples, at_least=1, whole=True)
    check_number("confidence", confidence, above=0, below=1)
    listed, ood = as_list(captures), as_names(ood)
    drawn: Draws = {}  # the same draws of images for every network
    found = {
        (number, name): _resampled(capture, samples, drawn, bins, resamples)
        for number, capture in enumerate(listed)
        for name, samples in chosen_ood(capture, ood).items()
    }
    rows = []
    for (number, name), (intra, inter) in found.items():
        capture = listed[number]
        claimed = loss_record(capture.loss).ood_logits or None
        compared = _between(inter - intra, confidence)
        this_run = {True: INTER, False: INTRA, None: UNDECIDED}[_above_zero(compared)]
        agrees = None if claimed is None or this_run == UNDECIDED else this_run == claimed
        if claimed == f"not {INTER}":
            like = _softmax_like(capture, listed)
            there = None if like is None else found.get((like, name))
            compared = _between(inter - there[1], confidence) if there else (np.nan,) * 3
            above = _above_zero(compared)
            agrees = None if above is None else not above
        rows.append(
            {key: source(capture)[key] for key in ("loss", "entropic_scale", "data", "seed")}
            | {"ood": name, "intra_overlap": float(intra[0]), "inter_overlap": float(inter[0])}
            | dict(zip(("difference", "low", "high"), compared, strict=True))
            | {"this_run": this_run, "papers_say": claimed, "agrees": agrees}
        )
    return pd.DataFrame(rows)


def _resampled(
    capture: Capture, outside: Samples, drawn: Draws, bins: int, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the overlaps with intra- and inter-class logits: of the images as they are, then of every resample."""
    intra, inter = capture.test.intra_logits[:, None], capture.test.inter_logits
    if not len(intra):
        raise ValueError(f"The test samples of {capture!r} carry no labels, so no logit is that of its own class.")
    keys = (0, len(intra)), (1, len(outside))
    for number, n in set(keys) - drawn.keys():
        draws = draw_counts(np.random.default_rng(number), n, resamples)
        drawn[number, n] = np.concatenate([np.ones((n, 1), np.float32), draws], axis=1)
    logits, overlaps = outside.require("logits"), []
    for inside in (intra, inter.reshape(len(intra), -1)):
        edges = _inner_edges(inside.ravel(), logits.ravel(), bins)
        shares = []
        for key, values in zip(keys, (inside, logits), strict=True):
            places = np.searchsorted(edges, values, side="right") + (len(edges) + 1) * np.arange(len(values))[:, None]
            counts = np.bincount(places.ravel(), minlength=len(values) * (len(edges) + 1)).reshape(len(values), -1)
            resampled = counts.T.astype(np.float32) @ drawn[key]  # of each bin and resample
            shares.append(resampled / resampled.sum(axis=0, dtype=np.float64))
        overlaps.append(np.minimum(*shares).sum(axis=0))
    return overlaps[0], overlaps[1]


def _between(differences: np.ndarray, confidence: float) -> tuple[float, float, float]:
    low, high = np.quantile(differences[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(differences[0]), float(low), float(high)


def _above_zero(compared: tuple[float, float, float]) -> bool | None:
    _, low, high = compared
    return True if low > 0 else False if high < 0 else None


def _softmax_like(capture: Capture, captures: list[Capture]) -> int | None:
    """Return the number of the SoftMax capture of the same data and network, of the same seed if there is one."""
    told = source(capture)
    alike = [
        number
        for number, other in enumerate(captures)
        if other.loss == "softmax" and all(source(other)[key] == told[key] for key in ("data", "backbone", "preset"))
    ]
    return max(alike, key=lambda number: captures[number].meta.get("seed") == told["seed"], default=None)

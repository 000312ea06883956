"""Bootstrap of detection metrics: bare scores and how often each image was drawn in, metrics per resample out.

A resample is described by counts (how often each image was drawn), not by copies of scores: the scores are then sorted
once, and a metric of all resamples is a cumulative sum over the sorted counts. Who compares two scores passes the same
counts for both, which makes the comparison a paired one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from isomax_viz._common.checks import check_scores
from isomax_viz.analysis.metrics import of_counts

__all__ = ["counted_metric", "draw_counts"]


def draw_counts(rng: np.random.Generator, n: int, resamples: int) -> np.ndarray:
    """Draw ``n`` of ``n`` images with replacement, many times, and count how often each was drawn.

    Parameters
    ----------
    rng : Generator
        Source of the random numbers.
    n : int
        Number of images.
    resamples : int
        Number of draws of all images.

    Returns
    -------
    ndarray of float32, shape (n, resamples)
        Each column sums to ``n``.

    Examples
    --------
    >>> draw_counts(np.random.default_rng(0), 4, 2).sum(axis=0).tolist()
    [4.0, 4.0]
    """
    kind: type[np.signedinteger] = np.int32 if n * resamples < 2**31 else np.int64
    drawn = rng.integers(0, n, size=(n, resamples), dtype=kind)
    drawn *= kind(resamples)
    drawn += np.arange(resamples, dtype=kind)
    return np.bincount(drawn.ravel(), minlength=n * resamples).reshape(n, resamples).astype(np.float32)


def counted_metric(
    metric: str, id_scores: Any, ood_scores: Any, id_counts: np.ndarray, ood_counts: np.ndarray
) -> np.ndarray:
    """Return a detection metric of every resample.

    Parameters
    ----------
    metric : str
        A key of :data:`isomax_viz.analysis.metrics.METRICS`.
    id_scores, ood_scores : array, shape (n,) and (m,)
        Higher = more in-distribution.
    id_counts, ood_counts : array, shape (n, resamples) and (m, resamples)
        How often each image was drawn, see :func:`draw_counts`; each column has the same sum.

    Returns
    -------
    ndarray, shape (resamples,)
        What the function of :mod:`isomax_viz.analysis.metrics` would return for the scores repeated as often as
        counted.

    Examples
    --------
    >>> once = np.ones((2, 1), np.float32)
    >>> counted_metric("AUROC", [3.0, 2.0], [2.0, 1.0], once, once).tolist()
    [0.875]
    """
    scores = np.concatenate([check_scores("id_scores", id_scores), check_scores("ood_scores", ood_scores)])
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    is_id = order < len(id_counts)
    accepted_id, accepted_ood = (
        _accepted(counts, order[mask] - shift, mask, last)
        for counts, mask, shift in ((id_counts, is_id, 0), (ood_counts, ~is_id, len(id_counts)))
    )
    rows = max(1, 16_384 // accepted_id.shape[1])
    starts = range(0, len(accepted_id), rows)
    blocks = ((accepted_id[start : start + rows], accepted_ood[start : start + rows]) for start in starts)
    return of_counts(blocks, int(accepted_id[-1, 0]), int(accepted_ood[-1, 0]), [metric])[metric]


def _accepted(counts: np.ndarray, order: np.ndarray, mask: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return how many images each threshold accepts, shape (thresholds, resamples).

    Whole numbers below 2^24 are exact in float32. Only the rows of one kind are summed up; a threshold between two of
    them accepts what the row before accepted.
    """
    sums = np.empty((len(order) + 1, counts.shape[1]), dtype=np.float32)
    sums[0] = 0
    np.take(counts, order, axis=0, out=sums[1:])
    np.cumsum(sums, axis=0, out=sums)
    return sums[np.cumsum(mask)[last]]

"""Counting: how many samples each threshold accepts, which is all that detection metrics need of the scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from isomax_viz._common.checks import check_scores

__all__ = ["counts"]


def counts(id_scores: Any, ood_scores: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return thresholds (distinct scores, descending) and how many ID and OOD samples each accepts.

    One sort serves every metric. Float32 scores are sorted as 64-bit integers that order like the scores and carry the
    origin in the lowest bit: sorting values is several times faster than sorting indices.

    Parameters
    ----------
    id_scores, ood_scores : array, shape (n,) and (m,)
        Higher = more in-distribution; a sample is accepted if its score is greater than or equal to the threshold.

    Returns
    -------
    thresholds : ndarray, shape (k,)
    accepted_id, accepted_ood : ndarray of int64, shape (k,)

    Raises
    ------
    ValueError
        If an array is empty, not one-dimensional or not finite.

    Examples
    --------
    >>> [item.tolist() for item in counts([3.0, 2.0], [2.0, 1.0])]
    [[3.0, 2.0, 1.0], [1, 2, 2], [0, 1, 2]]
    """
    inside, outside = check_scores("id_scores", id_scores), check_scores("ood_scores", ood_scores)
    if inside.dtype == outside.dtype == np.float32:
        keys = _sorted_keys(inside, outside)
        last = np.flatnonzero(np.append((keys[1:] ^ keys[:-1]) > 1, True))  # of each group of equal scores
        accepted_id = np.cumsum(keys & 1).view(np.int64)[last]
        thresholds = _scores_of(keys[last])
    else:
        pooled = np.concatenate([inside, outside], dtype=np.float64)
        order = np.argsort(pooled)[::-1]  # equal scores are counted together, so their order does not matter
        pooled = pooled[order]
        last = np.flatnonzero(np.append(pooled[1:] != pooled[:-1], True))
        accepted_id = np.cumsum(order < len(inside), dtype=np.int64)[last]
        thresholds = pooled[last]
    return thresholds, accepted_id, last + 1 - accepted_id


_SIGN = np.int32(-(2**31))


def _sorted_keys(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return one integer per float32 score, in descending order of the scores; the lowest bit marks ID samples."""
    negated = np.empty(len(inside) + len(outside), dtype=np.float32)
    # Zero minus the score makes one zero of -0.0 and 0.0: equal scores must have equal bits.
    np.subtract(np.float32(0), inside, out=negated[: len(inside)])
    np.subtract(np.float32(0), outside, out=negated[len(inside) :])
    bits = negated.view(np.int32)
    bits ^= (bits >> 31) | _SIGN  # IEEE floats order like unsigned integers once negative ones are inverted
    keys = negated.view(np.uint32).astype(np.uint64)
    keys <<= 1
    keys[: len(inside)] |= 1
    keys.sort()
    return keys


def _scores_of(keys: np.ndarray) -> np.ndarray:
    bits = (keys >> 1).astype(np.uint32).view(np.int32)
    bits ^= ~(bits >> 31) | _SIGN
    return np.float32(0) - bits.view(np.float32)

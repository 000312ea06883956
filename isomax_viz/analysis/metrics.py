"""Detection metrics of bare score arrays: in-distribution (ID) is the positive class, higher = more in-distribution.

Every metric takes ``id_scores`` and ``ood_scores`` as two arguments, so that nobody has to guess a label or a sign. All
are fractions in [0, 1]. A sample is accepted as in-distribution if its score is greater than or equal to the threshold.

The name "FPR95" is avoided, because libraries disagree on the positive class: with ID positive it is
``1 - tnr_at_tpr(id_scores, ood_scores)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from isomax_viz._common.checks import check_choice, check_number, check_scores

__all__ = [
    "METRICS", "aupr", "auroc", "best_dtacc_threshold", "counts", "dtacc", "of_counts", "ood_metrics", "roc",
    "threshold_at_tpr", "tnr_at_tpr",
]  # fmt: skip


def counts(id_scores: Any, ood_scores: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return thresholds (distinct scores, descending) and how many ID and OOD samples each accepts.

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
    thresholds, accepted_id, accepted_ood = map(np.concatenate, zip(*_counted(inside, outside), strict=True))
    return thresholds, accepted_id, accepted_ood


_ROWS = 16_384  # thresholds at a time: what is computed from them stays in the processor's cache


def _counted(inside: np.ndarray, outside: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield thresholds from the highest to the lowest, and how many ID and OOD samples each accepts, in blocks."""
    pooled = np.concatenate([inside, outside])
    pooled[: len(inside)].sort()
    pooled[len(inside) :].sort()
    order = np.argsort(pooled, kind="stable")[::-1]  # merges the two: several times faster than to sort indices
    above = 0
    for start in range(0, len(order), _ROWS):
        places = order[start : start + _ROWS]
        values = pooled[order[start : start + _ROWS + 1]]
        differ = values[1:] != values[:-1]
        last = np.flatnonzero(differ if len(differ) == len(places) else np.append(differ, True))  # of equal scores
        accepted_id = above + np.cumsum(places < len(inside), dtype=np.int64)
        yield values[last], accepted_id[last], start + 1 + last - accepted_id[last]
        above = accepted_id[-1]


METRICS = {
    "TNR@TPR95": "share of OOD samples rejected at the largest threshold that accepts at least 95 % of the ID samples",
    "AUROC": "chance that a random ID sample scores higher than a random OOD sample, ties counting one half",
    "DTACC": "largest mean of the accepted share of ID and the rejected share of OOD over all thresholds",
    "AUPR-in": "average precision with ID as the positive class; depends on the ratio of ID to OOD samples",
    "AUPR-out": "average precision with OOD as the positive class; depends on the ratio of ID to OOD samples",
}


def roc(id_scores: Any, ood_scores: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the receiver operating characteristic with ID as the positive class.

    Parameters
    ----------
    id_scores, ood_scores : array, shape (n,) and (m,)
        Higher = more in-distribution.

    Returns
    -------
    fpr : ndarray
        Share of OOD samples accepted, starting at 0.
    tpr : ndarray
        Share of ID samples accepted, starting at 0.
    thresholds : ndarray
        Distinct scores in descending order, starting with infinity (nothing accepted).

    Raises
    ------
    ValueError
        If an array is empty, not one-dimensional or not finite.

    Examples
    --------
    >>> fpr, tpr, thresholds = roc([3.0, 2.0], [2.0, 1.0])
    >>> fpr.tolist(), tpr.tolist(), thresholds.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0], [inf, 3.0, 2.0, 1.0])
    """
    thresholds, accepted_id, accepted_ood = counts(id_scores, ood_scores)
    fpr = np.append(0.0, accepted_ood / accepted_ood[-1])
    tpr = np.append(0.0, accepted_id / accepted_id[-1])
    return fpr, tpr, np.append(np.inf, thresholds)


def auroc(id_scores: Any, ood_scores: Any) -> float:
    """Return the area under the ROC curve; ties count one half (Mann-Whitney).

    Examples
    --------
    >>> auroc([3.0, 2.0], [2.0, 1.0])
    0.875
    """
    return _computed(id_scores, ood_scores, ["AUROC"])["AUROC"]


def tnr_at_tpr(id_scores: Any, ood_scores: Any, *, tpr: float = 0.95, method: str = "at_least") -> float:
    """Return the share of OOD samples rejected where a share ``tpr`` of the ID samples is accepted.

    Parameters
    ----------
    id_scores, ood_scores : array, shape (n,) and (m,)
        Higher = more in-distribution.
    tpr : float
        Share of ID samples to accept, in (0, 1].
    method : {"at_least", "nearest"}
        ``"at_least"``: the largest threshold that keeps the true positive rate at ``tpr`` or above. ``"nearest"``: the
        threshold whose rate is nearest to ``tpr``, as in the IsoMax papers' published code; for tiny samples it may
        pick a threshold that rejects nothing.

    Examples
    --------
    >>> tnr_at_tpr([1.0, 2.0, 3.0, 4.0], [0.0, 2.5], tpr=0.75)
    0.5
    """
    check_number("tpr", tpr, above=0, at_most=1)
    check_choice("method", method, ("at_least", "nearest"))
    _, accepted_id, accepted_ood = counts(id_scores, ood_scores)
    if method == "at_least":
        at = np.searchsorted(accepted_id, needed(tpr, int(accepted_id[-1])))
        return 1.0 - int(accepted_ood[at]) / int(accepted_ood[-1])
    # Ties in nearness: the reference scans from the lowest threshold up and keeps the first.
    distance = np.abs(accepted_id / accepted_id[-1] - tpr)[::-1]
    return 1.0 - int(accepted_ood[::-1][np.argmin(distance)]) / int(accepted_ood[-1])


def dtacc(id_scores: Any, ood_scores: Any) -> float:
    """Return the detection accuracy: the largest (TPR + TNR) / 2 over all thresholds.

    Examples
    --------
    >>> dtacc([3.0, 2.0], [2.0, 1.0])
    0.75
    """
    return _computed(id_scores, ood_scores, ["DTACC"])["DTACC"]


def aupr(id_scores: Any, ood_scores: Any, *, positive: str = "in", method: str = "average_precision") -> float:
    """Return the area under the precision-recall curve.

    Parameters
    ----------
    id_scores, ood_scores : array, shape (n,) and (m,)
        Higher = more in-distribution.
    positive : {"in", "out"}
        Which samples count as positive. With ``"out"`` a sample is detected where its score is below the threshold.
    method : {"average_precision", "trapezoid"}
        ``"average_precision"`` sums precision over steps of recall (scikit-learn's definition). ``"trapezoid"``
        interpolates linearly and starts at precision one half, as in the IsoMax papers' published code.

    Notes
    -----
    Unlike AUROC, it depends on the ratio of ID to OOD samples: compare only where the counts are alike.

    Examples
    --------
    >>> aupr([3.0, 2.0], [1.0])
    1.0
    """
    check_choice("positive", positive, ("in", "out"))
    if check_choice("method", method, ("average_precision", "trapezoid")) == "average_precision":
        return _computed(id_scores, ood_scores, [f"AUPR-{positive}"])[f"AUPR-{positive}"]
    if positive == "out":
        id_scores, ood_scores = -check_scores("ood_scores", ood_scores), -check_scores("id_scores", id_scores)
    _, accepted, others = counts(id_scores, ood_scores)
    precision, recall = accepted / (accepted + others), accepted / accepted[-1]
    return float(np.trapezoid(np.append(0.0, precision), np.append(0.0, recall)))


def threshold_at_tpr(id_scores: Any, tpr: float = 0.95) -> float:
    """Return the largest threshold that accepts at least a share ``tpr`` of the ID samples.

    Parameters
    ----------
    id_scores : array, shape (n,)
        Higher = more in-distribution.
    tpr : float
        Share of ID samples to accept, in (0, 1].

    Examples
    --------
    >>> threshold_at_tpr([1.0, 2.0, 3.0, 4.0], tpr=0.75)
    2.0
    """
    scores = np.sort(check_scores("id_scores", id_scores))
    check_number("tpr", tpr, above=0, at_most=1)
    return float(scores[len(scores) - needed(tpr, len(scores))])


def best_dtacc_threshold(id_scores: Any, ood_scores: Any) -> float:
    """Return the largest threshold at which :func:`dtacc` is reached.

    Examples
    --------
    >>> best_dtacc_threshold([3.0, 2.0], [1.5, 1.0])
    2.0
    """
    thresholds, accepted_id, accepted_ood = counts(id_scores, ood_scores)
    return float(thresholds[np.argmax(accepted_id * accepted_ood[-1] - accepted_ood * accepted_id[-1])])


def ood_metrics(id_scores: Any, ood_scores: Any) -> dict[str, float]:
    """Return all detection metrics; :data:`METRICS` says in words what each one means.

    Parameters
    ----------
    id_scores : array, shape (n,)
        Scores of in-distribution samples, higher = more in-distribution. Float32 is sorted fastest.
    ood_scores : array, shape (m,)
        Scores of out-of-distribution samples.

    Returns
    -------
    dict of str to float
        ``TNR@TPR95, AUROC, DTACC, AUPR-in, AUPR-out``, as fractions.

    Raises
    ------
    ValueError
        If an array is empty, not one-dimensional or has values that are not finite.
    TypeError
        If an array does not hold real numbers.

    Examples
    --------
    >>> ood_metrics([3.0, 2.0], [2.0, 1.0])["AUROC"]
    0.875
    """
    return _computed(id_scores, ood_scores, METRICS)


def needed(tpr: float, n: int) -> int:
    """Return how many of ``n`` ID samples a true positive rate of at least ``tpr`` takes."""
    # ceil(tpr * n), but 0.95 * 20 must be 19 although the product is 19.000000000000004 or the like in binary.
    return max(1, int(np.ceil(round(tpr * n, 9))))


def of_counts(blocks: Iterable[Sequence[np.ndarray]], n: int, m: int, names: Iterable[str]) -> dict[str, Any]:
    """Return metrics of how many ID and OOD samples each threshold accepts.

    Parameters
    ----------
    blocks : iterable of (ndarray, ndarray), each of shape (thresholds,) or (thresholds, resamples)
        Accepted ID and OOD samples, from the highest threshold to the lowest, which accepts all.
    n, m : int
        How many ID and OOD samples there are.
    names : iterable of str
        Keys of :data:`METRICS`.

    Returns
    -------
    dict of str to scalar, or to ndarray of shape (resamples,)

    Examples
    --------
    >>> _, accepted_id, accepted_ood = counts([3.0, 2.0], [2.0, 1.0])
    >>> float(of_counts([(accepted_id, accepted_ood)], 2, 2, ["AUROC"])["AUROC"])
    0.875
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    above: list[Any] = [0, 0]
    for block in blocks:
        if not len(block[0]):  # all of these scores equal the next
            continue
        both = [np.empty((len(accepted) + 1, *accepted.shape[1:])) for accepted in block]
        for counted, accepted, first in zip(both, block, above, strict=True):
            counted[0], counted[1:] = first, accepted
        now, before = [counted[1:] for counted in both], [counted[:-1] for counted in both]
        for name, found in parts.items():
            found.append(_TERMS[name](*now, *before, n, m))
        above = [accepted[-1] for accepted in now]
    return {name: _OVER_ALL[name](np.array(found), n, m) for name, found in parts.items()}


# What a block of thresholds gives: accepted ID and OOD, the same one threshold above, all ID and OOD. Counts up to 10^7
# on either side give whole numbers below 2^53, which are exact.
_TERMS: dict[str, Callable[..., np.ndarray]] = {
    "TNR@TPR95": lambda i, o, i0, o0, n, m: np.min(np.where(i >= needed(0.95, n), o, m), axis=0),
    # Every OOD sample counts the ID samples that score higher, and half of those that score the same.
    "AUROC": lambda i, o, i0, o0, n, m: ((o - o0) * (i + i0)).sum(axis=0),
    "DTACC": lambda i, o, i0, o0, n, m: (i * m - o * n).max(axis=0),
    # A resample may have nothing yet at its highest thresholds: they add no recall, so their precision is no matter.
    "AUPR-in": lambda i, o, i0, o0, n, m: ((i - i0) * (i / np.maximum(i + o, 1))).sum(axis=0),
    # The same curve read from the lowest score up: each threshold rejects what the one above it does not accept.
    "AUPR-out": lambda i, o, i0, o0, n, m: ((o - o0) * ((m - o0) / np.maximum(m - o0 + n - i0, 1))).sum(axis=0),
}
# The metric from what the blocks gave.
_OVER_ALL: dict[str, Callable[..., Any]] = {
    "TNR@TPR95": lambda parts, n, m: 1 - parts.min(axis=0) / m,
    "AUROC": lambda parts, n, m: parts.sum(axis=0) / (2 * n * m),
    # A threshold above all scores gives one half, which no detector need fall below.
    "DTACC": lambda parts, n, m: (np.maximum(0, parts.max(axis=0)) / (n * m) + 1) / 2,
    "AUPR-in": lambda parts, n, m: parts.sum(axis=0) / n,
    "AUPR-out": lambda parts, n, m: parts.sum(axis=0) / m,
}


def _computed(id_scores: Any, ood_scores: Any, names: Iterable[str]) -> dict[str, float]:
    inside, outside = check_scores("id_scores", id_scores), check_scores("ood_scores", ood_scores)
    blocks = (accepted for _, *accepted in _counted(inside, outside))
    return {name: float(value) for name, value in of_counts(blocks, len(inside), len(outside), names).items()}

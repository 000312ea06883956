"""Detection metrics of bare score arrays: in-distribution (ID) is the positive class, higher = more in-distribution.

Every metric takes ``id_scores`` and ``ood_scores`` as two arguments, so that nobody has to guess a label or a sign. All
are fractions in [0, 1]. A sample is accepted as in-distribution if its score is greater than or equal to the threshold.

The name "FPR95" is avoided, because libraries disagree on the positive class: with ID positive it is
``1 - tnr_at_tpr(id_scores, ood_scores)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from isomax_viz._common.checks import check_choice, check_number, check_scores

__all__ = [
    "METRICS",
    "aupr",
    "auroc",
    "best_dtacc_threshold",
    "counts",
    "dtacc",
    "ood_metrics",
    "roc",
    "threshold_at_tpr",
    "tnr_at_tpr",
]


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
    _, accepted_id, accepted_ood = counts(id_scores, ood_scores)
    return _auroc(accepted_id, accepted_ood)


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
    _, accepted_id, accepted_ood = counts(id_scores, ood_scores)
    return _tnr_at_tpr(accepted_id, accepted_ood, tpr=tpr, method=method)


def dtacc(id_scores: Any, ood_scores: Any) -> float:
    """Return the detection accuracy: the largest (TPR + TNR) / 2 over all thresholds.

    Examples
    --------
    >>> dtacc([3.0, 2.0], [2.0, 1.0])
    0.75
    """
    _, accepted_id, accepted_ood = counts(id_scores, ood_scores)
    return _dtacc(accepted_id, accepted_ood)


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
    if positive == "out":
        id_scores, ood_scores = -check_scores("ood_scores", ood_scores), -check_scores("id_scores", id_scores)
    _, accepted_positive, accepted_negative = counts(id_scores, ood_scores)
    return _aupr(accepted_positive, accepted_negative, method=method)


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
    return float(thresholds[np.argmax(_balanced_accuracy(accepted_id, accepted_ood))])


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
    _, accepted_id, accepted_ood = counts(id_scores, ood_scores)
    return {
        "TNR@TPR95": _tnr_at_tpr(accepted_id, accepted_ood),
        "AUROC": _auroc(accepted_id, accepted_ood),
        "DTACC": _dtacc(accepted_id, accepted_ood),
        "AUPR-in": _aupr(accepted_id, accepted_ood),
        "AUPR-out": _aupr_out(accepted_id, accepted_ood),
    }


def needed(tpr: float, n: int) -> int:
    """Return how many of ``n`` ID samples a true positive rate of at least ``tpr`` takes."""
    # ceil(tpr * n), but 0.95 * 20 must be 19 although the product is 19.000000000000004 or the like in binary.
    return int(np.ceil(round(tpr * n, 9)))


def _auroc(accepted_id: np.ndarray, accepted_ood: np.ndarray) -> float:
    # Whole numbers up to the last division: exact for up to 10^9 samples on either side.
    twice_area = int(np.dot(accepted_id[1:] + accepted_id[:-1], np.diff(accepted_ood)))
    twice_area += int(accepted_id[0]) * int(accepted_ood[0])
    return twice_area / (2 * int(accepted_id[-1]) * int(accepted_ood[-1]))


def _tnr_at_tpr(
    accepted_id: np.ndarray, accepted_ood: np.ndarray, *, tpr: float = 0.95, method: str = "at_least"
) -> float:
    check_number("tpr", tpr, above=0, at_most=1)
    check_choice("method", method, ("at_least", "nearest"))
    n = int(accepted_id[-1])
    if method == "at_least":
        at = int(np.searchsorted(accepted_id, needed(tpr, n)))
    else:
        # Ties in nearness: the reference scans from the lowest threshold up and keeps the first.
        distance = np.abs(accepted_id / n - tpr)[::-1]
        at = len(distance) - 1 - int(np.argmin(distance))
    return 1.0 - int(accepted_ood[at]) / int(accepted_ood[-1])


def _balanced_accuracy(accepted_id: np.ndarray, accepted_ood: np.ndarray) -> np.ndarray:
    return (accepted_id / accepted_id[-1] + 1.0 - accepted_ood / accepted_ood[-1]) / 2


def _dtacc(accepted_id: np.ndarray, accepted_ood: np.ndarray) -> float:
    # A threshold above all scores gives one half, which no detector need fall below.
    return max(0.5, float(_balanced_accuracy(accepted_id, accepted_ood).max()))


def _aupr(accepted_positive: np.ndarray, accepted_negative: np.ndarray, *, method: str = "average_precision") -> float:
    check_choice("method", method, ("average_precision", "trapezoid"))
    precision = accepted_positive / (accepted_positive + accepted_negative)
    if method == "average_precision":
        added = np.diff(accepted_positive, prepend=0)
        return float(np.dot(added.astype(np.float64), precision)) / int(accepted_positive[-1])
    recall = accepted_positive / accepted_positive[-1]
    return float(np.trapezoid(np.append(0.0, precision), np.append(0.0, recall)))


def _aupr_out(accepted_id: np.ndarray, accepted_ood: np.ndarray) -> float:
    # The same curve read from the lowest score up: each step rejects one more group of equal scores.
    rejected_id = accepted_id[-1] - np.append(0, accepted_id[:-1])
    rejected_ood = accepted_ood[-1] - np.append(0, accepted_ood[:-1])
    return _aupr(rejected_ood[::-1], rejected_id[::-1])

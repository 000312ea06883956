"""A threshold on a score and what it does: the images that it accepts, counted per capture and set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.analysis import metrics
from isomax_viz.analysis.chosen import Captures, Names, as_list, as_names, chosen_ood, one_each, set_scores
from isomax_viz.analysis.scores import ScoreLike, compute
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source

__all__ = ["RULES", "check_threshold", "find_threshold", "same_share", "threshold_table"]

RULES = {
    "tpr95": "the largest threshold that accepts at least 95 % of the ID images",
    "dtacc": "the threshold with the best mean of accepted ID and rejected OOD images",
}


def find_threshold(
    capture: Capture, ood: Names = None, *, score: ScoreLike | None = None, rule: str = "tpr95"
) -> float:
    """Return the threshold that a rule gives; images with a score at or above it are accepted as in-distribution.

    Parameters
    ----------
    capture : Capture
    ood : str or list of str, optional
        Out-of-distribution sets, by default all; taken together, and used by ``"dtacc"`` only.
    score : str or callable, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function.
    rule : {"tpr95", "dtacc"}
        See :data:`RULES`. Only ``"tpr95"`` can be used where nothing is known of the images to come.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a name is unknown, or the score needs what the capture does not carry.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> find_threshold(capture, score="max_logit")
    3.0
    """
    check_choice("rule", rule, RULES)
    if rule == "tpr95":
        chosen_ood(capture, ood, required=False)  # a misspelt name is no matter of the rule
        return metrics.threshold_at_tpr(compute(score, capture.test))
    _, id_scores, sets = set_scores(capture, score, ood)
    return metrics.best_dtacc_threshold(id_scores, np.concatenate(list(sets.values())))


def same_share(
    threshold: float,
    capture: Capture,
    other: Capture,
    *,
    score: ScoreLike | None = None,
    other_score: ScoreLike | None = None,
) -> float:
    """Return the threshold at which another capture (or score) accepts at least the same share of its ID images.

    Scores of two losses have different ranges: what can be compared is the share of known images that both accept.

    Examples
    --------
    >>> one = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1])
    >>> two = Capture.from_arrays([[30.0, 0.0], [0.0, 40.0]], [0, 1])
    >>> same_share(4.0, one, two, score="max_logit")
    40.0
    """
    share = float((compute(score, capture.test) >= threshold).mean())
    theirs = compute(score if other_score is None else other_score, other.test)
    if share == 0:
        return float(np.nextafter(theirs.max(), np.float32(np.inf)))
    return metrics.threshold_at_tpr(theirs, share)


def threshold_table(
    captures: Captures,
    ood: Names = None,
    *,
    score: ScoreLike | None = None,
    threshold: float | str | Sequence[float] = "tpr95",
) -> pd.DataFrame:
    """Count what a threshold accepts, one row per capture and out-of-distribution set.

    Parameters
    ----------
    captures : Capture or list of Capture
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    score : str or callable, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function; higher = more in-distribution.
    threshold : float, {"tpr95", "dtacc"} or one float per capture
        A number, or a rule of :data:`RULES` that gives each capture its own. Infinity accepts nothing, minus infinity
        everything.

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, backbone, preset, seed, capture`` (number in the list), ``score, ood, threshold``,
        the counts ``id_accepted, id_rejected, ood_accepted, ood_rejected``, ``n_id, n_ood`` and the fractions
        ``TPR`` (accepted ID), ``FPR`` (accepted OOD), ``TNR`` (rejected OOD).

    Raises
    ------
    ValueError
        If a name is unknown or there are not as many thresholds as captures.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> table = threshold_table(capture, score="max_logit", threshold=3.5)
    >>> table[["threshold", "id_accepted", "id_rejected", "ood_accepted", "ood_rejected", "TPR", "TNR"]]
       threshold  id_accepted  id_rejected  ood_accepted  ood_rejected  TPR  TNR
    0        3.5            1            1             0             1  0.5  1.0
    """
    listed, ood = as_list(captures), as_names(ood)
    rows = []
    for number, (capture, value) in enumerate(zip(listed, _values(listed, ood, score, threshold), strict=True)):
        chosen, id_scores, sets = set_scores(capture, score, ood)
        accepted, n_id = int((id_scores >= value).sum()), len(id_scores)
        for name, ood_scores in sets.items():
            passed, n_ood = int((ood_scores >= value).sum()), len(ood_scores)
            rows.append(
                source(capture)
                | {"capture": number, "score": chosen.key, "ood": name, "threshold": value}
                | {"id_accepted": accepted, "id_rejected": n_id - accepted}
                | {"ood_accepted": passed, "ood_rejected": n_ood - passed, "n_id": n_id, "n_ood": n_ood}
                | {"TPR": accepted / n_id, "FPR": passed / n_ood, "TNR": 1 - passed / n_ood}
            )
    return pd.DataFrame(rows)


def _values(
    captures: list[Capture], ood: Names, score: ScoreLike | None, threshold: float | str | Sequence[float]
) -> list[float]:
    if isinstance(threshold, str):
        check_choice("threshold", threshold, RULES, remedy="A number is accepted too.")
        return [find_threshold(capture, ood, score=score, rule=threshold) for capture in captures]
    return [check_threshold(value) for value in one_each("threshold", threshold, captures, what="number")]


def check_threshold(value: Any) -> float:
    """Return a threshold as a float; it may be infinite, as where rejecting everything costs least.

    Examples
    --------
    >>> check_threshold(float("inf"))
    inf
    """
    infinite = isinstance(value, (float, np.floating)) and np.isinf(value)
    return float(value if infinite else check_number("threshold", value))

"""What a threshold risks: each kind of error has its cost, and the world has a share of unknown images."""

from __future__ import annotations

from itertools import combinations
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number, check_scores
from isomax_viz.analysis import metrics
from isomax_viz.analysis.chosen import Names, set_scores
from isomax_viz.analysis.scores import ScoreLike
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source

__all__ = ["cheapest_threshold", "disagreements", "expected_cost", "risk_table", "two_meanings"]


class Costs(TypedDict, total=False):
    """Options of :func:`expected_cost`."""

    accept_unknown: float
    reject_known: float
    share_unknown: float


# Networks that differ in one of these are no rivals.
_SETTING = ("data", "backbone", "preset", "select", "variant")


def expected_cost(
    tpr: Any, fpr: Any, *, accept_unknown: float = 1.0, reject_known: float = 1.0, share_unknown: float = 0.5
) -> Any:
    """Return the expected cost per image.

    Parameters
    ----------
    tpr, fpr : float or array
        Shares of known and of unknown images that are accepted.
    accept_unknown, reject_known : float
        Cost of either error, at least 0, in any unit. What is judged correctly costs nothing.
    share_unknown : float
        Share of unknown images among those to come, in [0, 1].

    Returns
    -------
    float or ndarray
        ``accept_unknown * share_unknown * fpr + reject_known * (1 - share_unknown) * (1 - tpr)``.

    Examples
    --------
    >>> round(expected_cost(0.95, 0.2, accept_unknown=10.0, share_unknown=0.1), 6)
    0.245
    """
    check_number("accept_unknown", accept_unknown, at_least=0)
    check_number("reject_known", reject_known, at_least=0)
    check_number("share_unknown", share_unknown, at_least=0, at_most=1)
    return accept_unknown * share_unknown * fpr + reject_known * (1 - share_unknown) * (1 - tpr)


def risk_table(
    capture: Capture, ood: Names = None, *, score: ScoreLike | None = None, **costs: Unpack[Costs]
) -> pd.DataFrame:
    """Return the expected cost at every threshold that makes a difference.

    Parameters
    ----------
    capture : Capture
    ood : str or list of str, optional
        Out-of-distribution sets; by default all. Each counts alike, however many images it has.
    score : str or callable, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function; higher = more in-distribution.
    **costs
        ``accept_unknown, reject_known, share_unknown``, see :func:`expected_cost`.

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, backbone, preset, seed, score, ood`` (the sets, joined), ``threshold``
        (descending; the first one, infinity, rejects everything), ``tpr, fpr, cost`` and ``cheapest`` (True at the
        first row of least cost).

    Raises
    ------
    ValueError
        If a name is unknown, a number is out of range, or there is no set to compare with.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 1.0]], [0, 1], ood={"mine": [[2.0, 0.0]]}, loss="softmax")
    >>> risk_table(capture, score="max_logit", accept_unknown=4.0)[["threshold", "tpr", "fpr", "cost", "cheapest"]]
       threshold  tpr  fpr  cost  cheapest
    0        inf  0.0  0.0  0.50     False
    1        3.0  0.5  0.0  0.25      True
    2        2.0  0.5  1.0  2.25     False
    3        1.0  1.0  1.0  2.00     False
    """
    chosen, id_scores, sets = set_scores(capture, score, ood)
    thresholds = np.append(np.inf, np.unique(np.concatenate([id_scores, *sets.values()]))[::-1])
    tpr = _accepted(id_scores, thresholds)
    fpr = np.mean([_accepted(values, thresholds) for values in sets.values()], axis=0)
    cost = expected_cost(tpr, fpr, **costs)
    told = source(capture) | {"score": chosen.key, "ood": ", ".join(sets)}
    least = cost.min() + 1e-12 * cost.max()  # ties differ by rounding
    cheapest = np.arange(len(thresholds)) == int(np.argmax(cost <= least))
    return pd.DataFrame(told | {"threshold": thresholds, "tpr": tpr, "fpr": fpr, "cost": cost, "cheapest": cheapest})


def cheapest_threshold(
    capture: Capture, ood: Names = None, *, score: ScoreLike | None = None, **costs: Unpack[Costs]
) -> float:
    """Return the threshold of least expected cost on these images; infinity if rejecting everything is cheapest.

    Options are those of :func:`risk_table`.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 1.0]], [0, 1], ood={"mine": [[2.0, 0.0]]}, loss="softmax")
    >>> cheapest_threshold(capture, score="max_logit", reject_known=4.0)
    1.0
    """
    table = risk_table(capture, ood, score=score, **costs)
    return float(table.loc[table["cheapest"], "threshold"].iloc[0])


def two_meanings(id_scores: Any, ood_scores: Any) -> dict[str, float]:
    """Return the two numbers that libraries both call "FPR95", under names that say which is which.

    Parameters
    ----------
    id_scores, ood_scores : array, shape (n,) and (m,)
        Higher = more in-distribution.

    Examples
    --------
    >>> two_meanings([4.0, 3.0, 2.0, 1.0], [2.5, 0.0])
    {'OOD accepted where 95 % of ID are accepted': 0.5, 'ID rejected where 95 % of OOD are rejected': 0.5}
    """
    # The same question with the parts exchanged: OOD is positive, and high must mean OOD.
    mirrored = -check_scores("ood_scores", ood_scores), -check_scores("id_scores", id_scores)
    return {
        "OOD accepted where 95 % of ID are accepted": 1 - metrics.tnr_at_tpr(id_scores, ood_scores),
        "ID rejected where 95 % of OOD are rejected": 1 - metrics.tnr_at_tpr(*mirrored),
    }


def disagreements(table: pd.DataFrame, metrics: tuple[str, str] = ("AUROC", "TNR@TPR95")) -> pd.DataFrame:
    """Return the pairs of detectors that two metrics rank differently, those that differ most first.

    Parameters
    ----------
    table : DataFrame
        Of ``iv.evaluate``: a detector is a loss (with its entropic scale, where one loss has several) with a score.
        Only detectors of the same unknown set, seed, data, backbone, preset, selected epoch and changes to the training
        are compared.
    metrics : (str, str)
        Two of its columns.

    Returns
    -------
    DataFrame
        The columns of ``data, backbone, preset, select, variant`` that hold more than one value, ``ood, seed, first,
        second`` (detectors; the first one is ahead by the first metric) and, for both metrics, the difference of the
        first detector to the second. Attribute ``attrs["pairs"]``: how many pairs were compared.

    Examples
    --------
    >>> rows = {"loss": ["softmax"] * 2, "score": ["mps", "es"], "ood": "letters", "seed": 0}
    >>> table = pd.DataFrame(rows | {"AUROC": [0.9, 0.8], "TNR@TPR95": [0.5, 0.75]})
    >>> disagreements(table)[["first", "second", "AUROC", "TNR@TPR95"]].round(2).to_numpy().tolist()
    [['softmax / mps', 'softmax / es', 0.1, -0.25]]
    """
    table = table.reset_index(drop=True)
    one, other = (check_choice("metrics", name, table.columns) for name in metrics)
    told = [name for name in _SETTING if name in table and table[name].nunique(dropna=False) > 1]
    alike = [*told, "ood", "seed"]
    detectors = _detectors(table)
    found, pairs = [], 0
    for same, rows in table.groupby(alike, sort=False, dropna=False):
        for a, b in combinations(rows.to_dict("index").items(), 2):
            pairs += 1
            (ahead, better), (behind, worse) = (a, b) if a[1][one] >= b[1][one] else (b, a)
            gaps = {name: better[name] - worse[name] for name in (one, other)}
            if gaps[one] > 0 > gaps[other]:
                names = {"first": detectors[ahead], "second": detectors[behind]}
                found.append(dict(zip(alike, same, strict=True)) | names | gaps)
    result = pd.DataFrame(found, columns=[*alike, "first", "second", one, other])
    order = np.argsort(-np.minimum(result[one], -result[other]).to_numpy(dtype=float), kind="stable")
    result = result.iloc[order].reset_index(drop=True)
    result.attrs["pairs"] = pairs
    return result


def _detectors(table: pd.DataFrame) -> pd.Series:
    """Return the name of the detector in each row: two scales of one loss are two detectors."""
    loss = table["loss"].astype(str)
    if "entropic_scale" in table:
        several = table.groupby("loss")["entropic_scale"].transform("nunique") > 1
        scale = table["entropic_scale"].map(", scale {:g}".format, na_action="ignore").fillna("")
        loss = loss.mask(several, loss + scale.astype(str))
    return loss + " / " + table["score"].astype(str)


def _accepted(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return 1 - np.searchsorted(np.sort(scores), thresholds, side="left") / len(scores)

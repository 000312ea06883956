"""Captures in, tidy DataFrames out: what figures draw and notebooks print.

Binned tables live in :mod:`isomax_viz.analysis.histograms` and are available here too, so that ``iv.tables`` has one
table function for every figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from isomax_viz.analysis import metrics
from isomax_viz.analysis.chosen import Captures, Names, as_list, as_names, chosen_ood, chosen_scores, set_scores
from isomax_viz.analysis.histograms import logits_table, scores_table, values_table
from isomax_viz.analysis.scores import ScoreLike
from isomax_viz.captures.provenance import source

__all__ = ["evaluate", "logits_table", "roc_table", "scores_table", "training_table", "values_table"]

DEFAULT_SCORES = ("mps", "es", "mds")
EVALUATE_COLUMNS = (
    *("data", "backbone", "loss", "entropic_scale", "score", "ood", "seed", "preset", "select", "variant"),
    *("precision", "machine", "n_id", "n_ood", "accuracy", *metrics.METRICS),
)


def evaluate(
    captures: Captures, *, scores: ScoreLike | Iterable[ScoreLike] = DEFAULT_SCORES, ood: Names = None
) -> pd.DataFrame:
    """Return the detection metrics of every capture, score and out-of-distribution set, one tidy row each.

    Parameters
    ----------
    captures : Capture or list of Capture
    scores : str, callable or list of them
        Keys of ``iv.scores.SCORES``, names of the captures' score columns, or your own functions. Left at the default,
        MDS rows are omitted for captures that carry no distances, and a capture without logits gives all its columns;
        asked for by name, what is missing is an error.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all of each capture.

    Returns
    -------
    DataFrame
        ``data, backbone, loss, entropic_scale, score, ood, seed, preset, select`` (None where the capture does not
        say), ``variant`` (what else was changed in the training, None if nothing; see
        :func:`isomax_viz.captures.provenance.variant`), ``precision`` (number format of the backbone in training),
        ``n_id, n_ood`` (images), ``accuracy`` of the test images and the metrics of
        :func:`isomax_viz.analysis.metrics.ood_metrics`; all fractions in [0, 1], in-distribution positive.

    Raises
    ------
    ValueError
        If a score or set is unknown, two scores share a name, a set is empty, a capture has none, or a score needs what
        is not there.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> evaluate(capture)[["loss", "score", "ood", "n_id", "n_ood", "AUROC"]]
          loss score   ood  n_id  n_ood  AUROC
    0  softmax   mps  mine     2      1    1.0
    1  softmax    es  mine     2      1    1.0
    """
    by_default = scores is DEFAULT_SCORES
    scores, ood = as_names(scores), as_names(ood)
    rows = []
    for capture in as_list(captures):
        sets = chosen_ood(capture, ood)
        precision = capture.meta.get("computing", {}).get("precision")
        by_columns = by_default and capture.test.logits is None
        for score in chosen_scores(capture.test.extra_scores if by_columns else scores, capture.test):
            if by_default and not score.fits(capture.test, *sets.values()):
                continue
            _, id_scores, ood_scores = set_scores(capture, score, ood)
            for name, values in ood_scores.items():
                row = source(capture) | {"score": score.key, "ood": name, "accuracy": capture.test.accuracy}
                row |= {"n_id": len(id_scores), "n_ood": len(values), "precision": precision}
                rows.append(row | metrics.ood_metrics(id_scores, values))
    return pd.DataFrame(rows, columns=list(EVALUATE_COLUMNS))


def _corners(fpr: np.ndarray, tpr: np.ndarray, n_ood: int, n_id: int, keep: int) -> np.ndarray:
    """Return the indices of the points where the curve turns, and ``keep``: the others lie on straight lines."""
    # Whole counts, so that equal steps compare equal.
    turns = (np.diff(np.stack([np.rint(fpr * n_ood), np.rint(tpr * n_id)]), 2) != 0).any(axis=0)
    kept = np.concatenate([[True], turns, [True]])
    kept[keep] = True
    return np.flatnonzero(kept)


def roc_table(
    captures: Captures,
    ood: Names = None,
    *,
    score: ScoreLike | Iterable[ScoreLike] | None = None,
    thresholds: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Return receiver operating characteristics, one row per corner of each curve.

    Parameters
    ----------
    captures : Capture or list of Capture
    ood : str or list of str, optional
        Out-of-distribution sets; by default all of each capture.
    score : str, callable or list of them, optional
        By default ES; the first score column where there are no logits.
        Keys of ``iv.scores.SCORES`` or your own functions.
    thresholds : sequence of float, optional
        Where the operating points are, one per capture; by default the largest threshold that keeps TPR >= 0.95.

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, backbone, preset, seed, capture`` (number in the list), ``score, ood, fpr`` (share
        of OOD images accepted), ``tpr`` (share of ID images accepted), ``threshold``, ``operating_point`` (True at one
        row of each curve), ``n_id, n_ood, AUROC``. Points on a straight line between others are left out.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> roc_table(capture, score="mps")[["fpr", "tpr", "operating_point", "AUROC"]]
       fpr  tpr  operating_point  AUROC
    0  0.0  0.0            False    1.0
    1  0.0  1.0             True    1.0
    2  1.0  1.0            False    1.0
    """
    parts, score, ood = [], as_names(score), as_names(ood)
    for number, capture in enumerate(as_list(captures)):
        for chosen in chosen_scores(score, capture.test):
            _, id_scores, sets = set_scores(capture, chosen, ood)
            for name, ood_scores in sets.items():
                fpr, tpr, threshold = metrics.roc(id_scores, ood_scores)
                reached = tpr >= 0.95
                if thresholds is not None:  # the last point at or above it, in the precision of the scores
                    reached = np.append(threshold[1:].astype(id_scores.dtype) < thresholds[number], True)
                operating = int(np.argmax(reached))
                kept = _corners(fpr, tpr, len(ood_scores), len(id_scores), operating)
                columns = source(capture) | {"capture": number, "score": chosen.key, "ood": name}
                columns |= {"fpr": fpr[kept], "tpr": tpr[kept], "threshold": threshold[kept]}
                columns |= {"operating_point": kept == operating, "n_id": len(id_scores), "n_ood": len(ood_scores)}
                parts.append(pd.DataFrame(columns | {"AUROC": metrics.auroc(id_scores, ood_scores)}))
    return pd.concat(parts, ignore_index=True)


def training_table(captures: Captures) -> pd.DataFrame:
    """Return the training histories in long form, one row per epoch, split and quantity.

    Parameters
    ----------
    captures : Capture or list of Capture
        Captures that carry a history (recorded by ``Experiment.run()``).

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, backbone, preset, seed, capture`` (number in the list), ``epoch`` (from 1),
        ``split`` ("train" or "test"), ``quantity`` (a column of the history, such as "accuracy"), ``value``.

    Raises
    ------
    ValueError
        If a capture has no history.

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [1, 2], "split": "train", "accuracy": [0.5, 0.75]})
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax").replace(history=history)
    >>> training_table(capture)[["loss", "epoch", "split", "quantity", "value"]]
         loss  epoch  split  quantity  value
    0  isomax      1  train  accuracy   0.50
    1  isomax      2  train  accuracy   0.75
    """
    parts = []
    for number, capture in enumerate(as_list(captures)):
        if capture.history is None:
            raise ValueError(
                f"{capture!r} has no training history. Record one with Experiment.run(); arrays alone have none."
            )
        # A history's own column "loss" becomes a quantity, so that it cannot collide with the key of the loss.
        long = capture.history.melt(id_vars=["epoch", "split"], var_name="quantity", value_name="value")
        for position, (name, value) in enumerate((source(capture) | {"capture": number}).items()):
            long.insert(position, name, value)
        parts.append(long.dropna(subset="value"))
    return pd.concat(parts, ignore_index=True)

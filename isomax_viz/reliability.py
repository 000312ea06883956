"""Reliability: how sure a network was beside how often it was right, from bare arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import as_numeric, check_choice, check_finite, check_number

__all__ = ["BINNINGS", "calibration_error", "reliability_table"]

BINNINGS = {
    "width": "bins of equal width between 0 and 1",
    "count": "bins that hold as many samples each, as far as equal confidences allow",
}


def reliability_table(confidences: Any, correct: Any, *, bins: int = 15, binning: str = "width") -> pd.DataFrame:
    """Compare how sure a network was with how often it was right, bin by bin.

    Parameters
    ----------
    confidences : array, shape (n,)
        Probability of the class that the network decided for, in [0, 1].
    correct : array of bool, shape (n,)
        Whether it was right.
    bins : int
        Number of bins.
    binning : {"width", "count"}
        See :data:`BINNINGS`.

    Returns
    -------
    DataFrame
        One row per bin that is not empty: ``left, right`` (a bin holds its right edge; the first one also its left),
        ``n``, ``confidence`` and ``accuracy`` (means over the bin), ``gap`` (confidence minus accuracy: above zero is
        overconfident).

    Raises
    ------
    ValueError
        If confidences lie outside [0, 1] or are NaN, ``correct`` holds something else than True and False, or the
        arrays are empty or differ in length.

    Examples
    --------
    >>> reliability_table([0.6, 0.7, 0.95], [True, False, True], bins=2)[["left", "right", "n", "accuracy"]]
       left  right  n  accuracy
    0   0.5    1.0  3  0.666667
    """
    check_number("bins", bins, at_least=1, whole=True)
    check_choice("binning", binning, BINNINGS)
    values, right = as_numeric("confidences", confidences).astype(np.float64), np.asarray(correct)
    if values.ndim != 1 or right.shape != values.shape:
        raise ValueError(
            f"confidences and correct must have the same shape (n,), but have {values.shape} and {right.shape}."
        )
    if not len(values):
        raise ValueError("confidences is empty. Give at least one sample of known class.")
    check_finite("confidences", values, remedy="Drop these samples, or find where the network produced them.")
    # Float32 probabilities may exceed 1 by a rounding error.
    if not (values.min() >= 0 and values.max() <= 1 + 1e-6):
        raise ValueError(
            f"confidences must lie in 0 .. 1, but range from {values.min():g} to {values.max():g}. Give probabilities, "
            "not logits."
        )
    if not np.isin(right, (False, True)).all():
        raise ValueError(
            "correct must say of every sample whether the network was right, True or False, but holds other values. "
            "Give predictions == labels."
        )
    values = np.minimum(values, 1.0)
    edges = np.linspace(0, 1, bins + 1)
    if binning == "count":
        last = (np.arange(1, bins + 1) * len(values) + bins - 1) // bins - 1  # each bin's last sample, in whole numbers
        edges = np.append(0.0, np.unique(np.sort(values)[last]))
    place = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2)
    frame = pd.DataFrame({"bin": place, "confidence": values, "accuracy": right.astype(np.float64)})
    table = frame.groupby("bin").agg(
        n=("confidence", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    left, right_edge = edges[table.index], edges[table.index + 1]
    table = table.assign(left=left, right=right_edge, gap=table["confidence"] - table["accuracy"])
    return table.reset_index(drop=True)[["left", "right", "n", "confidence", "accuracy", "gap"]]


def calibration_error(confidences: Any, correct: Any, *, bins: int = 15, binning: str = "width") -> float:
    """Return the expected calibration error: the mean absolute gap of :func:`reliability_table`, weighted by counts.

    Parameters
    ----------
    confidences, correct, bins, binning
        As there. The number depends on the bins, so say which: 15 of equal width are usual.

    Notes
    -----
    Source: Naeini et al. (2015); 15 bins as in Guo et al. (2017).

    Examples
    --------
    >>> calibration_error([0.9, 0.9, 0.9, 0.9], [True, True, True, False])
    0.15
    """
    table = reliability_table(confidences, correct, bins=bins, binning=binning)
    return float(round((table["n"] * table["gap"].abs()).sum() / table["n"].sum(), 12))

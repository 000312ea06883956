"""Which images stand behind a number: the surest errors, those nearest a threshold, those in a range of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number, check_unused
from isomax_viz.analysis.chosen import Names, set_scores
from isomax_viz.analysis.scores import ScoreLike
from isomax_viz.captures.capture import Capture

__all__ = ["select_images"]


def select_images(
    capture: Capture,
    ood: Names = None,
    *,
    score: ScoreLike | None = None,
    which: str = "confident_ood",
    threshold: float | None = None,
    limits: tuple[float, float] | None = None,
    most: int = 24,
) -> pd.DataFrame:
    """Return which images of the test and out-of-distribution sets a selection means.

    Parameters
    ----------
    capture : Capture
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    score : str or callable, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function.
    which : {"confident_ood", "doubtful_id", "near_threshold", "range"}
        Out-of-distribution images with the highest scores, the surest errors; in-distribution images with the lowest
        ones, known images that look unknown; images of all sets with scores nearest to the threshold; images of all
        sets with scores within the limits, spread evenly over them.
    threshold : float, optional
        Needed by ``"near_threshold"``.
    limits : (float, float), optional
        Lowest and highest score, both included; needed by ``"range"``.
    most : int
        Images at most.

    Returns
    -------
    DataFrame
        One row per image: ``set`` ("test" or a set's name), ``index`` (its number there), ``label`` (-1 for OOD),
        ``prediction`` and ``score``. Highest scores first for ``"confident_ood"``, lowest first for ``"doubtful_id"``
        and ``"range"``, nearest first for ``"near_threshold"``; ties in the order of the sets.

    Raises
    ------
    ValueError
        If a name is unknown, or a threshold or limits are missing, or given where they change nothing.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0], [5.0, 0.0]]})
    >>> select_images(capture, score="max_logit", which="confident_ood", most=1)
        set  index  label  prediction  score
    0  mine      1     -1           0    5.0
    """
    check_choice("which", which, ("confident_ood", "doubtful_id", "near_threshold", "range"))
    check_number("most", most, at_least=1, whole=True)
    if which != "near_threshold":
        check_unused(f"which={which!r}", threshold=threshold)
    if which != "range":
        check_unused(f"which={which!r}", limits=limits)
    _, id_scores, sets = set_scores(capture, score, ood)
    parts = []
    for name, values in ({"test": id_scores} | sets).items():
        samples = capture.samples[name]
        columns: dict[str, Any] = {"set": name, "index": np.arange(len(samples)), "label": samples.labels}
        parts.append(pd.DataFrame(columns | {"prediction": samples.predictions, "score": values}))
    table = pd.concat(parts, ignore_index=True)
    if which == "confident_ood":
        rows = table[table["set"] != "test"].sort_values("score", ascending=False, kind="stable")
    elif which == "doubtful_id":
        rows = table[table["set"] == "test"].sort_values("score", kind="stable")
    elif which == "near_threshold":
        if threshold is None:
            raise ValueError("threshold is needed for which='near_threshold'; see thresholds.find_threshold.")
        rows = table.iloc[(table["score"] - threshold).abs().argsort(kind="stable")]
    else:
        if limits is None:
            raise ValueError("limits are needed for which='range': limits=(lowest, highest).")
        rows = table[table["score"].between(*limits)].sort_values("score", kind="stable")
        if len(rows) > most:
            rows = rows.iloc[np.arange(most) * len(rows) // most]
    return rows.head(most).reset_index(drop=True)

"""Which images a score is most wrong about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.analysis.chosen import Names, set_scores
from isomax_viz.analysis.scores import ScoreLike
from isomax_viz.captures.capture import Capture

__all__ = ["select_images"]


def select_images(
    capture: Capture, ood: Names = None, *, score: ScoreLike | None = None, which: str = "confident_ood", most: int = 24
) -> pd.DataFrame:
    """Return the images that a score is most wrong about.

    Parameters
    ----------
    capture : Capture
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    score : str or callable, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function.
    which : {"confident_ood", "doubtful_id"}
        Out-of-distribution images with the highest scores, the surest errors; in-distribution images with the lowest
        ones, known images that look unknown.
    most : int
        Images at most.

    Returns
    -------
    DataFrame
        One row per image: ``set`` ("test" or a set's name), ``index`` (its number there), ``label`` (-1 for OOD),
        ``prediction`` and ``score``. The surest errors first; ties in the order of the sets.

    Raises
    ------
    ValueError
        If a name is unknown.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0], [5.0, 0.0]]})
    >>> select_images(capture, score="max_logit", which="confident_ood", most=1)
        set  index  label  prediction  score
    0  mine      1     -1           0    5.0
    """
    check_choice("which", which, ("confident_ood", "doubtful_id"))
    check_number("most", most, at_least=1, whole=True)
    _, id_scores, sets = set_scores(capture, score, ood)
    parts = []
    for name, values in ({"test": id_scores} if which == "doubtful_id" else sets).items():
        samples = capture.samples[name]
        columns: dict[str, Any] = {"set": name, "index": np.arange(len(samples)), "label": samples.labels}
        parts.append(pd.DataFrame(columns | {"prediction": samples.predictions, "score": values}))
    table = pd.concat(parts).sort_values("score", ascending=which == "doubtful_id", kind="stable", ignore_index=True)
    return table.head(most)

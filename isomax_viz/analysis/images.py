"""Which images a score is most wrong about, and which training images are most like one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.analysis.chosen import Names, set_scores
from isomax_viz.analysis.scores import ScoreLike
from isomax_viz.captures.capture import Capture

__all__ = ["nearest_training", "select_images"]


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


def nearest_training(capture: Capture, name: str, index: int, *, most: int = 6) -> pd.DataFrame:
    """Return the training images whose features are most like those of one image.

    Parameters
    ----------
    capture : Capture
        With features of its training images and of the set.
    name : str
        "test" or an out-of-distribution set.
    index : int
        Number of the image there.
    most : int
        Images at most.

    Returns
    -------
    DataFrame
        One row per training image, the nearest first: ``index``, ``label`` and ``distance``, which is the Euclidean one
        between unit vectors of features, as of the score ``"knn"`` (Sun et al. 2022).

    Raises
    ------
    ValueError
        If features were not recorded.

    Examples
    --------
    >>> from isomax_viz.captures.samples import Samples
    >>> train = Samples([[3.0, 0.0], [0.0, 3.0]], [0, 1], features=[[2.0, 0.0], [0.0, 2.0]])
    >>> unknown = {"mine": {"logits": [[0.1, 0.0]], "features": [[3.0, 4.0]]}}
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], ood=unknown, features=[[1.0, 0.0]]).replace(train=train)
    >>> nearest_training(capture, "mine", 0).round(3)
       index  label  distance
    0      1      1     0.632
    1      0      0     0.894
    """
    if capture.train is None or capture.train.features is None:
        raise ValueError(
            "The capture holds no features of training images, so that none can be named as the nearest. "
            "Experiment(...).run() records them."
        )
    one, others = capture.samples[name].require("features")[index], capture.train.features
    distances = np.linalg.norm(_unit(others) - _unit(one), axis=-1)
    rows = np.argsort(distances, kind="stable")[:most]
    return pd.DataFrame({"index": rows, "label": capture.train.labels[rows], "distance": distances[rows]})


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), np.finfo(np.float32).tiny)

"""Score columns: scores that need the network, its gradients or its training features, stored beside the samples.

They are computed once (:func:`isomax_viz.add_scores`) and from then on shown like any other score, without the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from isomax_viz._common.checks import check_known
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples, check_column_name

__all__ = ["COLUMNS", "Score", "add_column", "column", "read"]


@dataclass(frozen=True)
class Score:
    """A score with its words; call it with samples.

    Attributes
    ----------
    key, label, name : str
        Registry key, short label for axes, name in full.
    formula : str
        Formula in mathtext (without dollar signs).
    explanation : str
        One sentence in plain language.
    source : str
        Where it was proposed.
    function : callable
        From samples to an array of shape (n,).
    """

    key: str
    label: str
    name: str
    formula: str
    explanation: str
    source: str
    function: Callable[[Samples], np.ndarray]

    def __call__(self, samples: Samples) -> np.ndarray:
        """Return one number per sample."""
        return self.function(samples)


def read(samples: Samples, key: str) -> np.ndarray:
    """Return the column of that name.

    Raises
    ------
    ValueError
        If the samples carry no such column.

    Examples
    --------
    >>> read(Samples(logits=[[0.0, 0.0]], labels=[0], extra_scores={"mine": [0.5]}), "mine").tolist()
    [0.5]
    """
    if key not in samples.extra_scores:
        listed = ", ".join(map(repr, samples.extra_scores)) or "none"
        how = f"iv.add_scores(capture, {key!r})" if key in COLUMNS else f"iv.scores.add_column(capture, {key!r}, ...)"
        raise ValueError(
            f"These samples carry no column for the score {key!r}; their columns are: {listed}. "
            f"Add it with: capture = {how}."
        )
    return samples.extra_scores[key]


def column(key: str) -> Score:
    """Return the score that reads a column, with its words where they are known.

    Examples
    --------
    >>> column("odin").label, column("my detector").label
    ('ODIN', 'my detector')
    """
    if key in COLUMNS:
        return COLUMNS[key]
    return Score(key, key, key, "", "A score that was computed elsewhere.", "", partial(read, key=key))


def _score(key: str, label: str, name: str, formula: str, explanation: str, source: str) -> Score:
    return Score(key, label, name, formula, explanation, source, partial(read, key=key))


_LISTED = (
    _score(
        "odin", "ODIN", "ODIN: temperature and input preprocessing",
        r"\max_j \, p_j(\tilde{x}, T)",
        "The picture is changed a little so that the network becomes surer of it, then its probability at a high "
        "temperature T is taken: known pictures gain more.",
        "Liang et al. 2018",
    ),
    _score(
        "godin", "preprocessed max logit", "maximum logit of a preprocessed picture (Generalized ODIN)",
        r"\max_j \, z_j(\tilde{x})",
        "The picture is changed a little so that the largest logit grows; how much is chosen on known pictures alone.",
        "Hsu et al. 2020",
    ),
    _score(
        "mahalanobis", "Mahalanobis", "Mahalanobis approach: several layers, input preprocessing, regression",
        r"\sum_l w_l \max_c -(f_l - \mu_{lc})^{T} \Sigma_l^{-1} (f_l - \mu_{lc})",
        "Distances to the class means in several layers, each in the metric of its own covariance, of pictures changed "
        "for each layer; a logistic regression weighs the layers.",
        "Lee et al. 2018",
    ),
    _score(
        "mahalanobis_features", "Mahalanobis (features)", "Mahalanobis distance of the last features",
        r"\max_c -(f - \mu_c)^{T} \Sigma^{-1} (f - \mu_c)",
        "Minus the distance to the nearest class mean in the metric of the training features' covariance.",
        "Lee et al. 2018, without its ensemble and preprocessing",
    ),
    _score(
        "knn", "k nearest neighbours", "distance to the k-th nearest training feature",
        r"-\lVert \hat{f} - \hat{f}_{(k)} \rVert",
        "Minus the distance to the k-th most similar training picture, between unit vectors of features.",
        "Sun et al. 2022",
    ),
    _score(
        "vim", "ViM", "virtual-logit matching",
        r"\log \sum_j e^{z_j} - \alpha \lVert f^{\perp} \rVert",
        "Energy of the logits minus the part of the features that lies outside the subspace of the training features.",
        "Wang et al. 2022",
    ),
    _score(
        "she", "SHE", "simplified Hopfield energy",
        r"f \cdot S_{\hat{y}}",
        "Inner product of the features with the mean training feature of the predicted class.",
        "Zhang et al. 2023",
    ),
    _score(
        "react", "ReAct", "energy of rectified activations",
        r"\log \sum_j e^{z_j(\min(f, c))}",
        "Energy of the logits after unusually large features were cut off.",
        "Sun et al. 2021",
    ),
    _score(
        "kl_matching", "KL matching", "divergence from the typical probabilities of a class",
        r"-\min_k D_{KL}(p, d_k)",
        "How near the probabilities are to the mean probabilities of the training pictures of some predicted class.",
        "Hendrycks et al. 2022",
    ),
    _score(
        "gram", "Gram matrices", "Gram matrices of the feature maps",
        r"-\sum_l \delta_l / \bar{\delta}_l",
        "How far correlations between channels, in several layers and of several orders, leave the range that the "
        "training pictures of the predicted class span.",
        "Sastry and Oore 2020",
    ),
    _score(
        "mc_dropout", "MC dropout", "mean probability over random dropouts",
        r"\max_j \frac{1}{N} \sum_n p_j^{(n)}",
        "Maximum of the probabilities averaged over several passes, in each of which other features are dropped.",
        "Gal and Ghahramani 2016",
    ),
    _score(
        "ensemble", "deep ensemble", "mean probability over networks of several seeds",
        r"\max_j \frac{1}{N} \sum_n p_j^{(n)}",
        "Maximum of the probabilities averaged over networks that were trained from other random weights.",
        "Lakshminarayanan et al. 2017",
    ),
)  # fmt: skip

COLUMNS = {score.key: score for score in _LISTED}


def add_column(capture: Capture, key: str, values: Mapping[str, Any]) -> Capture:
    """Return the capture with one more score, computed elsewhere.

    Parameters
    ----------
    capture : Capture
    key : str
        Name of the score; a column of that name is replaced.
    values : mapping of str to array of float, shape (n,)
        Set name (``"test"``, those of ``capture.ood``, ``"train"`` if wanted) to one number per sample; higher = more
        in-distribution. Change the sign of what other libraries call an outlier score.

    Returns
    -------
    Capture
        A new one.

    Raises
    ------
    ValueError
        If the name is that of a computed score, a set is unknown, a shape is wrong, or a value is not finite.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], ood={"letters": [[0.1, 0.0]]})
    >>> add_column(capture, "mine", {"test": [0.9], "letters": [0.2]}).ood["letters"]
    Samples(n=1, classes=2, no features, no distances, scores mine)
    """
    check_column_name("key", key)
    check_known("a set of values", values, capture.samples)
    parts = {
        name: replace(capture.samples[name], extra_scores={**capture.samples[name].extra_scores, key: array})
        for name, array in values.items()
    }
    ood = {name: parts.get(name, samples) for name, samples in capture.ood.items()}
    return capture.replace(test=parts.get("test", capture.test), train=parts.get("train", capture.train), ood=ood)

"""Scores: samples in, one number per sample out, HIGHER = MORE IN-DISTRIBUTION.

A score is any function from :class:`~isomax_viz.captures.samples.Samples` to an array of shape (n,); the ones below
also carry the words and the formula that figures, tables and the explorer show. Scores that need the network itself are
computed once and stored beside the samples (:mod:`isomax_viz.analysis.scores`); by name they are used like the others.
Other libraries (pytorch-ood among them) call high what is out-of-distribution: change the sign at the border.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from isomax_viz._common.checks import as_numeric, check_choice, check_finite, check_known, check_number
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples, log_softmax

__all__ = [
    "COLUMNS",
    "SCORES",
    "Score",
    "add_column",
    "column",
    "compute",
    "energy",
    "entropic",
    "generalised_entropy",
    "get",
    "max_logit",
    "max_probability",
    "min_distance",
    "read",
    "scaled_max_probability",
    "words",
]


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
    if key.lower() in SCORES:
        raise ValueError(
            f"key must be none of {', '.join(map(repr, SCORES))}, which are computed scores, but is {key!r}. Choose "
            "another name."
        )
    check_known("a set of values", values, capture.samples)
    parts = {
        name: replace(capture.samples[name], extra_scores={**capture.samples[name].extra_scores, key: array})
        for name, array in values.items()
    }
    ood = {name: parts.get(name, samples) for name, samples in capture.ood.items()}
    return capture.replace(test=parts.get("test", capture.test), train=parts.get("train", capture.train), ood=ood)


def max_probability(samples: Samples) -> np.ndarray:
    """Return the maximum probability score, MPS = max_j p_j.

    Source: Hendrycks and Gimpel (2017), the papers' baseline. In [1 / classes, 1]; SoftMax saturates at 1.0 in float32,
    so ties are real.
    """
    return samples.max_probabilities


def entropic(samples: Samples) -> np.ndarray:
    """Return the entropic score, ES = sum_j p_j log p_j, the negative entropy in nats.

    Source: "Distinction Maximization Loss" (2019), used by the IsoMax2 and IsoMax+ papers. In [-log(classes), 0].
    """
    return -samples.entropies


def min_distance(samples: Samples) -> np.ndarray:
    """Return the minimum distance score, MDS = -min_j d_j.

    Source: "Enhanced Isotropy Maximization Loss", equation 4. Distances carry no learned scale. For SoftMax, which has
    no prototypes, distances to the class means of the training features are used.
    """
    return -samples.min_distances


def max_logit(samples: Samples) -> np.ndarray:
    """Return the largest logit, max_j z_j.

    Source: Hendrycks et al. (2019), "Scaling Out-of-Distribution Detection for Real-World Settings".
    """
    return samples.require("logits").max(axis=1)


def energy(samples: Samples) -> np.ndarray:
    """Return the negative free energy, log sum_j exp(z_j), at temperature 1.

    Source: Liu et al. (2020), "Energy-based Out-of-distribution Detection" (there with the opposite sign).
    """
    logits = samples.require("logits")
    top = logits.max(axis=1)
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=1))


def scaled_max_probability(samples: Samples, *, temperature: float = 1000.0) -> np.ndarray:
    """Return the maximum probability at a temperature, max_j softmax_j(z / T), in float64.

    Source: Liang et al. (2018), "Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks":
    ODIN without its input preprocessing. At a high temperature it orders samples as the largest logit minus the mean
    logit does, and lies just above 1 / classes: float32 would tie many of them.

    Examples
    --------
    >>> scaled_max_probability(Samples(logits=[[2.0, 0.0]], labels=[0]), temperature=2.0).round(4).tolist()
    [0.7311]
    """
    check_number("temperature", temperature, above=0)
    return np.exp(log_softmax(samples.require("logits").astype(np.float64) / temperature).max(axis=1))


def generalised_entropy(samples: Samples, *, exponent: float = 0.1, top: int = 100) -> np.ndarray:
    """Return minus the generalised entropy of the likeliest classes, GEN = -sum_j p_j^g (1 - p_j)^g, in float64.

    Source: Liu et al. (2023), "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection", equation 4,
    with its exponent 0.1 and its 100 classes. Computed from logarithms: also where a probability rounds to 1.

    Examples
    --------
    >>> generalised_entropy(Samples(logits=[[0.0, 0.0]], labels=[0]), exponent=0.5).round(6).tolist()
    [-1.0]
    """
    check_number("exponent", exponent, above=0)
    check_number("top", top, at_least=1, whole=True)
    log_p = -np.sort(-log_softmax(samples.require("logits").astype(np.float64)), axis=1)
    # Only the likeliest class may have a probability near 1: what it lacks is the sum of the others.
    largest = log_p[:, 1:].max(axis=1)
    missing = largest + np.log(np.exp(log_p[:, 1:] - largest[:, None]).sum(axis=1))
    log_rest = np.concatenate([missing[:, None], np.log1p(-np.exp(log_p[:, 1:]))], axis=1)
    return -np.exp(exponent * (log_p + log_rest))[:, :top].sum(axis=1)


SCORES = {
    "mps": Score(
        "mps",
        "MPS",
        "maximum probability score",
        r"\max_j p_j",
        "How sure the network says it is: the probability of its favourite class.",
        "Hendrycks and Gimpel 2017",
        max_probability,
    ),
    "es": Score(
        "es",
        "ES",
        "entropic score",
        r"\sum_j p_j \log p_j",
        "Minus the entropy of the probabilities: low when the network spreads its belief over many classes.",
        "DisMax paper 2019",
        entropic,
    ),
    "mds": Score(
        "mds",
        "MDS",
        "minimum distance score",
        r"-\min_j d_j",
        "Minus the distance from the features to the nearest prototype: low when the image resembles no class.",
        "IsoMax+ paper, equation 4",
        min_distance,
    ),
    "max_logit": Score(
        "max_logit",
        "max logit",
        "maximum logit",
        r"\max_j z_j",
        "The largest logit, before softmax compares it with the others.",
        "Hendrycks et al. 2019",
        max_logit,
    ),
    "energy": Score(
        "energy",
        "energy",
        "negative free energy",
        r"\log \sum_j e^{z_j}",
        "A soft maximum of the logits: high when at least one class fits well.",
        "Liu et al. 2020",
        energy,
    ),
    "gen": Score(
        "gen",
        "GEN",
        "generalised entropy score",
        r"-\sum_j p_j^{0.1} (1 - p_j)^{0.1}",
        "Minus an entropy that weighs small deviations of the probabilities from 0 and 1 heavily.",
        "Liu et al. 2023",
        generalised_entropy,
    ),
    "scaled_mps": Score(
        "scaled_mps",
        "scaled MPS",
        "maximum probability score at temperature 1000",
        r"\max_j \frac{e^{z_j / 1000}}{\sum_k e^{z_k / 1000}}",
        "The probability of the favourite class after all logits were divided by 1000: how far it stands out.",
        "Liang et al. 2018",
        scaled_max_probability,
    ),
}


def get(score: str | Callable[[Samples], np.ndarray] | None, samples: Samples | None = None) -> Score:
    """Return the score of that key, that of a column, or wrap your own function.

    Parameters
    ----------
    score : str, callable or None
        The name of a score column, a key of :data:`SCORES`, or a function from samples to an array of shape (n,),
        higher = more in-distribution. None stands for ES, and for the first column of samples without logits.
    samples : Samples, optional
        Whose columns count; without them those that :func:`isomax_viz.add_scores` may add.

    Raises
    ------
    TypeError
        If it is neither a name nor a function.
    ValueError
        If the key is unknown.

    Examples
    --------
    >>> get("es").name
    'entropic score'
    >>> def runner_up_gap(samples):
    ...     "Second smallest distance minus smallest."
    ...     nearest = np.sort(samples.distances, axis=1)
    ...     return nearest[:, 1] - nearest[:, 0]
    >>> get(runner_up_gap).label
    'runner_up_gap'
    """
    own = {} if samples is None else samples.extra_scores
    if score is None:
        score = "es" if samples is None or samples.logits is not None else next(iter(own))
    if isinstance(score, Score):
        # A score that is looked up before the samples are known may be a column of theirs.
        return column(score.key) if score.key in own and SCORES.get(score.key) is score else score
    if callable(score):
        name = getattr(score, "__name__", type(score).__name__)
        lines = (score.__doc__ or "").strip().splitlines()
        return Score(name, name, name, "", lines[0] if lines else "", "", score)
    if not isinstance(score, str):
        raise TypeError(f"score must be one name or function, but is {score!r:.80}.")
    key = score.lower()
    columns = COLUMNS if samples is None else own
    if score in own:
        return column(score)
    if key not in SCORES and key in columns:
        return column(key)
    remedy = "Your own function (samples -> array) is accepted too."
    if key in COLUMNS:
        remedy = f"Add it with: capture = iv.add_scores(capture, {key!r})."
    return SCORES[check_choice("score", key, [*SCORES, *columns], remedy=remedy)]


def words(key: str) -> Score:
    """Return the score of a key for its label and words, whatever the samples carry; an unknown key is a column.

    Examples
    --------
    >>> words("es").label, words("knn").label, words("my detector").label
    ('ES', 'k nearest neighbours', 'my detector')
    """
    return SCORES[key] if key in SCORES else column(key)


def compute(score: str | Callable[[Samples], np.ndarray] | None, samples: Samples) -> np.ndarray:
    """Return one finite number per sample.

    Parameters
    ----------
    score : str, callable or None
        See :func:`get`.
    samples : Samples

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        If the score is unknown, has the wrong shape, is not finite, or needs what the samples do not carry.

    Examples
    --------
    >>> compute("mps", Samples(logits=[[0.0, 0.0]], labels=[0])).tolist()
    [0.5]
    """
    chosen = get(score, samples)
    values = as_numeric(f"The score {chosen.label!r}", chosen(samples))
    if values.shape != (len(samples),):
        raise ValueError(
            f"The score {chosen.label!r} must return shape ({len(samples)},), but returned {values.shape}. "
            "Return one number per sample."
        )
    return check_finite(
        f"The score {chosen.label!r}", values, remedy="A score must be a finite number for every sample."
    )

"""Scores: samples in, one number per sample out, HIGHER = MORE IN-DISTRIBUTION.

A score is any function from :class:`~isomax_viz.captures.samples.Samples` to an array of shape (n,); the ones below also carry
the words and the formula that figures, tables and the explorer show. Scores that need the network itself are computed
once and stored beside the samples (:mod:`isomax_viz.columns`); by name they are used like the others. Other libraries
(pytorch-ood among them) call high what is out-of-distribution: change the sign at the border.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from isomax_viz._common.checks import as_numeric, check_choice, check_finite, check_number
from isomax_viz.captures.samples import Samples, log_softmax
from isomax_viz.columns import COLUMNS, Score, add_column, column

__all__ = [
    "SCORES",
    "Score",
    "add_column",
    "compute",
    "energy",
    "entropic",
    "generalised_entropy",
    "get",
    "max_logit",
    "max_probability",
    "min_distance",
    "scaled_max_probability",
    "words",
]


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
    return samples.logits.max(axis=1)


def energy(samples: Samples) -> np.ndarray:
    """Return the negative free energy, log sum_j exp(z_j), at temperature 1.

    Source: Liu et al. (2020), "Energy-based Out-of-distribution Detection" (there with the opposite sign).
    """
    top = samples.logits.max(axis=1)
    return top + np.log(np.exp(samples.logits - top[:, None]).sum(axis=1))


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
    return np.exp(log_softmax(samples.logits.astype(np.float64) / temperature).max(axis=1))


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
    log_p = -np.sort(-log_softmax(samples.logits.astype(np.float64)), axis=1)
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


def get(score: str | Callable[[Samples], np.ndarray], samples: Samples | None = None) -> Score:
    """Return the score of that key, that of a column, or wrap your own function.

    Parameters
    ----------
    score : str or callable
        A key of :data:`SCORES`, the name of a score column, or a function from samples to an array of shape (n,),
        higher = more in-distribution. :data:`SCORES` comes first.
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
    if isinstance(score, Score):
        return score
    if callable(score):
        name = getattr(score, "__name__", type(score).__name__)
        lines = (score.__doc__ or "").strip().splitlines()
        return Score(name, name, name, "", lines[0] if lines else "", "", score)
    if not isinstance(score, str):
        raise TypeError(f"score must be one name or function, but is {score!r:.80}.")
    key = score.lower()
    columns = COLUMNS if samples is None else samples.extra_scores
    if key not in SCORES:
        for name in (score, key):
            if name in columns:
                return column(name)
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


def compute(score: str | Callable[[Samples], np.ndarray], samples: Samples) -> np.ndarray:
    """Return one finite number per sample.

    Parameters
    ----------
    score : str or callable
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

"""Scores: samples in, one number per sample out, HIGHER = MORE IN-DISTRIBUTION.

A score is any function from :class:`~isomax_viz.captures.Samples` to an array of shape (n,); the ones below also carry
the words and the formula that figures, tables and the explorer show. Other libraries (pytorch-ood among them) call high
what is out-of-distribution: change the sign at the border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from isomax_viz._checks import as_numeric, check_choice, check_finite
from isomax_viz.captures import Samples

__all__ = ["SCORES", "Score", "compute", "energy", "entropic", "get", "max_logit", "max_probability", "min_distance"]


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
}


def get(score: str | Callable[[Samples], np.ndarray]) -> Score:
    """Return the score of that key, or wrap your own function.

    Parameters
    ----------
    score : str or callable
        A key of :data:`SCORES`, or a function from samples to an array of shape (n,), higher = more in-distribution.

    Raises
    ------
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
        words = (score.__doc__ or "").strip().splitlines()
        return Score(name, name, name, "", words[0] if words else "", "", score)
    key = score.lower() if isinstance(score, str) else score
    return SCORES[check_choice("score", key, SCORES, remedy="Your own function (samples -> array) is accepted too.")]


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
    chosen = get(score)
    values = as_numeric(f"The score {chosen.label!r}", chosen(samples))
    if values.shape != (len(samples),):
        raise ValueError(
            f"The score {chosen.label!r} must return shape ({len(samples)},), but returned {values.shape}. "
            "Return one number per sample."
        )
    return check_finite(
        f"The score {chosen.label!r}", values, remedy="A score must be a finite number for every sample."
    )

"""Scores: samples in, one number per sample out, HIGHER = MORE IN-DISTRIBUTION.

A score is any function from :class:`~isomax_viz.captures.samples.Samples` to an array of shape (n,); the ones below
also carry the words and the formula that figures, tables and the explorer show. Scores that need the network itself are
computed once and stored beside the samples (:mod:`isomax_viz.analysis.scores`); by name they are used like the others.
Other libraries (pytorch-ood among them) call high what is out-of-distribution: change the sign at the border.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isomax_viz._common.checks import as_numeric, check_choice, check_finite, check_known, check_number
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples, in_blocks

__all__ = [
    "COLUMNS", "SCORES", "Score", "ScoreLike", "add_column", "column", "compute", "energy", "entropic",
    "generalised_entropy", "get", "max_logit", "max_probability", "min_distance", "read", "scaled_max_probability",
    "words",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
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
    function : callable, optional
        From samples to an array of shape (n,); by default the score is read from their column of its key.
    needs : tuple of str
        What samples must carry for the function: ``"logits"``, ``"distances"`` or ``"features"``.
    demands : tuple of str
        What it takes beyond one forward pass: keys of :data:`isomax_viz.analysis.methods.DEMANDS`.
    settings : str
        Where its settings come from; empty where there are none.
    """

    key: str
    label: str
    name: str
    formula: str = ""
    explanation: str = ""
    source: str = ""
    function: Callable[[Samples], np.ndarray] | None = None
    needs: tuple[str, ...] = ("logits",)
    demands: tuple[str, ...] = ()
    settings: str = ""

    def __call__(self, samples: Samples) -> np.ndarray:
        """Return one number per sample."""
        return self.function(samples) if self.function else read(samples, self.key)

    def fits(self, *samples: Samples) -> bool:
        """Return whether all of these samples carry what the score needs."""
        names = self.needs if self.function else (self.key,)
        there = (name in one.extra_scores or getattr(one, name, None) is not None for one in samples for name in names)
        return all(there)


ScoreLike = str | Callable[[Samples], np.ndarray]  # a name, or a function of one's own


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
    elsewhere = "A score that was computed elsewhere."
    return COLUMNS.get(key) or Score(key=key, label=key, name=key, explanation=elsewhere)


# What scores demand, and where they take settings from.
_PREPROCESSED = ("tuning", "slow_inference", "input_preprocessing", "gradients")
_AFTERWARDS = ("ood_or_adversarial", "post_processing")
_FEATURES = ("training_features",)
_ADVERSARIAL = "validated on training pictures and FGSM pictures made from them"


# fmt: off
_LISTED = (
    Score(
        explanation="The picture is changed a little so that the network becomes surer of it, then its probability at "
        "a high temperature T is taken: known pictures gain more.",
        key="odin", label="ODIN", name="ODIN: temperature and input preprocessing",
        formula=r"\max_j \, p_j(\tilde{x}, T)", source="Liang et al. 2018", demands=(*_PREPROCESSED, *_AFTERWARDS),
        settings=f"temperature and step {_ADVERSARIAL} (its paper: on out-of-distribution pictures)",
    ),
    Score(
        explanation="The picture is changed a little so that the largest logit grows; how much is chosen on known "
        "pictures alone.",
        key="godin", label="preprocessed max logit",
        name="maximum logit of a preprocessed picture (Generalized ODIN)", formula=r"\max_j \, z_j(\tilde{x})",
        source="Hsu et al. 2020", demands=_PREPROCESSED, settings="step chosen on training pictures",
    ),
    Score(
        explanation="Distances to the class means in several layers, each in the metric of its own covariance, of "
        "pictures changed for each layer; a logistic regression weighs the layers.",
        key="mahalanobis", label="Mahalanobis",
        name="Mahalanobis approach: several layers, input preprocessing, regression",
        formula=r"\sum_l w_l \max_c -(f_l - \mu_{lc})^{T} \Sigma_l^{-1} (f_l - \mu_{lc})", source="Lee et al. 2018",
        demands=(*_PREPROCESSED, *_AFTERWARDS, "feature_ensemble", "extra_models", *_FEATURES),
        settings=f"step and regression {_ADVERSARIAL}",
    ),
    Score(
        explanation="Minus the distance to the nearest class mean in the metric of the training features' covariance.",
        key="mahalanobis_features", label="Mahalanobis (features)", name="Mahalanobis distance of the last features",
        formula=r"\max_c -(f - \mu_c)^{T} \Sigma^{-1} (f - \mu_c)",
        source="Lee et al. 2018, without its ensemble and preprocessing", demands=_FEATURES,
    ),
    Score(
        explanation="Minus the distance to the k-th most similar training picture, between unit vectors of features.",
        key="knn", label="k nearest neighbours", name="distance to the k-th nearest training feature",
        formula=r"-\lVert \hat{f} - \hat{f}_{(k)} \rVert", source="Sun et al. 2022", demands=_FEATURES,
        settings="k = 50, its paper's choice for CIFAR10",
    ),
    Score(
        explanation="Energy of the logits minus the part of the features that lies outside the subspace of the "
        "training features.",
        key="vim", label="ViM", name="virtual-logit matching",
        formula=r"\log \sum_j e^{z_j} - \alpha \lVert f^{\perp} \rVert", source="Wang et al. 2022", demands=_FEATURES,
        settings="dimension of the subspace: half of the features, at most 512",
    ),
    Score(
        explanation="Inner product of the features with the mean training feature of the predicted class.",
        key="she", label="SHE", name="simplified Hopfield energy", formula=r"f \cdot S_{\hat{y}}",
        source="Zhang et al. 2023", demands=_FEATURES,
    ),
    Score(
        explanation="Energy of the logits after unusually large features were cut off.",
        key="react", label="ReAct", name="energy of rectified activations",
        formula=r"\log \sum_j e^{z_j(\min(f, c))}", source="Sun et al. 2021", demands=_FEATURES,
        settings="cut at the 90th percentile of the training features, as in its paper",
    ),
    Score(
        explanation="How near the probabilities are to the mean probabilities of the training pictures of some "
        "predicted class.",
        key="kl_matching", label="KL matching", name="divergence from the typical probabilities of a class",
        formula=r"-\min_k D_{KL}(p, d_k)", source="Hendrycks et al. 2022", demands=_FEATURES,
    ),
    Score(
        explanation="How far correlations between channels, in several layers and of several orders, leave the range "
        "that the training pictures of the predicted class span.",
        key="gram", label="Gram matrices", name="Gram matrices of the feature maps",
        formula=r"-\sum_l \delta_l / \bar{\delta}_l", source="Sastry and Oore 2020",
        demands=("slow_inference", *_FEATURES), settings="orders 1 to 10, as in its paper",
    ),
    Score(
        explanation="Maximum of the probabilities averaged over several passes, in each of which other features are "
        "dropped.",
        key="mc_dropout", label="MC dropout", name="mean probability over random dropouts",
        formula=r"\max_j \frac{1}{N} \sum_n p_j^{(n)}", source="Gal and Ghahramani 2016", demands=("slow_inference",),
        settings="30 passes; without dropout of its own, 0.2 before the head",
    ),
    Score(
        explanation="Maximum of the probabilities averaged over networks that were trained from other random weights.",
        key="ensemble", label="deep ensemble", name="mean probability over networks of several seeds",
        formula=r"\max_j \frac{1}{N} \sum_n p_j^{(n)}", source="Lakshminarayanan et al. 2017",
        demands=("slow_inference", "extra_models"),
    ),
)
# fmt: on


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
    return capture.with_samples(parts)


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
    return samples.energies


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

    def scaled(logits: np.ndarray) -> np.ndarray:
        below = np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64)
        return 1 / np.exp(np.divide(below, temperature, out=below), out=below).sum(axis=1)

    return in_blocks(scaled, samples.require("logits"))


_EXACT = 1000  # likeliest classes whose exponentials are taken in float64, four times slower


def generalised_entropy(samples: Samples, *, exponent: float = 0.1, top: int = 100) -> np.ndarray:
    """Return minus the generalised entropy of the likeliest classes, GEN = -sum_j p_j^g (1 - p_j)^g, in float64.

    Source: Liu et al. (2023), "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection", equation 4,
    with its exponent 0.1 and its 100 classes. Computed from logarithms: also where a probability rounds to 1. The
    exponentials of classes beyond the 1,000 likeliest are summed up in float32.

    Examples
    --------
    >>> generalised_entropy(Samples(logits=[[0.0, 0.0]], labels=[0]), exponent=0.5).round(6).tolist()
    [-1.0]
    """
    check_number("exponent", exponent, above=0)
    check_number("top", top, at_least=1, whole=True)

    def negative(logits: np.ndarray) -> np.ndarray:
        wide = min(max(top, _EXACT), logits.shape[1])
        parted = np.partition(logits, -wide, axis=1)
        likeliest = np.sort(parted[:, -wide:], axis=1).astype(np.float64)
        first, second = likeliest[:, -1:], likeliest[:, -2:-1]
        with np.errstate(over="ignore"):  # logits farther apart than any number: minus infinity, of which exp is 0
            unlikely = np.exp(parted[:, :-wide] - second.astype(np.float32)).sum(axis=1, keepdims=True)
        # Beside the second, not the first: only the likeliest class may have a probability near 1, and what it lacks
        # is the sum of the others.
        rest = second - first + np.log(np.exp(likeliest[:, :-1] - second).sum(axis=1, keepdims=True) + unlikely)
        total = np.logaddexp(0, rest)
        others = likeliest[:, -top:-1] - first - total
        log_products = np.hstack([rest - 2 * total, others + np.log1p(-np.exp(others))])  # log p (1 - p)
        return -np.exp(exponent * log_products).sum(axis=1)

    return in_blocks(negative, samples.require("logits"))


# fmt: off
_COMPUTED = (
    Score(
        explanation="How sure the network says it is: the probability of its favourite class.",
        key="mps", label="MPS", name="maximum probability score", formula=r"\max_j p_j",
        source="Hendrycks and Gimpel 2017", function=max_probability,
    ),
    Score(
        explanation="Minus the entropy of the probabilities: low when the network spreads its belief over many "
        "classes.",
        key="es", label="ES", name="entropic score", formula=r"\sum_j p_j \log p_j", source="DisMax paper 2019",
        function=entropic,
    ),
    Score(
        explanation="Minus the distance from the features to the nearest prototype: low when the image resembles no "
        "class.",
        key="mds", label="MDS", name="minimum distance score", formula=r"-\min_j d_j",
        source="IsoMax+ paper, equation 4", function=min_distance, needs=("distances",),
    ),
    Score(
        explanation="The largest logit, before softmax compares it with the others.",
        key="max_logit", label="max logit", name="maximum logit", formula=r"\max_j z_j",
        source="Hendrycks et al. 2019", function=max_logit,
    ),
    Score(
        explanation="A soft maximum of the logits: high when at least one class fits well.",
        key="energy", label="energy", name="negative free energy", formula=r"\log \sum_j e^{z_j}",
        source="Liu et al. 2020", function=energy,
    ),
    Score(
        explanation="Minus an entropy that weighs small deviations of the probabilities from 0 and 1 heavily.",
        key="gen", label="GEN", name="generalised entropy score", formula=r"-\sum_j p_j^{0.1} (1 - p_j)^{0.1}",
        source="Liu et al. 2023", function=generalised_entropy,
        settings="exponent 0.1 and the 100 likeliest classes, as in its paper",
    ),
    Score(
        explanation="The probability of the favourite class after all logits were divided by 1000: how far it stands "
        "out.",
        key="scaled_mps", label="scaled MPS", name="maximum probability score at temperature 1000",
        formula=r"\max_j \frac{e^{z_j / 1000}}{\sum_k e^{z_k / 1000}}", source="Liang et al. 2018",
        function=scaled_max_probability, settings="temperature 1000, as in the ODIN paper",
    ),
)
# fmt: on

SCORES = {score.key: score for score in _COMPUTED}


def get(score: ScoreLike | None, samples: Samples | None = None) -> Score:
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
        return Score(key=name, label=name, name=name, explanation=lines[0] if lines else "", function=score, needs=())
    if not isinstance(score, str):
        raise TypeError(f"score must be one name or function, but is {score!r:.80}.")
    key = score.lower()
    columns = COLUMNS if samples is None else own
    if score in own or (key not in SCORES and key in columns):
        return column(score if score in own else key)
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


def compute(score: ScoreLike | None, samples: Samples) -> np.ndarray:
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
    label = f"The score {chosen.label!r}"
    values = as_numeric(label, chosen(samples))
    if values.shape != (len(samples),):
        wanted, remedy = f"shape ({len(samples)},)", "Return one number per sample."
        raise ValueError(f"{label} must return {wanted}, but returned {values.shape}. {remedy}")
    return check_finite(label, values, remedy="A score must be a finite number for every sample.")

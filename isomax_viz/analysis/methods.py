"""What each approach needs and what it costs, declared once: how a network is trained, and how it is then scored.

An approach is a loss (how the network was trained) and a score (how it is asked). What it demands is what the two parts
demand together, so that combinations which no paper lists, such as IsoMax+ with ODIN, have their row too.

No score here looks at out-of-distribution pictures: settings are the papers' fixed values, or are validated on training
pictures and adversarial pictures made from them. ``settings`` says which, and what the original paper did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.scores import words
from isomax_viz.catalog.losses import has_prototypes, split_loss

__all__ = [
    "COMPARED",
    "DEMANDS",
    "SCORINGS",
    "TRAININGS",
    "WITH_OUTLIERS",
    "Scoring",
    "Training",
    "demands",
    "label",
    "measure",
    "table",
    "training",
]

# key -> (the papers' words, what a table says of a method that demands it, and of one that does not)
DEMANDS = {
    "tuning": ("Hyperparameter Tuning", "Required", "Not Required"),
    "additional_data": ("Additional Data", "Required", "Not Required"),
    "slow_inference": ("Inefficient Inference or OOD Detection", "Present", "Not Present"),
    "accuracy_drop": ("Classification Accuracy Drop", "Present", "Not Present"),
    "input_preprocessing": ("Input Preprocessing", "Required", "Not Required"),
    "feature_ensemble": ("Feature Ensemble", "Required", "Not Required"),
    "ood_or_adversarial": (
        "Availability of Out-of-Distribution or Adversarially Generated Samples",
        "Required",
        "Not Required",
    ),
    "post_processing": ("Post-processing Phase", "Required", "Not Required"),
    "extra_models": ("Additional Ad-hoc Models", "Required", "Not Required"),
    "gradients": ("Gradients at Inference", "Required", "Not Required"),
    "training_features": ("Training Features", "Required", "Not Required"),
}


@dataclass(frozen=True)
class Training:
    """A way to train a network, with what it demands.

    Attributes
    ----------
    label : str
        Its name.
    demands : tuple of str
        Keys of :data:`DEMANDS`.
    source : str
        Where it was proposed.
    """

    label: str
    demands: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Scoring:
    """What a score demands beyond one forward pass, and where its settings come from.

    Attributes
    ----------
    demands : tuple of str
        Keys of :data:`DEMANDS`.
    settings : str
        Where its settings come from; empty where there are none.
    """

    demands: tuple[str, ...] = ()
    settings: str = ""


TRAININGS = {
    "softmax": Training("SoftMax", (), "the usual last layer"),
    "isomax": Training("IsoMax", (), "DisMax paper 2019"),
    "isomax+": Training("IsoMax+", (), "IsoMax+ paper"),
    "isomax2": Training("IsoMax2", (), "IsoMax2 paper"),
    "scaled_cosine": Training("Scaled Cosine", ("accuracy_drop",), "Techapanurak et al. 2019"),
    "godin": Training("Generalized ODIN", ("accuracy_drop",), "Hsu et al. 2020"),
    "logit_norm": Training("LogitNorm", (), "Wei et al. 2022"),
    "dismax": Training("DisMax", (), "DisMax paper 2019"),
}
# With extra data, on top of a loss: "softmax+oe" is SoftMax with Outlier Exposure.
WITH_OUTLIERS = {
    "oe": Training("Outlier Exposure", ("additional_data",), "Hendrycks et al. 2019"),
    "acet": Training("ACET", ("tuning", "accuracy_drop"), "Hein et al. 2019"),
    "energy": Training("energy bounds", ("tuning", "additional_data"), "Liu et al. 2020"),
}

_ADVERSARIAL = "validated on training pictures and FGSM pictures made from them"
_PREPROCESSED = ("tuning", "slow_inference", "input_preprocessing", "gradients")
_FEATURES = ("training_features",)

SCORINGS = {
    "mps": Scoring(),
    "es": Scoring(),
    "mds": Scoring(),
    "max_logit": Scoring(),
    "energy": Scoring(),
    "gen": Scoring(settings="exponent 0.1 and the 100 likeliest classes, as in its paper"),
    "scaled_mps": Scoring(settings="temperature 1000, as in the ODIN paper"),
    "odin": Scoring(
        (*_PREPROCESSED, "ood_or_adversarial", "post_processing"),
        f"temperature and step {_ADVERSARIAL} (its paper: on out-of-distribution pictures)",
    ),
    "godin": Scoring(_PREPROCESSED, "step chosen on training pictures"),
    "mahalanobis": Scoring(
        (*_PREPROCESSED, "ood_or_adversarial", "post_processing", "feature_ensemble", "extra_models", *_FEATURES),
        f"step and regression {_ADVERSARIAL}",
    ),
    "mahalanobis_features": Scoring(_FEATURES),
    "knn": Scoring(_FEATURES, "k = 50, its paper's choice for CIFAR10"),
    "vim": Scoring(_FEATURES, "dimension of the subspace: half of the features, at most 512"),
    "she": Scoring(_FEATURES),
    "react": Scoring(_FEATURES, "cut at the 90th percentile of the training features, as in its paper"),
    "kl_matching": Scoring(_FEATURES),
    "gram": Scoring(("slow_inference", *_FEATURES), "orders 1 to 10, as in its paper"),
    "mc_dropout": Scoring(("slow_inference",), "30 passes; without dropout of its own, 0.2 before the head"),
    "ensemble": Scoring(("slow_inference", "extra_models")),
}

# What the notebook compares: the baseline, what is asked of SoftMax afterwards, the seamless ones, and combinations.
COMPARED = (
    *(("softmax", score) for score in ("mps", "energy", "gen", "odin", "mahalanobis", "mahalanobis_features")),
    *(("softmax", score) for score in ("knn", "vim", "she", "gram", "mc_dropout", "ensemble")),
    ("isomax", "es"),
    ("isomax+", "mds"),
    *(("isomax+", score) for score in ("mahalanobis", "energy", "odin")),
)

# The rows of the papers' feature tables: their name -> (training, score).
_PAPER_ROWS = {
    "isomax+": {
        "ODIN": ("softmax", "odin"),
        "Mahalanobis": ("softmax", "mahalanobis"),
        "ACET": ("softmax+acet", "mps"),
        "Outlier Exposure": ("softmax+oe", "mps"),
        "Generalized ODIN": ("godin", "godin"),
        "Gram Matrices": ("softmax", "gram"),
        "Scaled Cosine": ("scaled_cosine", "mps"),
        "Energy-based": ("softmax+energy", "energy"),
        "IsoMax + Entropic Score": ("isomax", "es"),
        "Enhanced IsoMax + Distance Score": ("isomax+", "mds"),
    },
    "dismax": {
        "SoftMax+Maxprob": ("softmax", "mps"),
        "ODIN": ("softmax", "odin"),
        "Mahalanobis": ("softmax", "mahalanobis"),
        "DisMax+Entropy": ("isomax", "es"),
    },
}
_PAPER_COLUMNS = {
    "isomax+": ("tuning", "additional_data", "slow_inference", "accuracy_drop"),
    "dismax": ("input_preprocessing", "feature_ensemble", "ood_or_adversarial", "post_processing", "extra_models"),
}


def training(key: str) -> Training:
    """Return the training of a key: a loss, or a loss and extra data.

    Raises
    ------
    ValueError
        If it is not declared.

    Examples
    --------
    >>> training("isomax++oe").label
    'IsoMax+ with Outlier Exposure'
    """
    loss, extra = split_loss(key)
    if extra and loss in TRAININGS:
        parts = TRAININGS[loss], WITH_OUTLIERS[extra]
        needed = (*parts[0].demands, *parts[1].demands)
        return Training(f"{parts[0].label} with {parts[1].label}", needed, f"{parts[0].source}; {parts[1].source}")
    check_choice(
        "loss", key, TRAININGS, remedy=f"With extra data: the loss, '+', and one of {', '.join(WITH_OUTLIERS)}."
    )
    return TRAININGS[key]


def demands(loss: str, score: str) -> frozenset[str]:
    """Return what a training and a score demand together, as keys of :data:`DEMANDS`.

    Raises
    ------
    ValueError
        If one of them is not declared.

    Examples
    --------
    >>> sorted(demands("isomax+", "mds")), sorted(demands("softmax+acet", "mps"))
    ([], ['accuracy_drop', 'tuning'])
    """
    check_choice("score", score, SCORINGS)
    demanded = frozenset(training(loss).demands) | frozenset(SCORINGS[score].demands)
    # Without prototypes, distances are those to the class means of the training features.
    return demanded if score != "mds" or has_prototypes(loss) else demanded | set(_FEATURES)


def label(loss: str, score: str) -> str:
    """Return an approach's name.

    Examples
    --------
    >>> label("isomax+", "odin")
    'IsoMax+/ODIN'
    """
    return f"{training(loss).label}/{words(score).label}"


def table(
    paper: str | None = None,
    *,
    approaches: Iterable[tuple[str, str]] = COMPARED,
    measured: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what approaches demand, and what they were measured to cost beside it.

    Parameters
    ----------
    paper : {"isomax+", "dismax"}, optional
        Render that paper's Table 1 from the declarations, in its own words, instead.
    approaches : iterable of (loss, score)
        Keys of :data:`TRAININGS` (with extra data: ``"softmax+oe"``) and :data:`SCORINGS`; not used for a paper's
        table.
    measured : DataFrame, optional
        What :func:`measure` returned; its approaches are shown, with its columns after those of the declarations.

    Returns
    -------
    DataFrame
        One row per approach: ``loss, score``, one column of bool per key of :data:`DEMANDS`, ``settings`` (where
        they come from; no approach here sees out-of-distribution test pictures) and ``source``, under the approach's
        name. For a paper: its features as columns, with the papers' words.

    Raises
    ------
    ValueError
        If a paper, loss or score is not known.

    Examples
    --------
    >>> table("dismax").loc["ODIN", ["Input Preprocessing", "Feature Ensemble"]].tolist()
    ['Required', 'Not Required']
    >>> table(approaches=[("isomax+", "odin")])[["tuning", "slow_inference", "accuracy_drop"]].iloc[0].tolist()
    [True, True, False]
    """
    if paper is not None:
        return _paper_table(check_choice("paper", paper, _PAPER_ROWS))
    if measured is not None:
        approaches = list(zip(measured["loss"], measured["score"], strict=True))
    rows = {}
    for loss, score in approaches:
        present = demands(loss, score)
        row = {"loss": loss, "score": score} | {key: key in present for key in DEMANDS}
        source = "; ".join(dict.fromkeys([training(loss).source, words(score).source]))
        rows[label(loss, score)] = row | {"settings": SCORINGS[score].settings, "source": source}
    declared = pd.DataFrame.from_dict(rows, orient="index").rename_axis("approach")
    if measured is None:
        return declared
    costs = measured.set_index("approach").drop(columns=["loss", "score"])
    return declared.join(costs)


def _paper_table(paper: str) -> pd.DataFrame:
    rows = {}
    for name, (loss, score) in _PAPER_ROWS[paper].items():
        present = demands(loss, score)
        said = {key: DEMANDS[key] for key in _PAPER_COLUMNS[paper]}
        rows[name] = {words: yes if key in present else no for key, (words, yes, no) in said.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def measure(*arguments: Any, **options: Any) -> pd.DataFrame:
    """Measure what approaches cost here; see :func:`isomax_viz.experiments.costs.measure` (needs PyTorch)."""
    from isomax_viz.experiments.costs import measure as measure_costs

    return measure_costs(*arguments, **options)

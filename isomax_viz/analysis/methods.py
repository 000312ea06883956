"""What each approach needs and what it costs, declared once: how a network is trained, and how it is then scored.

An approach is a loss (how the network was trained) and a score (how it is asked). What it demands is what the two parts
demand together, so that combinations which no paper lists, such as IsoMax+ with ODIN, have their row too.

No score here looks at out-of-distribution pictures: settings are the papers' fixed values, or are validated on training
pictures and adversarial pictures made from them. ``settings`` says which, and what the original paper did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from isomax_viz._common.checks import check_choice, check_unused, need_torch
from isomax_viz.analysis.scores import COLUMNS, SCORES, words
from isomax_viz.catalog.losses import EXTRA_DATA, LOSSES, Loss, split_loss

__all__ = ["COMPARED", "DEMANDS", "demands", "label", "measure", "table", "training"]

# key -> (the papers' words, what a table says of a method that demands it; of one that does not: "Not" and the same)
DEMANDS = {
    "tuning": ("Hyperparameter Tuning", "Required"),
    "additional_data": ("Additional Data", "Required"),
    "slow_inference": ("Inefficient Inference or OOD Detection", "Present"),
    "accuracy_drop": ("Classification Accuracy Drop", "Present"),
    "input_preprocessing": ("Input Preprocessing", "Required"),
    "feature_ensemble": ("Feature Ensemble", "Required"),
    "ood_or_adversarial": ("Availability of Out-of-Distribution or Adversarially Generated Samples", "Required"),
    "post_processing": ("Post-processing Phase", "Required"),
    "extra_models": ("Additional Ad-hoc Models", "Required"),
    "gradients": ("Gradients at Inference", "Required"),
    "training_features": ("Training Features", "Required"),
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


def training(key: str) -> Loss:
    """Return what is known of a training by its key: a loss, or a loss and extra data.

    Raises
    ------
    ValueError
        If it is not declared.

    Examples
    --------
    >>> training("isomax++oe").look.label
    'IsoMax+ with Outlier Exposure'
    """
    loss, extra = split_loss(key)
    remedy = f"With extra data: the loss, '+', and one of {', '.join(EXTRA_DATA)}."
    base = LOSSES[check_choice("loss", loss, LOSSES, remedy=remedy)]
    if not extra:
        return base
    more = EXTRA_DATA[extra]
    look = replace(base.look, label=f"{base.look.label} with {more.label}")
    return replace(base, look=look, demands=base.demands + more.demands, source=f"{base.source}; {more.source}")


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
    known = SCORES | COLUMNS
    asked, trained = known[check_choice("score", score, known)], training(loss)
    # Without prototypes, distances are those to the class means of the training features.
    to_means = {"training_features"} if "distances" in asked.needs and not trained.prototypes else set()
    return frozenset(trained.demands).union(asked.demands, to_means)


def label(loss: str, score: str) -> str:
    """Return an approach's name.

    Examples
    --------
    >>> label("isomax+", "odin")
    'IsoMax+/ODIN'
    """
    return f"{training(loss).look.label}/{words(score).label}"


def table(
    paper: str | None = None,
    *,
    approaches: Iterable[tuple[str, str]] | None = None,
    measured: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what approaches demand, and what they were measured to cost beside it.

    Parameters
    ----------
    paper : {"isomax+", "dismax"}, optional
        Render that paper's Table 1 from the declarations, in its own words, instead.
    approaches : iterable of (loss, score)
        Keys of :data:`isomax_viz.catalog.losses.LOSSES` (with extra data: ``"softmax+oe"``) and of scores; by default
        :data:`COMPARED`.
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
        If a paper, loss or score is not known, or two of the three options are given.

    Examples
    --------
    >>> table("dismax").loc["ODIN", ["Input Preprocessing", "Feature Ensemble"]].tolist()
    ['Required', 'Not Required']
    >>> table(approaches=[("isomax+", "odin")])[["tuning", "slow_inference", "accuracy_drop"]].iloc[0].tolist()
    [True, True, False]
    """
    if paper is not None:
        check_unused("paper", approaches=approaches, measured=measured)
        return _paper_table(check_choice("paper", paper, _PAPER_ROWS))
    if measured is not None:
        check_unused("measured", approaches=approaches)
        approaches = zip(measured["loss"], measured["score"], strict=True)
    rows = {}
    for loss, score in COMPARED if approaches is None else approaches:
        present = demands(loss, score)
        row = {"loss": loss, "score": score} | {key: key in present for key in DEMANDS}
        source = "; ".join(dict.fromkeys([training(loss).source, words(score).source]))
        rows[label(loss, score)] = row | {"settings": words(score).settings, "source": source}
    declared = pd.DataFrame.from_dict(rows, orient="index").rename_axis("approach")
    if measured is None:
        return declared
    return declared.join(measured.set_index("approach").drop(columns=["loss", "score"]))


def _paper_table(paper: str) -> pd.DataFrame:
    rows = {}
    for name, (loss, score) in _PAPER_ROWS[paper].items():
        said, present = [DEMANDS[key] for key in _PAPER_COLUMNS[paper]], demands(loss, score)
        told = zip(_PAPER_COLUMNS[paper], said, strict=True)
        rows[name] = {feature: word if key in present else f"Not {word}" for key, (feature, word) in told}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def measure(*arguments: Any, **options: Any) -> pd.DataFrame:
    """Measure what approaches cost here; see :func:`isomax_viz.experiments.costs.measure` (needs PyTorch)."""
    need_torch()
    from isomax_viz.experiments.costs import measure as measure_costs

    return measure_costs(*arguments, **options)

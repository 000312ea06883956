"""Captures in, few numbers out: what a page without a kernel needs to show every view at every threshold.

Values are counted in fine bins, of which the page merges some into each bar. Thresholds are a list of numbers at each
of which the page knows exactly how many images of every set are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz.analysis import metrics, tables
from isomax_viz.analysis import scores as scores_module
from isomax_viz.analysis.histograms import KNOWN
from isomax_viz.analysis.scores import Score
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.catalog.style import Style, data_style, loss_style
from isomax_viz.figures._words import note, quantity_label
from isomax_viz.sharing.contrast import on_dark

__all__ = ["ALL_COMBINATIONS", "BINS", "VIEWS", "digest", "gives"]

BINS = 600  # of each histogram; about ten of them make one bar of the page
STEPS = 200  # thresholds at equal distances, so that a slider reaches every part of the axis
PERCENTS = 100  # and at every percent of each set, so that ROC curves have no gap where many scores are alike
ALL_COMBINATIONS = 5  # up to so many sets, the best threshold of every combination of them is on the list

VIEWS = {
    "scores": ("Scores", "Distributions of the chosen score beside the ROC curve, with a threshold that you can move"),
    "logits": ("Logits", "Logits of the own class, of the other classes, and of the unknown images"),
    "entropy": ("Entropy", "How undecided the network is, image by image"),
    "max_probability": ("Max. probability", "How sure the network says it is, image by image"),
    "distances": (
        "Distances",
        "Distances between features and prototypes: own class, other classes, unknown images",
    ),
    "roc": ("ROC", "Share of unknown images accepted against share of known images accepted, at every threshold"),
}
_DASHES = {"-": [], "--": [6, 3], "-.": [6, 2, 1, 2], ":": [2, 2]}


def digest(
    captures: Sequence[Capture], titles: Sequence[str], *, scores: Sequence[Score], ood: Sequence[str]
) -> dict[str, Any]:
    """Return all that the page shows as JSON values.

    Parameters
    ----------
    captures : sequence of Capture
    titles : sequence of str
        Name of each capture on the page.
    scores : sequence of Score
        What to choose from; a capture that lacks what a score needs leaves it out.
    ood : sequence of str
        Out-of-distribution sets to choose from.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> content = digest([capture], ["SoftMax"], scores=[scores_module.get("max_logit")], ood=["mine"])
    >>> content["networks"][0]["scores"]["max_logit"]["metrics"]["mine"]["AUROC"]
    1.0
    """
    return {
        "networks": [
            _network(capture, title, scores, [name for name in ood if name in capture.ood])
            for capture, title in zip(captures, titles, strict=True)
        ],
        "sets": {name: _look(data_style(name)) for name in ood},
        "scores": {score.key: {"label": score.label, "name": score.name} for score in scores},
        "views": {key: {"label": label, "tooltip": tooltip} for key, (label, tooltip) in VIEWS.items()},
        "metrics": metrics.METRICS,
    }


def _look(style: Style) -> dict[str, Any]:
    dash = _DASHES[style.linestyle] if isinstance(style.linestyle, str) else list(style.linestyle[1])
    return {"label": style.label, "color": style.color, "on_dark": on_dark(style.color), "dash": dash}


def _network(capture: Capture, title: str, scores: Sequence[Score], sets: list[str]) -> dict[str, Any]:
    accuracy = capture.test.accuracy
    n = {name: len(samples) for name, samples in capture.ood.items() if name in sets}
    return {
        "title": title,
        "note": note(pd.DataFrame([source(capture)])),
        "known": f"{capture.meta['data']}, ID" if capture.meta.get("data") else KNOWN,
        "accuracy": None if np.isnan(accuracy) else accuracy,
        "n": {KNOWN: len(capture.test)} | n,
        "needed": metrics.needed(0.95, len(capture.test)),
        **_look(loss_style(capture.loss)),
        "scores": {score.key: _score(capture, score, sets) for score in scores if gives(capture, score, sets)},
        "values": _values(capture, sets),
    }


def gives(capture: Capture, score: Score, sets: list[str]) -> bool:
    """Return whether a capture carries what a score needs, in every set.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], ood={"mine": [[0.1, 0.0]]})
    >>> [gives(capture, scores_module.get(key), ["mine"]) for key in ("es", "mds")]
    [True, False]
    """
    samples = [capture.test, *(capture.ood[name] for name in sets)]
    if not sets:
        return False
    if score.key == "mds":
        return all(item.distances is not None for item in samples)
    if score.key in scores_module.COLUMNS or any(score.key in item.extra_scores for item in samples):
        return all(score.key in item.extra_scores for item in samples)
    return True


def _values(capture: Capture, sets: list[str]) -> dict[str, Any]:
    made = {name: tables.values_table(capture, name, sets, bins=BINS) for name in ("entropy", "max_probability")}
    if (capture.test.labels >= 0).any():
        made["logits"] = tables.logits_table(capture, sets, bins=BINS)
        if all(item.distances is not None for item in [capture.test, *(capture.ood[name] for name in sets)]):
            made["distances"] = tables.logits_table(capture, sets, quantity="distance", bins=BINS)
    return {view: _binned(table) for view, table in made.items()}


def _binned(table: pd.DataFrame) -> dict[str, Any]:
    first, groups = table.iloc[0], table.groupby("group", sort=False)
    return {
        "label": quantity_label(first["quantity"], first["loss"]),
        "low": float(first["left"]),
        "high": float(table["right"].iloc[-1]),
        "groups": [
            {
                "name": str(name),
                "ood": bool(rows["ood"].iloc[0]),
                "n": int(rows["n"].iloc[0]),
                "median": float(rows["median"].iloc[0]),
                "counts": rows["count"].tolist(),
            }
            for name, rows in groups
        ],
    }


def _score(capture: Capture, score: Score, sets: list[str]) -> dict[str, Any]:
    values = {KNOWN: scores_module.compute(score, capture.test)}
    values |= {name: scores_module.compute(score, capture.ood[name]) for name in sets}
    rows = tables.evaluate(capture, scores=score, ood=sets).to_dict("records")
    return {
        "values": _binned(tables.scores_table(capture, score, sets, bins=BINS)),
        "metrics": {row["ood"]: {name: row[name] for name in metrics.METRICS} for row in rows},
        "thresholds": _thresholds(values),
    }


def _thresholds(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return thresholds in ascending order and how many more images of each set each of them rejects.

    The thresholds of both rules are among them (see :func:`isomax_viz.analysis.thresholds.find_threshold`).
    """
    known, *unknown = values.values()
    ordered = {name: np.sort(scores) for name, scores in values.items()}
    low, high = (limit(scores[end] for scores in ordered.values()) for limit, end in ((min, 0), (max, -1)))
    listed = [np.linspace(low, high, STEPS + 1), [metrics.threshold_at_tpr(known)]]
    for scores in ordered.values():
        listed.append(scores[np.linspace(0, len(scores) - 1, PERCENTS + 1).round().astype(int)])
    sizes = range(1, len(unknown) + 1) if len(unknown) <= ALL_COMBINATIONS else (1, len(unknown))
    for size in sizes:
        for chosen in combinations(unknown, size):
            listed.append([metrics.best_dtacc_threshold(known, np.concatenate(chosen))])
    single = all(scores.dtype == np.float32 for scores in values.values())
    edges = np.unique(np.concatenate(listed).astype(np.float32 if single else np.float64))
    return {
        "single": single,
        "edges": [_short(edge) for edge in edges] if single else edges.tolist(),
        # In the precision of the scores, as a comparison with them has it.
        "rejected": {
            name: np.diff(np.searchsorted(scores, edges.astype(scores.dtype)), prepend=0).tolist()
            for name, scores in ordered.items()
        },
    }


def _short(value: np.float32) -> float:
    """Return a number with few digits that is this one in single precision."""
    short = float(str(value))
    return short if np.float32(short) == value else float(value)

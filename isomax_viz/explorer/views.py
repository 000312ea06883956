"""The explorer's views, one entry each: its words, what it sends to the browser, and the plain call behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz import figures
from isomax_viz.analysis import calibration, features, tables
from isomax_viz.analysis.histograms import VALUES
from isomax_viz.analysis.risks import risk_table
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import loss_record, number, percent
from isomax_viz.figures.calibration import plot_reliability
from isomax_viz.figures.feature_space import plot_feature_space, plot_prototype_distances
from isomax_viz.figures.histograms import quantity_label
from isomax_viz.figures.thresholds import plot_operating_point, plot_risk

__all__ = [
    "AXES", "COSTS", "DRAWERS", "FORMATS", "START", "VIEWS", "View", "columns_of", "reliability", "training_panels",
]  # fmt: skip

BINS = 600  # of a histogram of logits; about ten of them make one bar on the screen
POINTS = 1000  # of each set in the feature space

Answer = dict[str, Any]  # JSON values, and arrays that travel as bytes

# The figure, the data that it draws, the settings, and all captures as a page.
FORMATS = ("png", "svg", "pdf", "csv", "json", "html")
AXES = {"shared": "same axes", "own": "own axes", "rank": "rank axis"}
DRAWERS = {"pictures": "Pictures", "explain": "Explain", "one": "One image", "take": "Take away"}
COSTS = {"accept_unknown": 1.0, "reject_known": 1.0, "share_unknown": 0.5}
# What a person can choose, beside the dimensions of the captures, and where it begins.
START: dict[str, Any] = {
    "network": 0, "beside": None, "score": "es", "ood": [], "view": "scores", "threshold": "tpr95", "costs": COSTS,
    "axes": "shared", "quantity": "accuracy", "selection": None, "zoom": None, "drawer": "", "present": False,
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """One way to look at captures.

    Attributes
    ----------
    label, tooltip : str
        On its button, and what it shows in one sentence.
    kind : str
        How the browser draws it: "scores", "roc", "cost", "compare" (from scores), "columns", "binned", "lines",
        "matrix", "points".
    plot : callable
        The plain plot function.
    table : callable
        The data that it draws.
    given : callable
        Whether a capture has what it shows.
    send : callable, optional
        From a capture to what the browser needs; views of scores need nothing of their own.
    uses : tuple of str
        Which settings of the explorer the plain call takes.
    options : tuple of pairs
        Further options of the plain call.
    """

    label: str
    tooltip: str
    kind: str
    plot: Callable[..., Any]
    table: Callable[..., pd.DataFrame]
    given: Callable[[Capture], bool] = lambda capture: True
    send: Callable[[Capture], Answer] | None = None
    uses: tuple[str, ...] = ("ood",)
    options: tuple[tuple[str, Any], ...] = ()


def columns_of(capture: Capture, compute: Callable[[Any], np.ndarray]) -> dict[str, np.ndarray]:
    """Return one number per image of every set, the known ones under "ID"."""
    return {"ID": compute(capture.test)} | {name: compute(samples) for name, samples in capture.ood.items()}


def _values(capture: Capture, *, name: str) -> Answer:
    return {"label": quantity_label(name, capture.loss), "columns": columns_of(capture, VALUES[name])}


def _logits(capture: Capture, *, quantity: str) -> Answer:
    table = tables.logits_table(capture, quantity=quantity, bins=BINS)
    label = quantity_label(quantity, capture.loss)
    groups = [
        {"name": str(name), "ood": bool(rows["ood"].iloc[0]), "n": int(rows["n"].iloc[0])}
        | {"median": float(rows["median"].iloc[0]), "counts": rows["count"].to_numpy(np.int32)}
        for name, rows in table.groupby("group", sort=False)
    ]
    low, high = float(table["left"].iloc[0]), float(table["right"].iloc[-1])
    return {"label": label, "low": low, "high": high, "groups": groups, "values": f"{quantity}s"}


def training_panels(capture: Capture) -> Answer:
    """Return the training curves of a capture: one panel of lines per quantity."""
    table, panels = tables.training_table(capture), {}
    quantities, splits = table["quantity"].to_numpy(), table["split"].to_numpy()
    points = table[["epoch", "value"]].to_numpy(float)
    spreads = {name.replace("_mean", "_std") for name in quantities if name.endswith("_mean")}
    for name in (name for name in dict.fromkeys(quantities) if name not in spreads):
        rows = {split: (quantities == name) & (splits == split) for split in dict.fromkeys(splits[quantities == name])}
        curves = [
            {"label": split, "dash": [] if split == "test" else [3, 3], "points": points[of].tolist()}
            for split, of in rows.items()
        ]
        label = {"label": name.replace("_", " "), "percent": name == "accuracy"}
        panels[name] = {"x": {"label": "epoch", "whole": True}, "y": label, "curves": curves}
    return panels


def reliability(capture: Capture) -> Answer:
    """Return the reliability diagram of a capture's test images as a panel of lines."""
    test = capture.test
    confidences, correct = calibration.decided_probabilities(test), test.predictions == test.labels
    table = calibration.reliability_table(confidences, correct)
    error = calibration.calibration_error(confidences, correct)
    loss = calibration.negative_log_likelihood(test.logits, test.labels)
    at = number(capture.meta.get("logits_divided_by", 1.0))
    label = f"ECE {percent(error)} (15 bins of equal width), NLL {number(loss)}, temperature {at}"
    points = table[["confidence", "accuracy"]].to_numpy(float).tolist()
    curve = {"label": label, "dash": [], "dots": True, "points": points}
    unit = {"low": 0, "high": 1, "percent": True}
    x, y = {"label": "confidence: probability of the predicted class"}, {"label": "accuracy in the bin"}
    return {"x": x | unit, "y": y | unit, "curves": [curve], "diagonal": True}


def _prototypes(capture: Capture) -> Answer:
    table = features.prototype_distances_table(capture)
    return {"names": features.class_names(capture), "values": table["distance"].to_numpy(np.float32)}


def _features(capture: Capture) -> Answer:
    sets = [name for name, samples in capture.ood.items() if samples.features is not None]
    table = features.feature_space_table(capture, sets, most=POINTS)
    marked, points = table[table["group"] == "prototype"], table[table["group"] != "prototype"]
    groups = [
        {"name": str(name), "x": rows["x"].to_numpy(np.float32), "y": rows["y"].to_numpy(np.float32)}
        | {"index": rows["index"].to_numpy(np.int32), "labels": rows["label"].to_numpy(np.int32)}
        for name, rows in points.groupby("group", sort=False)
    ]
    marks = [{"x": row["x"], "y": row["y"], "text": row["name"]} for row in marked.to_dict("records")]
    share = percent(float(table["explained"].iloc[0]))
    label = f"plane of most variance of the known features ({share} of it)"
    marked = "prototypes" if loss_record(capture.loss).prototypes else "class means"
    return {"groups": groups, "marks": marks, "marked": marked, "label": label}


def _reliability_table(capture: Capture) -> pd.DataFrame:
    test = capture.test
    return calibration.reliability_table(calibration.decided_probabilities(test), test.predictions == test.labels)


def _carries(capture: Capture, *, name: str, labels: bool = False) -> bool:
    """Return whether all sets carry an array, and the test images labels where these are needed too."""
    there = all(getattr(item, name) is not None for item in [capture.test, *capture.ood.values()])
    return there and (not labels or bool((capture.test.labels >= 0).any()))


VIEWS = {
    "scores": View(
        "Scores", "Distributions of the chosen score beside the ROC curve, with a threshold that you can drag",
        "scores", plot_operating_point, tables.scores_table, uses=("ood", "score", "threshold"),
    ),
    "roc": View(
        "ROC", "Share of unknown images accepted against share of known images accepted, at every threshold",
        "roc", plot_operating_point, tables.roc_table, uses=("ood", "score", "threshold"), options=(("panels", "roc"),),
    ),
    "cost": View(
        "Cost", "What the errors at each threshold cost per image, and which threshold costs least",
        "cost", plot_risk, risk_table, uses=("ood", "score", "threshold", "costs"),
    ),
    "compare": View(
        "Compare", "Image by image: the score of A against the score of B, and on which images only one is wrong",
        "compare", plot_operating_point, tables.scores_table, uses=("ood", "score", "threshold"),
    ),
    "logits": View(
        "Logits", "Logits of the own class, of the other classes, and of the unknown images",
        "binned", figures.plot_logits, tables.logits_table,
        partial(_carries, name="logits", labels=True), partial(_logits, quantity="logit"),
    ),
    "entropy": View(
        "Entropy", "How undecided the network is, image by image",
        "columns", figures.plot_entropy, lambda capture, ood: tables.values_table(capture, "entropy", ood),
        partial(_carries, name="logits"), partial(_values, name="entropy"),
    ),
    "max_probability": View(
        "Max. probability", "How sure the network says it is, image by image",
        "columns", figures.plot_max_probability,
        lambda capture, ood: tables.values_table(capture, "max_probability", ood), partial(_carries, name="logits"),
        partial(_values, name="max_probability"),
    ),
    "distances": View(
        "Distances", "Distances between features and prototypes: own class, other classes, unknown images",
        "binned", figures.plot_distances, lambda capture, ood: tables.logits_table(capture, ood, quantity="distance"),
        partial(_carries, name="distances", labels=True), partial(_logits, quantity="distance"),
    ),
    "training": View(
        "Training", "How a quantity developed over the epochs of the training",
        "lines", figures.plot_training, tables.training_table, lambda capture: capture.history is not None,
        lambda capture: {"panels": training_panels(capture)}, ("quantity",),
    ),
    "prototypes": View(
        "Prototypes", "How far the prototypes of the classes are from each other",
        "matrix", plot_prototype_distances, features.prototype_distances_table,
        lambda capture: capture.prototypes is not None, _prototypes, (),
    ),
    "features": View(
        "Feature space", "Features and prototypes in the plane in which the known features vary most",
        "points", plot_feature_space, features.feature_space_table,
        lambda capture: capture.test.features is not None and capture.test.features.shape[1] > 1, _features,
    ),
    "calibration": View(
        "Calibration", "How often the network was right against how sure it was",
        "lines", plot_reliability, _reliability_table, partial(_carries, name="logits", labels=True),
        lambda capture: {"panels": {"": reliability(capture)}}, (),
    ),
}  # fmt: skip

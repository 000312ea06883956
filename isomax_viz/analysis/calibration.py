r"""Calibration: a temperature for all logits, fitted by the likelihood, and how probabilities differ from frequencies.

A temperature :math:`T` divides the logits before softmax. The logits of a capture are those for detection, so IsoMax
and IsoMax+ were trained at :math:`T = 1/E_s` ("cold") and detect at :math:`T = 1` ("warm").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import as_numeric, check_choice, check_finite, check_labels, check_matrix, check_number
from isomax_viz.analysis import metrics
from isomax_viz.analysis import scores as scores_module
from isomax_viz.analysis.chosen import Names, chosen_ood
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.captures.samples import Samples, log_softmax

__all__ = [
    "at_temperature", "calibration_error", "decided_probabilities", "fit_temperature", "negative_log_likelihood",
    "reliability_table", "scale_table", "temperature_table",
]  # fmt: skip


def reliability_table(confidences: Any, correct: Any, *, bins: int = 15, binning: str = "width") -> pd.DataFrame:
    """Compare how sure a network was with how often it was right, bin by bin.

    Parameters
    ----------
    confidences : array, shape (n,)
        Probability of the class that the network decided for, in [0, 1].
    correct : array of bool, shape (n,)
        Whether it was right.
    bins : int
        Number of bins.
    binning : {"width", "count"}
        Bins of equal width between 0 and 1, or bins that hold as many samples each, as far as equal confidences allow.

    Returns
    -------
    DataFrame
        One row per bin that is not empty: ``left, right`` (a bin holds its right edge; the first one also its left),
        ``n``, ``confidence`` and ``accuracy`` (means over the bin), ``gap`` (confidence minus accuracy: above zero is
        overconfident).

    Raises
    ------
    ValueError
        If confidences lie outside [0, 1] or are NaN, ``correct`` holds something else than True and False, or the
        arrays are empty or differ in length.

    Examples
    --------
    >>> reliability_table([0.6, 0.7, 0.95], [True, False, True], bins=2)[["left", "right", "n", "accuracy"]]
       left  right  n  accuracy
    0   0.5    1.0  3  0.666667
    """
    check_number("bins", bins, at_least=1, whole=True)
    check_choice("binning", binning, ("width", "count"))
    values, right = as_numeric("confidences", confidences).astype(np.float64), np.asarray(correct)
    if values.ndim != 1 or right.shape != values.shape:
        raise ValueError(
            f"confidences and correct must have the same shape (n,), but have {values.shape} and {right.shape}."
        )
    if not len(values):
        raise ValueError("confidences is empty. Give at least one sample of known class.")
    check_finite("confidences", values, remedy="Drop these samples, or find where the network produced them.")
    # Float32 probabilities may exceed 1 by a rounding error.
    if not (values.min() >= 0 and values.max() <= 1 + 1e-6):
        raise ValueError(
            f"confidences must lie in 0 .. 1, but range from {values.min():g} to {values.max():g}. Give probabilities, "
            "not logits."
        )
    if not np.isin(right, (False, True)).all():
        raise ValueError(
            "correct must say of every sample whether the network was right, True or False, but holds other values. "
            "Give predictions == labels."
        )
    values = np.minimum(values, 1.0)
    edges = np.linspace(0, 1, bins + 1)
    if binning == "count":
        last = (np.arange(1, bins + 1) * len(values) + bins - 1) // bins - 1  # each bin's last sample, in whole numbers
        edges = np.append(0.0, np.unique(np.sort(values)[last]))
    place = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2)
    n = np.bincount(place)
    held = np.flatnonzero(n)
    confidence, accuracy = (np.bincount(place, weights)[held] / n[held] for weights in (values, right))
    told = {"left": edges[held], "right": edges[held + 1], "n": n[held], "confidence": confidence}
    return pd.DataFrame(told | {"accuracy": accuracy, "gap": confidence - accuracy})


def calibration_error(confidences: Any, correct: Any, *, bins: int = 15, binning: str = "width") -> float:
    """Return the expected calibration error: the mean absolute gap of :func:`reliability_table`, weighted by counts.

    Parameters
    ----------
    confidences, correct, bins, binning
        As there. The number depends on the bins, so say which: 15 of equal width are usual.

    Notes
    -----
    Source: Naeini et al. (2015); 15 bins as in Guo et al. (2017).

    Examples
    --------
    >>> calibration_error([0.9, 0.9, 0.9, 0.9], [True, True, True, False])
    0.15
    """
    table = reliability_table(confidences, correct, bins=bins, binning=binning)
    return float(round((table["n"] * table["gap"].abs()).sum() / table["n"].sum(), 12))


def _checked(logits: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    # Double precision: at a low temperature, differences of logits are multiplied many times over.
    logits = check_matrix("logits", logits).astype(np.float64)
    if not len(logits):
        raise ValueError("logits is empty. Give at least one sample of known class.")
    labels = check_labels("labels", labels, rows=len(logits), classes=logits.shape[1])
    if (labels < 0).any():
        raise ValueError(
            f"labels must be classes, but {int((labels < 0).sum())} are -1 (out-of-distribution). Calibration asks how "
            "often the network is right: give samples of known class."
        )
    return logits, labels


def negative_log_likelihood(logits: Any, labels: Any, *, temperature: float = 1.0) -> float:
    """Return the mean of minus the log-probability of the correct class, in nats.

    Parameters
    ----------
    logits : array, shape (n, classes)
        For detection, at temperature 1.
    labels : array of int, shape (n,)
        Correct classes.
    temperature : float
        Divides the logits; above 0.

    Examples
    --------
    >>> round(negative_log_likelihood([[0.0, 0.0]], [0]), 4)
    0.6931
    """
    logits, labels = _checked(logits, labels)
    logits = logits / check_number("temperature", temperature, above=0)
    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: Any, labels: Any) -> float:
    r"""Return the temperature at which the likelihood of the labels is largest.

    Parameters
    ----------
    logits : array, shape (n, classes)
        Of samples that the network was not trained on.
    labels : array of int, shape (n,)
        Correct classes.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are no samples, or the likelihood has no maximum: every sample is classified correctly (it rises for
        ever as the temperature falls), or the logits say no more than chance (it rises as the temperature rises).

    Notes
    -----
    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks". In :math:`\beta = 1/T` the negative
    log-likelihood is convex, with the derivative "mean expected logit minus mean correct logit": its root is found by
    bisection (Brent's method), not by a descent that may stop early.

    Examples
    --------
    >>> logits = [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]
    >>> temperature = fit_temperature(logits, [0, 0, 0, 1])  # right in three of four cases
    >>> np.exp(log_softmax(np.array([2.0, 0.0]) / temperature)).round(3).tolist()
    [0.75, 0.25]
    """
    from scipy.optimize import brentq

    logits, labels = _checked(logits, labels)
    own = logits[np.arange(len(labels)), labels]

    def slope(log_beta: float) -> float:
        probabilities = np.exp(log_softmax(np.exp(log_beta) * logits))
        return float(((probabilities * logits).sum(axis=1) - own).mean())

    if logits.mean(axis=1).mean() >= own.mean():
        raise ValueError(
            "No finite temperature fits: the correct classes have no larger logits than the others on average. Check "
            "that the labels belong to these logits."
        )
    if np.all(own >= logits.max(axis=1)):
        raise ValueError(
            "No temperature above 0 fits: every sample is classified correctly, so the likelihood rises for ever as "
            "the temperature falls. Fit on samples that the network was not trained on, or on more of them."
        )
    spread = float(np.ptp(logits, axis=1).max())
    low, high = np.log(1e-6 / spread), np.log(1e6 / spread)
    if not slope(low) < 0 < slope(high):
        raise ValueError(
            f"No temperature between {1e-6 * spread:.3g} and {1e6 * spread:.3g} fits: the logits of the correct "
            "classes differ from the others by next to nothing. Fit on more samples."
        )
    return float(np.exp(-brentq(slope, low, high, xtol=1e-12)))


def decided_probabilities(samples: Samples) -> np.ndarray:
    """Return the probability of the class that the network decided for.

    IsoMax2 decides by its class logits, which are scaled and tilted per class: where they disagree with the logits for
    detection, this is not the largest probability.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> decided_probabilities(Samples([[1.0, 0.0]], [1], predictions=[1])).round(3).tolist()
    [0.26899999380111694]
    """
    return np.take_along_axis(samples.probabilities, samples.require("predictions")[:, None], axis=1)[:, 0]


def at_temperature(capture: Capture, temperature: float) -> Capture:
    """Return the capture with all logits divided by a temperature: what every figure and score would see there.

    Parameters
    ----------
    capture : Capture
    temperature : float
        Above 0. At 1 over the entropic scale IsoMax and IsoMax+ are as cold as in their training.

    Returns
    -------
    Capture
        Distances, features, predictions and extra scores stay; ``meta["logits_divided_by"]`` is by what the recorded
        logits are divided in all. (``meta["temperature"]`` is a setting of logit normalisation in the training.)

    Examples
    --------
    >>> cold = at_temperature(Capture.from_arrays([[-0.2, -0.5]], [0], loss="isomax"), 0.1)
    >>> cold.test.logits.tolist(), cold.meta["logits_divided_by"]
    ([[-2.0, -5.0]], 0.1)
    """
    check_number("temperature", temperature, above=0)

    before = float(capture.meta.get("logits_divided_by", 1.0))
    divided = {
        name: replace(samples, logits=samples.require("logits") / np.float32(temperature))
        for name, samples in capture.samples.items()
    }
    meta = {**capture.meta, "logits_divided_by": before * float(temperature)}
    return capture.with_samples(divided).replace(meta=meta)


def temperature_table(
    capture: Capture, temperatures: Iterable[float], *, ood: Names = None, bins: int = 15
) -> pd.DataFrame:
    """Return likelihood, entropy, calibration error and detection of a capture's test samples at several temperatures.

    Parameters
    ----------
    capture : Capture
        With test samples of known class.
    temperatures : iterable of float
        Each above 0.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    bins : int
        Of equal width, for the calibration error.

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, backbone, preset, seed, temperature, cross_entropy`` (the negative
        log-likelihood), ``entropy`` (both means in nats), ``confidence`` (mean of
        :func:`decided_probabilities`), ``accuracy, calibration_error, bins``, and the AUROC of ``MPS`` and ``ES``
        (means over the sets; NaN without any).

    Examples
    --------
    >>> capture = Capture.from_arrays([[2.0, 0.0], [2.0, 0.0]], [0, 1], ood={"mine": [[0.1, 0.0]]})
    >>> temperature_table(capture, [1.0, 100.0])[["entropy", "ES"]].round(3).to_numpy().tolist()
    [[0.365, 1.0], [0.693, 1.0]]
    """
    sets = chosen_ood(capture, ood, required=False)
    rows = []
    for temperature in temperatures:
        warm = at_temperature(capture, temperature)
        test = warm.test
        confidences, correct = decided_probabilities(test), test.predictions == test.labels
        row = {
            "temperature": float(temperature),
            "cross_entropy": negative_log_likelihood(capture.test.logits, test.labels, temperature=temperature),
            "entropy": float(test.entropies.mean(dtype=np.float64)),
            "confidence": float(confidences.mean(dtype=np.float64)),
            "accuracy": test.accuracy,
            "calibration_error": calibration_error(confidences, correct, bins=bins),
            "bins": bins,
        }
        for score in ("mps", "es"):
            inside = scores_module.compute(score, test)
            areas = [metrics.auroc(inside, scores_module.compute(score, warm.ood[name])) for name in sets]
            row[score.upper()] = float(np.mean(areas)) if areas else float("nan")
        rows.append(source(capture) | row)
    return pd.DataFrame(rows)


def scale_table(logits: Any, label: int, scales: Iterable[float]) -> pd.DataFrame:
    r"""Follow one sample while its logits are multiplied by a scale: probabilities, entropy, cross-entropy.

    Parameters
    ----------
    logits : array, shape (classes,)
        For detection; for IsoMax minus the distances.
    label : int
        The correct class.
    scales : iterable of float
        Each at least 0: 0 gives equal probabilities, 1 what detection sees, the entropic scale what training sees.

    Returns
    -------
    DataFrame
        ``scale, entropy, cross_entropy`` (nats) and the probabilities ``p0, p1, ...``.

    Notes
    -----
    With :math:`p_j \propto e^{-s d_j}` the entropy never rises with :math:`s`, and the cross-entropy falls to 0 if the
    correct prototype is the nearest one.

    Examples
    --------
    >>> scale_table([-0.2, -0.5, -0.8], 0, [0.0, 10.0])[["scale", "entropy", "cross_entropy"]].round(3)
       scale  entropy  cross_entropy
    0    0.0    1.099          1.099
    1   10.0    0.207          0.051
    """
    row = check_matrix("logits", np.atleast_2d(as_numeric("logits", logits)), rows=1).astype(np.float64)
    check_number("label", label, at_least=0, at_most=row.shape[1] - 1, whole=True)
    values = np.array([check_number("scales", scale, at_least=0) for scale in scales], dtype=np.float64)
    logs = log_softmax(values[:, None] * row)
    probabilities = np.exp(logs)
    told = {"scale": values, "entropy": -(probabilities * logs).sum(axis=1), "cross_entropy": -logs[:, label]}
    return pd.DataFrame(told | {f"p{number}": column for number, column in enumerate(probabilities.T)})

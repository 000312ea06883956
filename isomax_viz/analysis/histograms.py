"""Binned tables of logits, distances, entropies, probabilities and scores: Capture in, tidy DataFrame out.

All groups of a table share their bin edges, and a density is ``count / (n * bin width)``, so that areas are shares of
the values: figures only draw these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number, check_ood, run_hint
from isomax_viz.analysis import metrics
from isomax_viz.analysis import scores as scores_module
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.captures.samples import Samples

__all__ = ["VALUES", "chosen_ood", "logits_table", "scores_table", "values_table"]

INTRA, INTER, KNOWN = "intra-class ID", "inter-class ID", "ID"

VALUES: dict[str, Callable[[Samples], np.ndarray]] = {
    "entropy": lambda samples: samples.entropies,
    "max_probability": lambda samples: samples.max_probabilities,
    "min_distance": lambda samples: samples.min_distances,
}

Groups = Sequence[tuple[str, bool, np.ndarray]]  # name, whether out-of-distribution, values


def chosen_ood(capture: Capture, ood: str | Iterable[str] | None) -> dict[str, Samples]:
    """Return the out-of-distribution sets of that name or names; None means all.

    Raises
    ------
    TypeError
        If this is no capture.
    ValueError
        If no set is named, the capture has no such set, no set at all, or an empty one.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], ood={"letters": [[0.2, 0.1]], "patches": [[0.1, 0.2]]})
    >>> list(chosen_ood(capture, "letters")), list(chosen_ood(capture, None))
    (['letters'], ['letters', 'patches'])
    """
    if not isinstance(capture, Capture):
        remedy = run_hint(capture) or "For several captures side by side use iv.plot_grid(plot, captures)."
        raise TypeError(
            f"data must be one Capture (or the table made from one), but is of type {type(capture).__name__}. {remedy}"
        )
    if ood is None and not capture.ood:
        raise ValueError(
            "This capture has no out-of-distribution set to compare with. Record one with "
            "Experiment.run(ood='letters'), or pass ood={'mine': logits} to Capture.from_arrays."
        )
    names = check_ood(ood, capture.ood)
    for name in names:
        if not len(capture.ood[name]):
            raise ValueError(
                f"The out-of-distribution set {name!r} is empty. Record it with at least one image, or leave it out."
            )
    return {name: capture.ood[name] for name in names}


def _edges(groups: Sequence[np.ndarray], bins: int | Sequence[float], limits: tuple[float, float] | None) -> Any:
    """Return the arguments ``bins, range`` of np.histogram that give all groups the same edges."""
    if not np.isscalar(bins):
        edges = np.asarray(bins, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise ValueError("bins must be a whole number or an increasing sequence of at least 2 edges.")
        return edges, None
    count = int(check_number("bins", bins, at_least=1, whole=True))
    if limits is None:
        limits = min(float(values.min()) for values in groups), max(float(values.max()) for values in groups)
    # In double precision: edges between float32 values that lie close together must not fall into one.
    low, high = (np.float64(limit) for limit in limits)
    if not low <= high:
        raise ValueError(f"limits must be (lowest, highest), but is ({low:g}, {high:g}).")
    margin = max(0.5, float(np.spacing(abs(low))) * count)
    return count, (low, high) if low < high else (low - margin, high + margin)


def _binned(
    capture: Capture, quantity: str, groups: Groups, bins: int | Sequence[float], limits: tuple[float, float] | None
) -> pd.DataFrame:
    for name, _, values in groups:
        if not len(values):
            raise ValueError(f"There is nothing to count in the group {name!r}: the test samples carry no labels.")
    bins, limits = _edges([values for *_, values in groups], bins, limits)
    counts = []
    for *_, values in groups:
        count, edges = np.histogram(values, bins=bins, range=limits)
        counts.append(count)
    edges = edges.astype(np.float64)
    per_group = {
        "group": [name for name, *_ in groups],
        "ood": [is_ood for _, is_ood, _ in groups],
        "n": [len(values) for *_, values in groups],
        "median": [_median(values) for *_, values in groups],
    }
    repeated = {name: np.repeat(np.array(values), len(edges) - 1) for name, values in per_group.items()}
    left, right, count = np.tile(edges[:-1], len(groups)), np.tile(edges[1:], len(groups)), np.concatenate(counts)
    binned = {"left": left, "right": right, "density": count / (repeated["n"] * (right - left)), "count": count}
    order = ("group", "ood", "left", "right", "density", "count", "n", "median")
    body = repeated | binned
    return pd.DataFrame(source(capture) | {"quantity": quantity} | {name: body[name] for name in order})


def _median(values: np.ndarray) -> float:
    # As np.median, which partitions around both middle values at once and takes several times as long on millions.
    middle = len(values) // 2
    parted = np.partition(values, middle)
    if len(values) % 2:
        return float(parted[middle])
    return float(np.array([parted[:middle].max(), parted[middle]]).mean())


def logits_table(
    capture: Capture,
    ood: str | Iterable[str] | None = None,
    *,
    quantity: str = "logit",
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Count intra-class, inter-class and out-of-distribution logits (or distances) in shared bins.

    Parameters
    ----------
    capture : Capture
    ood : str or list of str, optional
        Out-of-distribution sets; by default all of the capture.
    quantity : {"logit", "distance"}
        Logits at temperature 1 (see :class:`~isomax_viz.captures.samples.Samples`) or feature-prototype distances.
    bins : int or sequence of float
        Number of bins, or their edges.
    limits : (float, float), optional
        Lowest and highest edge; by default the smallest and largest value of all groups. Values outside are not counted
        but stay in ``n``, so densities do not grow when the view narrows.

    Returns
    -------
    DataFrame
        One row per group and bin. Groups are ``"intra-class ID"`` (a test image's logit for its own class),
        ``"inter-class ID"`` (for every other class) and each set's name (all its logits: it has no own class). Columns:
        where it comes from (``loss, entropic_scale, data, backbone, preset, seed``), ``quantity, group, ood`` (bool),
        ``left, right`` (edges), ``density`` (per unit of the quantity), ``count``, the group's ``n`` and ``median``.

    Raises
    ------
    ValueError
        If a set or quantity is unknown, a set is empty, or distances are missing.

    Notes
    -----
    Source: the histograms of the DisMax paper, Figure 3, and of the IsoMax2 paper, Figure 3.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [1.0, 2.0]], [0, 1], ood={"mine": [[0.5, 1.5]]})
    >>> logits_table(capture, bins=3)[["group", "left", "right", "count", "n"]].head(4)
                group  left  right  count  n
    0  intra-class ID   0.0    1.0      0  2
    1  intra-class ID   1.0    2.0      0  2
    2  intra-class ID   2.0    3.0      2  2
    3  inter-class ID   0.0    1.0      1  2
    """
    check_choice("quantity", quantity, ("logit", "distance"))
    unknown = chosen_ood(capture, ood)
    test = capture.test
    if quantity == "logit":
        known = [(INTRA, False, test.intra_logits), (INTER, False, test.inter_logits)]
        others = [(name, True, samples.require("logits").ravel()) for name, samples in unknown.items()]
    else:
        known = [(INTRA, False, test.intra_distances), (INTER, False, test.inter_distances)]
        others = [(name, True, samples.require("distances").ravel()) for name, samples in unknown.items()]
    return _binned(capture, quantity, known + others, bins, limits)


def values_table(
    capture: Capture,
    value: str | Callable[[Samples], np.ndarray] = "entropy",
    ood: str | Iterable[str] | None = None,
    *,
    normalised: bool = False,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Count one value per sample, in-distribution and out-of-distribution, in shared bins.

    Parameters
    ----------
    capture : Capture
    value : str or callable
        ``"entropy"`` (nats), ``"max_probability"``, ``"min_distance"``, a key of ``iv.scores.SCORES``, your own score.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all of the capture.
    normalised : bool
        Divide the entropy by its largest possible value, log(classes); the quantity is then ``"normalised_entropy"``.
    bins : int or sequence of float
        Number of bins, or their edges.
    limits : (float, float), optional
        Lowest and highest edge; by default those of the data: the entropies of an isotropic loss fill a tenth of
        [0, log(classes)] and would share a few bins of it.

    Returns
    -------
    DataFrame
        As :func:`logits_table`, with the groups ``"ID"`` and each set's name; ``n`` counts images.

    Notes
    -----
    Source: DisMax paper, Figures 4 and 6; IsoMax2 paper, Figures 4 and 5; IsoMax+ paper, Figure 1 (scores).

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 9.0]], [0, 1], ood={"mine": [[0.1, 0.0]]})
    >>> values_table(capture, "mps", bins=2, limits=(0.0, 1.0))[["group", "left", "right", "density", "count", "n"]]
      group  left  right  density  count  n
    0    ID   0.0    0.5      0.0      0  2
    1    ID   0.5    1.0      2.0      2  2
    2  mine   0.0    0.5      0.0      0  1
    3  mine   0.5    1.0      2.0      1  1
    """
    if normalised and value != "entropy":
        raise ValueError(f"normalised=True divides the entropy by log(classes), but value is {value!r}. Leave it out.")
    unknown = chosen_ood(capture, ood)
    if isinstance(value, str):
        check_choice("value", value, [*VALUES, *scores_module.SCORES, *capture.test.extra_scores])
    if isinstance(value, str) and value in VALUES:
        quantity, compute = "normalised_entropy" if normalised else value, VALUES[value]
    else:
        score = scores_module.get(value, capture.test)
        quantity, compute = score.key, partial(scores_module.compute, score)
    groups = [(KNOWN, False, compute(capture.test))]
    groups += [(name, True, compute(samples)) for name, samples in unknown.items()]
    if normalised:
        groups = [(name, is_ood, values / np.log(capture.test.classes)) for name, is_ood, values in groups]
    return _binned(capture, quantity, groups, bins, limits)


def scores_table(
    capture: Capture,
    score: str | Callable[[Samples], np.ndarray] | None = None,
    ood: str | Iterable[str] | None = None,
    *,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Count a score, in-distribution and out-of-distribution, with its threshold at 95 % TPR and what that detects.

    Parameters
    ----------
    capture : Capture
    score : str or callable, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function; higher = more in-distribution.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all of the capture.
    bins, limits
        As in :func:`values_table`.

    Returns
    -------
    DataFrame
        As :func:`values_table`, and ``threshold`` (the largest that keeps TPR >= 0.95), ``TPR`` (share of test images
        at or above it), and for each set ``AUROC`` and ``TNR@TPR95`` (fractions; NaN in the rows of ``"ID"``).

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 9.0]], [0, 1], ood={"mine": [[0.1, 0.0]]})
    >>> scores_table(capture, "max_logit", bins=1)[["group", "threshold", "TPR", "AUROC", "TNR@TPR95"]]
      group  threshold  TPR  AUROC  TNR@TPR95
    0    ID        9.0  1.0    NaN        NaN
    1  mine        9.0  1.0    1.0        1.0
    """
    unknown = chosen_ood(capture, ood)
    chosen = scores_module.get(score, capture.test)
    id_scores = scores_module.compute(chosen, capture.test)
    groups = [(KNOWN, False, id_scores)]
    groups += [(name, True, scores_module.compute(chosen, samples)) for name, samples in unknown.items()]
    table = _binned(capture, chosen.key, groups, bins, limits)
    threshold = metrics.threshold_at_tpr(id_scores)
    table["threshold"] = float(threshold)
    table["TPR"] = float((id_scores >= threshold).mean())
    rows = len(table) // len(groups)
    auroc = [np.nan] + [metrics.auroc(id_scores, values) for *_, values in groups[1:]]
    table["AUROC"] = np.repeat(np.array(auroc, dtype=float), rows)
    detected = [np.nan] + [float((values < threshold).mean()) for *_, values in groups[1:]]
    table["TNR@TPR95"] = np.repeat(np.array(detected, dtype=float), rows)
    return table

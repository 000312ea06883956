"""Binned tables of logits, distances, entropies, probabilities and scores: Capture in, tidy DataFrame out.

All groups of a table share their bin edges, and a density is ``count / (n * bin width)``, so that areas are shares of
the values: figures only draw these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number, check_unused
from isomax_viz.analysis import metrics
from isomax_viz.analysis import scores as scores_module
from isomax_viz.analysis.chosen import Names, chosen_ood, set_scores
from isomax_viz.analysis.scores import ScoreLike
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source

__all__ = ["VALUES", "logits_table", "scores_table", "values_table"]

INTRA, INTER, KNOWN = "intra-class ID", "inter-class ID", "ID"

_ATTRIBUTES = {"entropy": "entropies", "max_probability": "max_probabilities", "min_distance": "min_distances"}
VALUES: dict[str, Callable[..., Any]] = {name: attrgetter(several) for name, several in _ATTRIBUTES.items()}

Bins = int | Sequence[float]
Limits = tuple[float, float] | None
Groups = Sequence[tuple[str, bool, np.ndarray]]  # name, whether out-of-distribution, values


def _edges(groups: Sequence[np.ndarray], bins: Bins, limits: Limits) -> Any:
    """Return the arguments ``bins, range`` of np.histogram that give all groups the same edges."""
    if not np.isscalar(bins):
        check_unused("edges of bins", limits=limits)
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


def _binned(capture: Capture, quantity: str, groups: Groups, bins: Bins, limits: Limits) -> pd.DataFrame:
    for name, _, values in groups:
        if not len(values):
            raise ValueError(f"There is nothing to count in the group {name!r}: the test samples carry no labels.")
    bins, limits = _edges([values for *_, values in groups], bins, limits)
    parts = []
    for name, is_ood, values in groups:
        count, edges = np.histogram(values, bins=bins, range=limits)
        left, right = edges[:-1].astype(np.float64), edges[1:].astype(np.float64)
        columns = source(capture) | {"quantity": quantity, "group": name, "ood": is_ood, "left": left, "right": right}
        columns |= {"density": count / (len(values) * (right - left)), "count": count}
        parts.append(pd.DataFrame(columns | {"n": len(values), "median": _median(values)}))
    return pd.concat(parts, ignore_index=True)


def _median(values: np.ndarray) -> float:
    # As np.median, which partitions around both middle values at once and takes several times as long on millions.
    middle = len(values) // 2
    parted = np.partition(values, middle)
    below = parted[middle] if len(values) % 2 else parted[:middle].max()
    return float(np.array([below, parted[middle]]).mean())


def logits_table(
    capture: Capture, ood: Names = None, *, quantity: str = "logit", bins: Bins = 50, limits: Limits = None
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
    known = [(INTRA, False, getattr(test, f"intra_{quantity}s")), (INTER, False, getattr(test, f"inter_{quantity}s"))]
    others = [(name, True, samples.require(f"{quantity}s").ravel()) for name, samples in unknown.items()]
    return _binned(capture, quantity, known + others, bins, limits)


def values_table(
    capture: Capture,
    value: ScoreLike = "entropy",
    ood: Names = None,
    *,
    normalised: bool = False,
    bins: Bins = 50,
    limits: Limits = None,
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
    capture: Capture, score: ScoreLike | None = None, ood: Names = None, *, bins: Bins = 50, limits: Limits = None
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
    chosen, id_scores, sets = set_scores(capture, score, ood)
    groups = [(KNOWN, False, id_scores), *((name, True, values) for name, values in sets.items())]
    table = _binned(capture, chosen.key, groups, bins, limits)
    threshold = metrics.threshold_at_tpr(id_scores)
    table["threshold"], table["TPR"] = float(threshold), float((id_scores >= threshold).mean())
    auroc = {name: metrics.auroc(id_scores, values) for name, values in sets.items()}
    detected = {name: float((values < threshold).mean()) for name, values in sets.items()}
    for column, found in (("AUROC", auroc), ("TNR@TPR95", detected)):
        table[column] = table["group"].map(found).astype(float).where(table["ood"])
    return table

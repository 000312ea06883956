"""How far the logits of unknown images overlap with those of known ones, and whether the papers' words hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz.captures import Capture
from isomax_viz.histograms import chosen_ood, logits_table, source
from isomax_viz.tables import as_list

__all__ = ["logit_overlaps", "overlap_coefficient"]

# Which in-distribution logits the out-of-distribution ones mimic, in the words of the 2019 paper (section on logits,
# figure 3) and of the IsoMax2 paper (figure 3). The IsoMax+ paper says nothing about it.
CLAIMED = {"softmax": "inter-class", "isomax": "intra-class", "isomax2": "intra-class"}


def overlap_coefficient(p: np.ndarray, q: np.ndarray) -> float:
    """Return the area that two histograms share: 1 if they are equal, 0 if they do not touch.

    Parameters
    ----------
    p, q : array, shape (bins,)
        Counts or densities over the same bins of equal width.

    Returns
    -------
    float
        Sum of min(p, q) after both are brought to sum 1.

    Examples
    --------
    >>> overlap_coefficient(np.array([2, 2, 0]), np.array([0, 1, 1]))
    0.5
    """
    return float(np.minimum(p / p.sum(), q / q.sum()).sum())


def logit_overlaps(
    captures: Capture | Iterable[Capture], *, ood: str | Iterable[str] | None = None, bins: int = 60
) -> pd.DataFrame:
    """Say which in-distribution logits the out-of-distribution logits resemble more.

    Parameters
    ----------
    captures : Capture or iterable of Capture
        Networks to compare.
    ood : str or iterable of str, optional
        Sets to look at; by default all.
    bins : int
        Bins over the common range; more bins give smaller overlaps.

    Returns
    -------
    DataFrame
        ``loss, data, seed, ood, intra_overlap, inter_overlap`` (overlap coefficients of all logits of the OOD set with
        the intra- and inter-class logits of the ID test set), ``this_run`` (the nearer of the two), ``papers_say`` and
        ``agrees`` (missing where the papers make no claim).

    Notes
    -----
    The claim, "out-distribution logits mimic inter-class (SoftMax) or intra-class (IsoMax, IsoMax2) ones": Distinction
    Maximization Loss (2019), figure 3; Hyperparameter-Free Isotropic Maximization Loss, figure 3.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 9.0]], [0, 1], ood={"x": [[0.1, 0.2]]}, loss="softmax")
    >>> row = logit_overlaps(capture).iloc[0]
    >>> row["this_run"], row["papers_say"], bool(row["agrees"])
    ('inter-class', 'inter-class', True)
    """
    rows: list[dict[str, Any]] = []
    for capture in as_list(captures):
        for name in chosen_ood(capture, ood):
            groups = logits_table(capture, name, bins=bins).groupby("group", sort=False)["count"]
            intra, inter, outside = (part.to_numpy() for _, part in groups)
            overlaps = {
                "intra_overlap": overlap_coefficient(intra, outside),
                "inter_overlap": overlap_coefficient(inter, outside),
            }
            nearer = "intra-class" if overlaps["intra_overlap"] > overlaps["inter_overlap"] else "inter-class"
            claimed = CLAIMED.get(capture.loss)
            origin = source(capture)
            rows.append(
                {"loss": capture.loss, "data": origin["data"], "seed": origin["seed"], "ood": name}
                | overlaps
                | {"this_run": nearer, "papers_say": claimed, "agrees": None if claimed is None else nearer == claimed}
            )
    return pd.DataFrame(rows)

"""Histograms of a score with the threshold that accepts 95 % of the in-distribution images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isomax_viz.analysis.histograms import scores_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.figures._canvas import drawing, small, title_pad
from isomax_viz.figures._histograms import draw_histogram, from_table
from isomax_viz.figures._words import number, percent

__all__ = ["plot_scores"]


def plot_scores(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] = "es",
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of a score with the threshold at 95 % TPR, and AUROC and TNR@TPR95 in words.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture, or the table that :func:`~isomax_viz.analysis.histograms.scores_table` made from one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    score : str or callable
        A key of ``iv.scores.SCORES``, or your own function of samples; higher = more in-distribution.
    bins, limits
        See :func:`~isomax_viz.analysis.histograms.scores_table`; not used for a table.
    yscale, legend, theme, ax, **kwargs
        As in :func:`~isomax_viz.figures.plot_logits`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a score, set or option is unknown, a set is empty, or the score needs distances that are not there.

    Notes
    -----
    Source: IsoMax+ paper, Figure 1. Images to the right of the line, at or above the threshold, are accepted as
    in-distribution; TNR@TPR95 is the share of out-of-distribution images to its left.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> print(plot_scores(capture, score="mps").get_legend_handles_labels()[1][1])
    letters (n = 1)
    AUROC 100.0 %, TNR@TPR95 100.0 %
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "scores_table", also=("threshold", "TPR", "AUROC", "TNR@TPR95"))
    else:
        table = scores_table(data, score, ood, bins=bins, limits=limits)
    figures = {
        row["group"]: f"\nAUROC {percent(row['AUROC'])}, TNR@TPR95 {percent(row['TNR@TPR95'])}"
        for row in table.drop_duplicates("group").to_dict("records")
        if row["ood"]
    }
    with drawing(ax, theme=theme, lines=1) as axes:
        own, threshold = ax is None, float(table["threshold"].iloc[0])
        options = {"yscale": yscale, "legend": legend, "avoid": threshold, "pad": title_pad(1)}
        draw_histogram(axes, table, own=own, labels=figures, **options, **kwargs)
        _draw_threshold(axes, threshold, float(table["TPR"].iloc[0]))
        return axes


def _draw_threshold(ax: Axes, threshold: float, tpr: float) -> None:
    low, high = limits = ax.get_xlim()
    ax.axvline(threshold, color="#1a1a1a", linewidth=1.2, zorder=5, gid="threshold")
    ax.set_xlim(limits)  # limits may leave the threshold outside: the line must not move them
    share = min(max((threshold - low) / (high - low), 0.0), 1.0)
    ax.annotate(
        f"score ≥ {number(threshold)} accepts {percent(tpr)} of ID →",
        (share, 1.0),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="left" if share < 0.5 else "right",
        va="bottom",
        fontsize=small(),
        gid="threshold",
    )

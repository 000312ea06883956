"""Histograms of one value per image: entropy and maximum probability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from isomax_viz.analysis.histograms import values_table
from isomax_viz.captures.capture import Capture
from isomax_viz.figures._canvas import drawing
from isomax_viz.figures._histograms import draw_histogram, from_table

__all__ = ["plot_entropy", "plot_max_probability"]


def plot_entropy(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    normalised: bool = False,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of the entropies of the network's answers, in-distribution and out-of-distribution.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture, or the table that :func:`~isomax_viz.analysis.histograms.values_table` made from one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    normalised : bool
        Divide by the largest possible entropy, log(classes), as the papers' code does; the axis says so.
    bins, limits
        See :func:`~isomax_viz.analysis.histograms.values_table`; not used for a table.
    yscale, legend, theme, ax, **kwargs
        As in :func:`~isomax_viz.figures.plot_logits`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a set or option is unknown, or a set is empty.

    Notes
    -----
    Source: DisMax paper, Figure 6; IsoMax2 paper, Figure 4. Entropies are of softmax(logits), without entropic scale.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> plot_entropy(capture).get_xlabel()
    'entropy (nats)'
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "values_table")
    else:
        table = values_table(data, "entropy", ood, normalised=normalised, bins=bins, limits=limits)
    with drawing(ax, theme=theme, lines=0) as axes:
        return draw_histogram(axes, table, own=ax is None, yscale=yscale, legend=legend, **kwargs)


def plot_max_probability(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of the largest probability of each image, in-distribution and out-of-distribution.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture, or the table that :func:`~isomax_viz.analysis.histograms.values_table` made from one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    bins, limits
        See :func:`~isomax_viz.analysis.histograms.values_table`; not used for a table.
    yscale, legend, theme, ax, **kwargs
        As in :func:`~isomax_viz.figures.plot_logits`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a set or option is unknown, or a set is empty.

    Notes
    -----
    Source: DisMax paper, Figure 4; IsoMax2 paper, Figure 5. Probabilities are softmax(logits) without entropic scale.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> plot_max_probability(capture).get_title(loc="left")
    'SoftMax · test against letters'
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "values_table")
    else:
        table = values_table(data, "max_probability", ood, bins=bins, limits=limits)
    with drawing(ax, theme=theme, lines=0) as axes:
        return draw_histogram(axes, table, own=ax is None, yscale=yscale, legend=legend, **kwargs)

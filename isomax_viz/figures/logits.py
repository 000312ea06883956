"""Histograms of logits and of feature-prototype distances: intra-class, inter-class and out-of-distribution."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from isomax_viz.analysis.histograms import logits_table, values_table
from isomax_viz.captures.capture import Capture
from isomax_viz.figures._canvas import drawing
from isomax_viz.figures._histograms import draw_histogram, from_table

__all__ = ["plot_distances", "plot_logits"]


def plot_logits(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    quantity: str = "logit",
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of intra-class, inter-class and out-of-distribution logits (or distances).

    Parameters
    ----------
    data : Capture or DataFrame
        A capture, or the table that :func:`~isomax_viz.analysis.histograms.logits_table` made from one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    quantity : {"logit", "distance"}
        The sign in which to show an isotropic loss; the axis says which (the papers' code prints positive distances).
    bins, limits
        See :func:`~isomax_viz.analysis.histograms.logits_table`; not used for a table.
    yscale : {"linear", "log"}
        Scale of the density axis. On the linear one a spike that would flatten everything else is cut off, and the
        figure says how much it holds.
    legend : bool
        Whether to draw a legend.
    theme : {"paper", "talk"}
        Text and line sizes of a new figure.
    ax : Axes, optional
        Where to draw; by default on a new figure, which a notebook shows.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.stairs`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a set or option is unknown, a set is empty, or distances are missing.

    Notes
    -----
    Source: DisMax paper, Figure 3; IsoMax2 paper, Figure 3.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [1.0, 2.0]], [0, 1], ood={"letters": [[0.5, 1.5]]}, loss="isomax")
    >>> ax = plot_logits(capture, ood="letters")
    >>> ax.get_title(loc="left"), ax.get_xlabel()
    ('IsoMax · test against letters', 'logit = −distance')
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "logits_table")
    else:
        table = logits_table(data, ood, quantity=quantity, bins=bins, limits=limits)
    with drawing(ax, theme=theme, lines=0) as axes:
        return draw_histogram(axes, table, own=ax is None, yscale=yscale, legend=legend, **kwargs)


def plot_distances(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    nearest: bool = False,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of feature-prototype distances, without any learned scale.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture with distances, or the table of :func:`~isomax_viz.analysis.histograms.logits_table`
        (``quantity="distance"``) or :func:`~isomax_viz.analysis.histograms.values_table` (``"min_distance"``).
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    nearest : bool
        False: distances to every prototype, as intra-class, inter-class and OOD. True: one distance per image, to its
        nearest prototype (minus that is the MDS score).
    bins, limits, yscale, legend, theme, ax, **kwargs
        As in :func:`plot_logits`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the samples carry no distances, or as in :func:`plot_logits`.

    Notes
    -----
    Source: IsoMax+ paper, Figure 1 (minimum distance). The logits of IsoMax and IsoMax2 are these with the sign turned.
    SoftMax has no prototypes: its distances are those to the class means of the training features, as the axis says.

    Examples
    --------
    >>> sets = {"letters": {"logits": [[-1.5, -1.5]], "distances": [[1.5, 1.5]]}}
    >>> capture = Capture.from_arrays([[-1.0, -2.0]], [0], distances=[[1.0, 2.0]], ood=sets, loss="isomax")
    >>> plot_distances(capture).get_xlabel(), plot_distances(capture, nearest=True).get_xlabel()
    ('feature-prototype distance', 'distance to the nearest prototype')
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "logits_table")
    elif nearest:
        table = values_table(data, "min_distance", ood, bins=bins, limits=limits)
    else:
        table = logits_table(data, ood, quantity="distance", bins=bins, limits=limits)
    with drawing(ax, theme=theme, lines=0) as axes:
        return draw_histogram(axes, table, own=ax is None, yscale=yscale, legend=legend, **kwargs)

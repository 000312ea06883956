"""Curves over a setting that each training has once: every seed a point, the mean a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from isomax_viz.catalog.style import Style

__all__ = ["draw_curve", "set_log_axis", "set_percent_axis"]


def draw_curve(ax: Axes, rows: pd.DataFrame, x: str, *, style: Style, label: str, **options: Any) -> None:
    """Draw the values of each training as points and their mean at each ``x`` as a line.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    rows : DataFrame
        One row per training, with the column ``x`` and ``value``.
    x : str
        Name of the column on the horizontal axis.
    style : Style
        Colour, line style and marker.
    label : str
        Entry of the legend.
    **options
        Passed on to :meth:`matplotlib.axes.Axes.plot` for the line.
    """
    means = rows.groupby(x)["value"].mean()
    look = {"color": style.color, "linestyle": style.linestyle, "linewidth": 1.8, "zorder": 3}
    ax.plot(means.index.to_numpy(), means.to_numpy(), label=label, **(look | options))
    ax.plot(
        rows[x].to_numpy(), rows["value"].to_numpy(), linestyle="none", marker=style.marker, markersize=4.5,
        color=(look | options)["color"], alpha=0.65, markeredgewidth=0, zorder=4, label=f"_seeds of {label}",
    )  # fmt: skip


def set_log_axis(ax: Axes, values: Sequence[float], label: str) -> None:
    """Make the horizontal axis logarithmic with a tick at each value that was tried, and at no other."""
    ticks = sorted(set(values))
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(x=0.05)
    ax.set_xlabel(label)


def set_percent_axis(ax: Axes, label: str) -> None:
    """Label the vertical axis in percent."""
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    ax.set_ylabel(label)

"""What approaches detect against what they cost: AUROC over inference time, each point with its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.methods import demands, measure
from isomax_viz.captures.provenance import note
from isomax_viz.catalog.style import data_style, loss_styles, percent, plain
from isomax_viz.figures._canvas import Caption, as_table, attach, check_options, draw_legend, drawing, small
from isomax_viz.figures.studies import set_percent_axis

__all__ = ["plot_costs"]

COLUMNS = ("approach", "loss", "score", "ood", "relative_time", "relative_time_low", "relative_time_high")
METRICS = ("AUROC", "TNR@TPR95")
TICKS = (1, 1.5, 2, 3, 5, 10, 20, 50, 100)
LEADER = "#B0B0B0"


def plot_costs(
    data: pd.DataFrame,
    *,
    metric: str = "AUROC",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw what approaches detect against their inference time, relative to a plain forward pass.

    Parameters
    ----------
    data : DataFrame
        What :func:`isomax_viz.analysis.methods.measure` returned.
    metric : {"AUROC", "TNR@TPR95"}
        What to draw upwards; means over out-of-distribution sets.
    legend, theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.plot` for the points.

    Returns
    -------
    Axes
        Points have the colour and marker of the loss; they are filled where the approach has no special requirement or
        side effect (:func:`isomax_viz.analysis.methods.demands`). Horizontal bars are the quartiles of the rounds.

    Raises
    ------
    ValueError
        If the table is another one.

    Examples
    --------
    >>> row = {"approach": "IsoMax+/MDS", "loss": "isomax+", "score": "mds", "ood": 4, "AUROC": 0.95, "preset": None}
    >>> times = {"relative_time": 1.1, "relative_time_low": 1.0, "relative_time_high": 1.2}
    >>> plot_costs(pd.DataFrame([row | times])).get_ylabel()
    'AUROC, mean over 4 OOD sets'
    """
    check_options(plot_costs, kwargs, Line2D, Axes.plot)
    check_choice("metric", metric, METRICS)
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data must be the table that iv.methods.measure returned, but is a {type(data).__name__}.")
    table = as_table(plot_costs, data, measure, (*COLUMNS, metric), module="iv.methods")
    looks = loss_styles(table["loss"])
    table = table.sort_values(metric, ascending=False, kind="stable").reset_index(drop=True)
    with drawing(ax, theme=theme, size=(8.2, 4.8)) as axes:
        axes.axvline(1, color=LEADER, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        for row in table.to_dict("records"):
            style, time = looks[str(row["loss"])], row["relative_time"]
            reach = [[time - row["relative_time_low"]], [row["relative_time_high"] - time]]
            axes.errorbar(time, row[metric], xerr=reach, color=style.color, elinewidth=0.8, zorder=2)
            look = {"marker": style.marker, "color": style.color, "markersize": 7, "zorder": 4, "linestyle": "none"}
            look |= {"markerfacecolor": style.color if _is_seamless(row) else "white", "gid": row["approach"]}
            axes.plot(time, row[metric], **(look | kwargs))
        _finish(axes, table, metric)
        _write_names(axes, table, metric)
        if legend:
            point = {"linestyle": "none", "markersize": 6}
            handles = [Line2D([], [], color=look.color, marker=look.marker, **point) for look in looks.values()]
            handles.append(Line2D([], [], color="#4D4D4D", marker="o", markerfacecolor="white", **point))
            draw_legend(axes, handles, [*(look.label for look in looks.values()), "with special needs or side effects"])
        return attach(axes, _caption(table, metric), own=ax is None)


def _is_seamless(row: dict[str, Any]) -> bool:
    try:
        return not demands(row["loss"], row["score"])
    except ValueError:  # an approach of one's own, of which nothing is declared
        return False


def _finish(ax: Axes, table: pd.DataFrame, metric: str) -> None:
    ax.set_xscale("log")
    low, high = min(1.0, table["relative_time_low"].min()), table["relative_time_high"].max()
    ax.set_xlim(low / 1.12, max(high, 1.5) * 1.12)
    ax.xaxis.set_major_locator(FixedLocator(TICKS))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    ax.set_xlabel("inference time, relative to one forward pass of the same network")
    sets = table["ood"].max()
    set_percent_axis(ax, f"{metric}, mean over {sets} OOD sets" if sets > 1 else metric)
    ax.margins(y=0.06)


def _write_names(ax: Axes, table: pd.DataFrame, metric: str) -> None:
    """Write the names in one column to the right, in the order of the points: lines to them do not cross."""
    (low, high), end = ax.get_ylim(), ax.get_xlim()[1]
    heights = (table[metric].to_numpy() - low) / (high - low)
    gap = 1.35 * small() * 1.4 / 72 / ax.get_figure(root=True).get_size_inches()[1]
    line = {"arrowstyle": "-", "color": LEADER, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
    for row, height in zip(table.to_dict("records"), spread_out(heights, gap=max(gap, 0.052)), strict=True):
        # Level as far as the edge of the axes, and only beyond it up or down to the name.
        ax.plot([row["relative_time"], end], [row[metric]] * 2, color=LEADER, linewidth=0.6, zorder=1, scalex=False)
        ax.annotate(
            plain(row["approach"], most=36), (end, row[metric]), (1.05, height), textcoords="axes fraction",
            va="center", ha="left", fontsize=small(), annotation_clip=False, arrowprops=line,
        )  # fmt: skip


def spread_out(heights: np.ndarray, *, gap: float) -> np.ndarray:
    """Return heights, in descending order, moved as little as needed to lie at least ``gap`` apart.

    Where they need more than the whole height, they lie evenly spread over it.

    Examples
    --------
    >>> spread_out(np.array([0.5, 0.5, 0.1]), gap=0.2).round(2).tolist()
    [0.6, 0.4, 0.1]
    """
    from scipy.optimize import isotonic_regression  # slow to import, and only these names need it

    if len(heights) * gap > 1:
        return np.linspace(1, 0, len(heights))
    steps = gap * np.arange(len(heights))
    return np.clip(isotonic_regression(heights + steps, increasing=False).x, steps[-1], 1) - steps


def _caption(table: pd.DataFrame, metric: str) -> Caption:
    parts = [data_style(str(value)).label for value in table.get("data", pd.Series(dtype=object)).dropna().unique()]
    rows = table.to_dict("records")
    spoken = "; ".join(f"{row['approach']} {percent(row[metric])} at {row['relative_time']:.2g} times" for row in rows)
    alt = f"{metric} against inference time relative to one forward pass: {spoken}."
    return Caption((*parts, f"{metric} and inference time"), note(table), alt)

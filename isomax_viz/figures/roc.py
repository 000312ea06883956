"""Receiver operating characteristics of several captures, scores and out-of-distribution sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator, PercentFormatter

from isomax_viz._common.checks import check_known
from isomax_viz.analysis.tables import roc_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import SPARE_STYLES, Style, data_style, loss_style
from isomax_viz.figures._canvas import LEGEND, Caption, attach, drawing, small
from isomax_viz.figures._words import (
    check_table,
    known,
    note,
    percent,
    score_label,
    setting_label,
    settings_within_losses,
    titles,
)

__all__ = ["plot_roc", "varying_columns"]

COLUMNS = ("loss", "data", "score", "ood", "fpr", "tpr", "operating_point", "AUROC")
# What may tell curves apart, in the order in which it takes the colour, then the line style.
VARYING = ("loss", "ood", "score")


def plot_roc(
    data: Capture | Iterable[Capture] | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] | Iterable[Any] = "es",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw ROC curves with the operating point at 95 % TPR; in-distribution is positive.

    Parameters
    ----------
    data : Capture, list of Capture, or DataFrame
        Captures, or the table that :func:`~isomax_viz.analysis.tables.roc_table` made from them. Tables may be concatenated, for
        instance to compare losses with different scores.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    score : str, callable or list of them
        Keys of ``iv.scores.SCORES``, or your own functions; not used for a table.
    legend, theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a score or set is unknown, a set is empty, or the score needs distances that are not there.

    Notes
    -----
    Colour and line style stand for what differs between the curves: loss, then set, score, and what else tells captures
    of one loss apart. Captures that differ in their seed alone are drawn as one curve each, with the mean of their
    AUROC and its standard deviation in the legend.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> ax = plot_roc(capture, score="mps")
    >>> ax.get_legend_handles_labels()[1]
    ['SoftMax (AUROC 100.0 %)']
    """
    table = _roc_rows(data, ood) if isinstance(data, pd.DataFrame) else roc_table(data, ood, score=score)
    varying = varying_columns(table)
    looks = {name: _looks(name, table[name].drop_duplicates(), alone=len(varying) == 1) for name in varying}
    spoken = []
    with drawing(ax, theme=theme, size=(4.8, 4.8)) as axes:
        axes.plot([0, 1], [0, 1], color="#B0B0B0", linewidth=0.8, zorder=1)
        axes.axhline(0.95, color="#B0B0B0", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        for _, rows in table.groupby(varying, sort=False, dropna=False):
            styles = [looks[name][_key(rows[name].iloc[0])] for name in varying]
            label = f"{' · '.join(style.label for style in styles if style.label)} ({_auroc(rows)})"
            spoken.append(label)
            _draw_curves(axes, rows, styles, {"label": label} | kwargs)
        _finish(axes, table)
        if legend:
            axes.legend(loc="lower right", **LEGEND)
        parts = _parts(table)
        caption = Caption(parts, note(table), f"ROC curves, {', '.join(parts)}: {', '.join(spoken)}.")
        return attach(axes, caption, own=ax is None)


def _roc_rows(table: pd.DataFrame, ood: str | Iterable[str] | None) -> pd.DataFrame:
    check_table(table, COLUMNS, "roc_table")
    return table if ood is None else table[table["ood"].isin(check_known("ood", ood, table["ood"].unique()))]


def varying_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that tell curves apart.

    Examples
    --------
    >>> varying_columns(pd.DataFrame({"loss": "isomax", "ood": "letters", "score": ["es", "mps"]}))
    ['score']
    """
    varying = [name for name in VARYING if table[name].nunique() > 1]
    return [*varying, *settings_within_losses(table)] or ["loss"]


def _key(value: Any) -> Any:
    return value if known(value) else None  # NaN is no key of a dictionary


def _looks(name: str, values: pd.Series, *, alone: bool) -> dict[Any, Style]:
    if name == "loss":
        return {value: loss_style(value) for value in values}
    if name == "ood":
        return {value: data_style(value) for value in values}
    looks = {}
    for number_of_value, value in enumerate(values):
        words = score_label(value) if name == "score" else setting_label(name, value)
        if name == "entropic_scale" and not alone:  # legends have little room, and losses without a scale need no word
            words = words.removeprefix("entropic ") if known(value) else ""
        spare = SPARE_STYLES[number_of_value % len(SPARE_STYLES)]
        looks[_key(value)] = Style(words, spare.color, spare.linestyle, spare.marker)
    return looks


def _auroc(rows: pd.DataFrame) -> str:
    runs = rows[rows["operating_point"]]
    areas = runs["AUROC"].to_numpy()
    if len(areas) == 1:
        return f"AUROC {percent(areas[0])}"
    if "seed" in runs and not (runs["seed"].notna().all() and runs["seed"].is_unique):
        return f"AUROC {percent(areas.mean())}, mean of {len(areas)}"  # not of as many seeds
    return f"AUROC {100 * areas.mean():.1f} ± {100 * areas.std(ddof=1):.1f} %, {len(areas)} runs"


def _draw_curves(ax: Axes, rows: pd.DataFrame, styles: list[Style], options: dict[str, Any]) -> None:
    # A curve starts where nothing is accepted: several captures in these rows are several curves.
    number_of_curve = ((rows["fpr"] == 0) & (rows["tpr"] == 0)).cumsum()
    line = styles[1].linestyle if len(styles) > 1 else "-"
    look = {"color": styles[0].color, "linestyle": line, "linewidth": 1.7, "zorder": 3}
    for _, curve in rows.groupby(number_of_curve):
        ax.plot(curve["fpr"].to_numpy(), curve["tpr"].to_numpy(), **(look | options))
        options = options | {"label": "_seed"}
    points = rows[rows["operating_point"]]
    ax.plot(
        points["fpr"].to_numpy(),
        points["tpr"].to_numpy(),
        linestyle="none",
        marker=styles[0].marker,
        markersize=6,
        color=styles[0].color,
        markeredgecolor="white",
        zorder=4,
        gid="operating point",
        label="_operating point",
    )


def _finish(ax: Axes, table: pd.DataFrame) -> None:
    names = table["data"].unique()
    positive = f"{names[0]} (ID)" if len(names) == 1 and known(names[0]) else "ID"
    ax.set_xlabel("FPR: share of OOD accepted")
    ax.set_ylabel(f"TPR: share of {positive} accepted")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    ax.set(xlim=(-0.01, 1.0), ylim=(0.0, 1.01), aspect="equal")
    ax.annotate("95 %", (1, 0.95), (3, 0), textcoords="offset points", va="center", color="#767676", fontsize=small())


def _parts(table: pd.DataFrame) -> tuple[str, ...]:
    """Return title parts from what all curves share."""
    shared = {name: table[name].iloc[0] if table[name].nunique(dropna=False) == 1 else None for name in COLUMNS[:4]}
    sets = [shared["ood"]] if shared["ood"] is not None else table["ood"].drop_duplicates()
    parts = list(titles(shared["loss"], shared["data"], sets))
    if shared["score"] is not None:
        parts.insert(len(parts) - 1, score_label(shared["score"]))
    return tuple(parts)

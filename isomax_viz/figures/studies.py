"""How accuracy and detection depend on the entropic scale, with the set that chose the scale set apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.studies import ALPHA_QUANTITIES, ROBUSTNESS_QUANTITIES, alpha_table, robustness_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import Style, data_style, loss_style
from isomax_viz.figures._canvas import LEGEND, Caption, attach, drawing, small, title_pad
from isomax_viz.figures._words import check_table, note, percent, score_label, titles

__all__ = ["draw_curve", "plot_alpha", "plot_robustness", "set_log_axis", "set_percent_axis"]


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


ALPHA_COLUMNS = ("loss", "data", "entropic_scale", "score", "quantity", "ood", "role", "value", "chosen_scale")
CHOICE_COLOR = "#767676"


def plot_alpha(
    data: Capture | Iterable[Capture] | pd.DataFrame,
    *,
    quantity: str = "TNR@TPR95",
    select_on: str | None = None,
    score: str | Callable[[Samples], np.ndarray] = "es",
    ood: str | Iterable[str] | None = None,
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw accuracy or detection against the entropic scale, one line per out-of-distribution set.

    Parameters
    ----------
    data : list of Capture, or DataFrame
        Captures of one loss that differ in entropic scale and seed, or the table that
        :func:`~isomax_viz.analysis.studies.alpha_table` made from them.
    quantity : {"TNR@TPR95", "AUROC", "accuracy"}
        What to draw; the accuracy has one line.
    select_on : str
        The set that chooses the scale. It is drawn in grey and named as such: results on it must not be reported.
    score, ood
        See :func:`~isomax_viz.analysis.studies.alpha_table`; like ``select_on`` not used for a table.
    legend, theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.plot` for the lines of means.

    Returns
    -------
    Axes
        Points are seeds, lines their means; the vertical line marks the chosen scale.

    Raises
    ------
    ValueError
        If ``select_on`` is not named, or the captures differ in more than scale and seed.

    Notes
    -----
    Source: DisMax paper (2019), Figure 2; its alpha is the entropic scale. All three panels:
    ``iv.plot_grid(iv.plot_alpha, [captures], each={"quantity": ["accuracy", "TNR@TPR95", "AUROC"]}, select_on=...)``.

    Examples
    --------
    >>> captures = [
    ...     Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"x": [[1.0, 0.0]], "y": [[9.0, 0.0]]},
    ...                         loss="isomax", meta={"entropic_scale": scale}) for scale in (1.0, 10.0)]
    >>> ax = plot_alpha(captures, select_on="x")
    >>> ax.get_xlabel(), ax.get_legend_handles_labels()[1]
    ('entropic scale', ['x (chose the scale)', 'y'])
    """
    check_choice("quantity", quantity, ALPHA_QUANTITIES)
    if isinstance(data, pd.DataFrame):
        table = check_table(data, ALPHA_COLUMNS, "alpha_table", module="studies")
        # A file has no empty text: what was written as one is missing when it is read again.
        words = {name: table[name].astype(object) for name in ("ood", "role")}
        table = table.assign(**{name: column.where(column.notna(), "") for name, column in words.items()})
    else:
        table = alpha_table(data, select_on=select_on, score=score, ood=ood)
    check_choice("quantity", quantity, table["quantity"].unique())
    rows = table[table["quantity"] == quantity]
    with drawing(ax, theme=theme) as axes:
        for (name, role), part in rows.groupby(["ood", "role"], sort=False):
            style = data_style(name) if name else loss_style(part["loss"].iloc[0])
            if role == "choice":
                style = replace(style, color=CHOICE_COLOR, linestyle=":")
            label = f"{style.label} (chose the scale)" if role == "choice" else style.label if name else "test images"
            draw_curve(axes, part, "entropic_scale", style=style, label=label, **kwargs)
        set_log_axis(axes, table["entropic_scale"].unique(), "entropic scale")
        set_percent_axis(axes, quantity)
        _mark_choice(axes, float(table["chosen_scale"].iloc[0]))
        if legend:
            axes.legend(loc="best", **LEGEND)
        return attach(axes, _alpha_caption(table, rows, quantity), own=ax is None)


def _mark_choice(ax: Axes, scale: float) -> None:
    ax.axvline(scale, color=CHOICE_COLOR, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1, gid="chosen scale")
    # Above the axes, where neither curves nor the legend can cover it.
    ax.annotate(
        f"chosen: {scale:g}", (scale, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
        va="bottom", fontsize=small(), color=CHOICE_COLOR, gid="chosen scale",
    )  # fmt: skip


def _alpha_caption(table: pd.DataFrame, rows: pd.DataFrame, quantity: str) -> Caption:
    first = table.iloc[0]
    parts = titles(first["loss"], first["data"], [])
    parts = parts if quantity == "accuracy" else (*parts, score_label(first["score"]))
    scales = ", ".join(f"{scale:g}" for scale in sorted(rows["entropic_scale"].unique()))
    curves = []
    for name, part in rows.groupby("ood", sort=False):
        means = part.groupby("entropic_scale")["value"].mean()
        values = ", ".join(percent(value) for value in means)
        curves.append(f"{data_style(name).label if name else 'test images'} {values}")
    chose = table.loc[table["role"] == "choice", "ood"].unique()  # a table may have been cut to what it reports
    by = data_style(chose[0]).label if len(chose) else "Another set"
    alt = f"{', '.join(parts)}: mean {quantity} at entropic scale {scales}: {'; '.join(curves)}. "
    alt += f"{by} chose the scale {first['chosen_scale']:g}."
    return Caption(parts, note(table) if "preset" in table.columns else "", alt, pad=title_pad(1))


ROBUSTNESS_COLUMNS = ("loss", "data", "examples_per_class", "score", "quantity", "ood", "sets", "value")


def plot_robustness(
    data: Capture | Iterable[Capture] | pd.DataFrame,
    *,
    quantity: str = "accuracy",
    score: str | Callable[[Samples], np.ndarray] = "es",
    ood: str | Iterable[str] | None = None,
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw accuracy or mean AUROC against the number of training examples per class, one line per loss.

    Parameters
    ----------
    data : list of Capture, or DataFrame
        Captures that differ in loss, seed and number of training examples, or the table that
        :func:`~isomax_viz.analysis.studies.robustness_table` made from them.
    quantity : {"accuracy", "mean AUROC"}
        What to draw; the mean is over the out-of-distribution sets.
    score, ood
        See :func:`~isomax_viz.analysis.studies.robustness_table`; not used for a table.
    legend, theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.plot` for the lines of means.

    Returns
    -------
    Axes
        Points are seeds, lines their means.

    Raises
    ------
    ValueError
        If the captures differ in more than that, or do not say how many training examples they had.

    Notes
    -----
    Source: IsoMax2 paper, Figure 2. Both panels:
    ``iv.plot_grid(iv.plot_robustness, [captures], each={"quantity": ["accuracy", "mean AUROC"]})``.

    Examples
    --------
    >>> captures = [
    ...     Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"x": [[1.0, 0.0]]}, loss="isomax2",
    ...                         meta={"examples_per_class": n}) for n in (10, 100)]
    >>> ax = plot_robustness(captures, quantity="mean AUROC")
    >>> ax.get_xlabel(), ax.get_legend_handles_labels()[1]
    ('training examples per class', ['IsoMax2'])
    """
    check_choice("quantity", quantity, ROBUSTNESS_QUANTITIES)
    if isinstance(data, pd.DataFrame):
        table = check_table(data, ROBUSTNESS_COLUMNS, "robustness_table", module="studies")
    else:
        table = robustness_table(data, score=score, ood=ood)
    check_choice("quantity", quantity, table["quantity"].unique())
    rows = table[table["quantity"] == quantity]
    with drawing(ax, theme=theme) as axes:
        for loss, part in rows.groupby("loss", sort=False):
            style = loss_style(loss)
            draw_curve(axes, part, "examples_per_class", style=style, label=style.label, **kwargs)
        set_log_axis(axes, table["examples_per_class"].unique(), "training examples per class")
        sets = int(rows["sets"].iloc[0])
        set_percent_axis(axes, quantity if quantity == "accuracy" else f"{quantity} ({sets} set{'s' * (sets > 1)})")
        if legend:
            axes.legend(loc="best", **LEGEND)
        return attach(axes, _robustness_caption(table, rows, quantity), own=ax is None)


def _robustness_caption(table: pd.DataFrame, rows: pd.DataFrame, quantity: str) -> Caption:
    losses = rows["loss"].unique()
    parts = titles(losses[0] if len(losses) == 1 else None, rows["data"].iloc[0], [])
    parts = parts if quantity == "accuracy" else (*parts, score_label(rows["score"].iloc[0]))
    numbers = ", ".join(str(n) for n in sorted(rows["examples_per_class"].unique()))
    curves = []
    for loss, part in rows.groupby("loss", sort=False):
        means = part.groupby("examples_per_class")["value"].mean()
        curves.append(f"{loss_style(loss).label} {', '.join(percent(value) for value in means)}")
    alt = f"{', '.join([*parts, quantity])} with {numbers} training examples per class: {'; '.join(curves)}."
    return Caption(parts, note(table) if "preset" in table.columns else "", alt)

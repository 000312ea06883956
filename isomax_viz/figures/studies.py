"""How accuracy and detection depend on the entropic scale, with the set that chose the scale set apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.studies import ALPHA_QUANTITIES, ROBUSTNESS_QUANTITIES, alpha_table, robustness_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import note
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import Style, data_style, loss_style, loss_styles, percent, titles
from isomax_viz.figures._canvas import GREY, Caption, as_table, attach, check_options, draw_legend, drawing
from isomax_viz.figures._words import score_label

__all__ = ["plot_alpha", "plot_robustness", "set_percent_axis"]


def set_percent_axis(ax: Axes, label: str) -> None:
    """Label the vertical axis in percent."""
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    ax.set_ylabel(label)


def _study(
    plot: Callable[..., Axes],
    data: Any,
    make: Callable[..., pd.DataFrame],
    columns: Sequence[str],
    quantity: str,
    quantities: Sequence[str],
    **options: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of a study and its rows of one quantity."""
    check_choice("quantity", quantity, quantities)
    table = as_table(plot, data, make, columns, module="iv.studies", **options)
    check_choice("quantity", quantity, table["quantity"].unique())
    return table, table[table["quantity"] == quantity]


def _draw_curves(ax: Axes, curves: Sequence[tuple[Style, pd.DataFrame]], x: str, options: dict[str, Any]) -> str:
    """Draw the values of trainings as points and their mean at each ``x`` as a line, and return the means in words."""
    import seaborn as sns  # brings pyplot along, which nothing else here needs

    ticks = sorted({tick for _, rows in curves for tick in rows[x]})
    spoken = []
    for style, rows in curves:
        look = {"color": style.color, "linestyle": style.linestyle, "linewidth": 1.8, "zorder": 3} | options
        sns.lineplot(rows, x=x, y="value", errorbar=None, label=style.label, legend=False, ax=ax, **look)
        points = {"marker": style.marker, "color": look["color"], "alpha": 0.65, "s": 26, "linewidth": 0, "zorder": 4}
        sns.scatterplot(rows, x=x, y="value", ax=ax, **points)
        spoken.append(f"{style.label} {', '.join(percent(value) for value in rows.groupby(x)['value'].mean())}")
    # A tick at each value that was tried, and at no other.
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(x=0.05)
    return f"{', '.join(f'{tick:g}' for tick in ticks)}: {'; '.join(spoken)}."


ALPHA_COLUMNS = ("loss", "data", "entropic_scale", "score", "quantity", "ood", "role", "value", "chosen_scale")


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
        See :func:`~isomax_viz.analysis.studies.alpha_table`; a table has its own, as it has ``select_on``.
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
    check_options(plot_alpha, kwargs, Line2D, Axes.plot)
    kind = alpha_table, ALPHA_COLUMNS, quantity, ALPHA_QUANTITIES
    table, rows = _study(plot_alpha, data, *kind, select_on=select_on, score=score, ood=ood)
    first, curves = table.iloc[0], []
    # A file has no empty text: what was written as one is missing when it is read again.
    words = rows.astype({"ood": object, "role": object}).fillna({"ood": "", "role": ""})
    for (name, role), part in words.groupby(["ood", "role"], sort=False):
        look = data_style(name) if name else replace(loss_style(first["loss"]), label="test images")
        if role == "choice":
            look = replace(look, label=f"{look.label} (chose the scale)", color=GREY, linestyle=":")
        curves.append((look, part))
    chose = table.loc[table["role"] == "choice", "ood"].unique()  # a table may have been cut to what it reports
    by = data_style(chose[0]).label if len(chose) else "Another set"
    with drawing(ax, theme=theme) as axes:
        spoken = _draw_curves(axes, curves, "entropic_scale", kwargs)
        axes.set_xlabel("entropic scale")
        set_percent_axis(axes, quantity)
        line = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.0, "zorder": 1, "gid": "chosen scale"}
        axes.axvline(float(first["chosen_scale"]), **line)
        if legend:
            draw_legend(axes, *axes.get_legend_handles_labels())
        parts = (*titles(first["loss"], first["data"], []), *_score_of(rows))
        alt = f"{', '.join(parts)}: mean {quantity} at entropic scale {spoken} "
        alt += f"{by} chose the scale {first['chosen_scale']:g}."
        lines = (f"dashed line: the chosen scale, {first['chosen_scale']:g}",)
        return attach(axes, Caption(parts, note(table), alt, lines), own=ax is None)


def _score_of(rows: pd.DataFrame) -> tuple[str, ...]:
    first = rows.iloc[0]
    return () if first["quantity"] == "accuracy" else (score_label(first["score"]),)


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
        See :func:`~isomax_viz.analysis.studies.robustness_table`; a table has its own.
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
    check_options(plot_robustness, kwargs, Line2D, Axes.plot)
    kind = robustness_table, ROBUSTNESS_COLUMNS, quantity, ROBUSTNESS_QUANTITIES
    table, rows = _study(plot_robustness, data, *kind, score=score, ood=ood)
    looks, sets = loss_styles(rows["loss"]), int(rows["sets"].iloc[0])
    curves = [(looks[str(loss)], part) for loss, part in rows.groupby("loss", sort=False)]
    with drawing(ax, theme=theme) as axes:
        spoken = _draw_curves(axes, curves, "examples_per_class", kwargs)
        axes.set_xlabel("training examples per class")
        set_percent_axis(axes, quantity if quantity == "accuracy" else f"{quantity} ({sets} set{'s' * (sets > 1)})")
        if legend:
            draw_legend(axes, *axes.get_legend_handles_labels())
        only = rows["loss"].iloc[0] if len(looks) == 1 else None
        parts = (*titles(only, rows["data"].iloc[0], []), *_score_of(rows))
        alt = f"{', '.join([*parts, quantity])} by training examples per class, {spoken}"
        return attach(axes, Caption(parts, note(table), alt), own=ax is None)

"""How accuracy and detection depend on the entropic scale, with the set that chose the scale set apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.studies import ALPHA_QUANTITIES, alpha_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import data_style, loss_style
from isomax_viz.figures._canvas import LEGEND, Caption, attach, drawing, small, title_pad
from isomax_viz.figures._curves import draw_curve, set_log_axis, set_percent_axis
from isomax_viz.figures._words import check_table, note, percent, score_label, titles

__all__ = ["plot_alpha"]

COLUMNS = ("loss", "data", "entropic_scale", "score", "quantity", "ood", "role", "value", "chosen_scale")
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
        table = check_table(data, COLUMNS, "alpha_table", module="studies")
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
        return attach(axes, _caption(table, rows, quantity), own=ax is None)


def _mark_choice(ax: Axes, scale: float) -> None:
    ax.axvline(scale, color=CHOICE_COLOR, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1, gid="chosen scale")
    # Above the axes, where neither curves nor the legend can cover it.
    ax.annotate(
        f"chosen: {scale:g}", (scale, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
        va="bottom", fontsize=small(), color=CHOICE_COLOR, gid="chosen scale",
    )  # fmt: skip


def _caption(table: pd.DataFrame, rows: pd.DataFrame, quantity: str) -> Caption:
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

"""How accuracy and detection depend on the number of training examples per class."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.studies import ROBUSTNESS_QUANTITIES, robustness_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import loss_style
from isomax_viz.figures._canvas import LEGEND, Caption, attach, drawing
from isomax_viz.figures._curves import draw_curve, set_log_axis, set_percent_axis
from isomax_viz.figures._words import check_table, note, percent, score_label, titles

__all__ = ["plot_robustness"]

COLUMNS = ("loss", "data", "examples_per_class", "score", "quantity", "ood", "sets", "value")


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
        table = check_table(data, COLUMNS, "robustness_table", module="studies")
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
        return attach(axes, _caption(table, rows, quantity), own=ax is None)


def _caption(table: pd.DataFrame, rows: pd.DataFrame, quantity: str) -> Caption:
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

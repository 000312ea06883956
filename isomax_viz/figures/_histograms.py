"""What the histogram figures share: a binned table drawn with axis, legend, title, note and words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from isomax_viz._common.checks import check_known
from isomax_viz.figures._canvas import Caption, attach
from isomax_viz.figures._density import density_top, set_density_axis
from isomax_viz.figures._groups import Drawn, Group, draw_groups, groups_of, id_label
from isomax_viz.figures._words import check_table, count_label, note, number, percent, score_label, titles

__all__ = [
    "Drawn",
    "Group",
    "density_top",
    "draw_groups",
    "draw_histogram",
    "from_table",
    "groups_of",
    "id_label",
    "set_density_axis",
]

BINNED_COLUMNS = ("loss", "data", "quantity", "group", "ood", "left", "right", "density", "count", "n", "median")
_SPOKEN = {
    "logit": ("logit", ""),
    "distance": ("distance", ""),
    "min_distance": ("distance to the nearest prototype", ""),
    "entropy": ("entropy", " nats"),
    "normalised_entropy": ("entropy / log(classes)", ""),
    "max_probability": ("maximum probability", ""),
}


def from_table(
    table: pd.DataFrame, ood: str | Iterable[str] | None, function: str, *, also: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return a binned table with only those out-of-distribution sets, after checking that it is one.

    Raises
    ------
    ValueError
        If columns are missing or a set is not in it.
    """
    check_table(table, (*BINNED_COLUMNS, *also), function)
    if ood is None:
        return table
    names = check_known("ood", ood, table.loc[table["ood"], "group"].unique())
    return table[~table["ood"] | table["group"].isin(names)]


def draw_histogram(
    ax: Axes,
    table: pd.DataFrame,
    *,
    own: bool,
    labels: dict[str, str] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    avoid: float | None = None,
    pad: float | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw a binned table with title, note and legend, and return the axes."""
    drawn = replace(draw_groups(ax, table, labels=labels, yscale=yscale, **kwargs), avoid=avoid)
    set_density_axis(ax, drawn, legend=legend)
    first = table.iloc[0]
    parts = titles(first["loss"], first["data"], [group.name for group in drawn.groups if group.ood])
    word, unit = _SPOKEN.get(drawn.quantity, (f"{score_label(drawn.quantity)} score", ""))
    medians = ", ".join(
        count_label(f"{drawn.names[group.name]} {number(group.median)}{unit}", group.n) for group in drawn.groups
    )
    alt = f"{', '.join(parts)}: median {word} {medians}." if parts else f"Median {word} {medians}."
    return attach(ax, Caption(parts, note(table), alt + _spoken_metrics(table), drawn, pad), own=own)


def _spoken_metrics(table: pd.DataFrame) -> str:
    if "AUROC" not in table.columns:
        return ""
    rows = table[table["ood"]].drop_duplicates("group").to_dict("records")
    spoken = [f"{row['group']} AUROC {percent(row['AUROC'])}, TNR@TPR95 {percent(row['TNR@TPR95'])}" for row in rows]
    return f" {'; '.join(spoken)}." if spoken else ""

"""Feature space in the plane, and the distances between prototypes as a map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from isomax_viz.analysis.features import feature_space_table, prototype_distances_table
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.losses import loss_record
from isomax_viz.catalog.style import data_style
from isomax_viz.figures._canvas import LEGEND, Caption, attach, drawing, small
from isomax_viz.figures._words import check_table, count_label, note, number, percent, titles
from isomax_viz.figures.histograms import id_label

__all__ = ["plot_feature_space", "plot_prototype_distances"]

# Matplotlib's "petroff10", distinguishable with the common kinds of colour blindness.
CLASS_COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MANY = 10  # more classes than colours: one grey cloud, names at the prototypes
_FEATURE_COLUMNS = ("loss", "data", "group", "ood", "label", "name", "x", "y", "explained")
_DISTANCE_COLUMNS = ("loss", "data", "row", "column", "row_name", "column_name", "distance")


def plot_feature_space(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw features and prototypes in the plane in which the known features vary most (PCA).

    Parameters
    ----------
    data : Capture or DataFrame
        A capture with features, or the table that :func:`~isomax_viz.analysis.features.feature_space_table` made from
        one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    legend, theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.plot` for the points.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a set is unknown or features are missing.

    Notes
    -----
    The axis label says how much of the variance the plane shows: clouds that overlap here may be apart in feature
    space.

    Examples
    --------
    >>> logits, features = [[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0]]
    >>> ax = plot_feature_space(Capture.from_arrays(logits, [0, 1], features=features, loss="isomax"))
    >>> ax.get_xlabel()
    'first principal component (both: 100.0 % of the variance of ID)'
    """
    table = data if isinstance(data, pd.DataFrame) else feature_space_table(data, ood)
    check_table(table, _FEATURE_COLUMNS, "feature_space_table", module="projections")
    known = table[table["group"] == "ID"]
    unknown = list(table.loc[table["ood"], "group"].unique())
    with drawing(ax, theme=theme, size=(6.0, 3.8)) as axes:
        _draw_known(axes, known, kwargs)
        for name in unknown:
            style, rows = data_style(name), table[table["group"] == name]
            look = {"marker": style.marker, "color": style.color, "linestyle": "none", "markersize": 3, "alpha": 0.6}
            look |= {"markerfacecolor": "none", "markeredgewidth": 0.7, "zorder": 1.5}
            look |= {"label": count_label(style.label, len(rows))}
            axes.plot(rows["x"].to_numpy(), rows["y"].to_numpy(), **(look | kwargs))
        _draw_prototypes(axes, table[table["group"] == "prototype"], table["loss"].iloc[0])
        explained = percent(float(table["explained"].iloc[0]))
        axes.set_xlabel(f"first principal component (both: {explained} of the variance of ID)")
        axes.set_ylabel("second principal component")
        axes.set_aspect("equal", adjustable="datalim")
        if legend:
            _draw_legend(axes, len(np.unique(known["label"])) <= MANY)
        parts = titles(table["loss"].iloc[0], table["data"].iloc[0], unknown)
        alt = f"Feature space, {', '.join(parts)}: the plane shows {explained} of the variance of the known features."
        return attach(axes, Caption(parts, note(table), alt), own=ax is None)


def _draw_known(ax: Axes, rows: pd.DataFrame, options: dict[str, Any]) -> None:
    x, y, labels = (rows[name].to_numpy() for name in ("x", "y", "label"))
    look = {"marker": ".", "linestyle": "none", "markersize": 4.5, "alpha": 0.8}
    classes = np.unique(labels)
    if len(classes) > MANY:
        ax.plot(x, y, **(look | {"color": "#94a4a2", "label": count_label(id_label(rows), len(rows))} | options))
        return
    for position, label in enumerate(classes):
        member, color = labels == label, CLASS_COLORS[label % len(CLASS_COLORS)]
        words = count_label(id_label(rows), len(rows)) if position == 0 else "_class"
        ax.plot(x[member], y[member], **(look | {"color": color, "label": words} | options))


def _draw_legend(ax: Axes, coloured: bool) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if coloured:
        # The first class's colour would look like that of all points.
        handles[0] = Line2D([], [], linestyle="none", marker=".", markersize=6, color="#767676")
    ax.legend(handles, labels, loc="best", **LEGEND)


def _draw_prototypes(ax: Axes, rows: pd.DataFrame, loss: str) -> None:
    if rows.empty:
        return
    x, y = rows["x"].to_numpy(), rows["y"].to_numpy()
    label = "prototypes" if loss_record(loss).prototypes else "class means"
    look = {"linestyle": "none", "marker": "X", "markersize": 9, "color": "#1a1a1a", "markeredgecolor": "white"}
    ax.plot(x, y, label=label, zorder=6, **look)  # above a legend that finds no free place
    for place, name in zip(zip(x, y, strict=True), rows["name"], strict=True):
        ax.annotate(
            name,
            place,
            (5, 4),
            textcoords="offset points",
            fontsize=small() + 1,
            fontweight="bold",
            zorder=7,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )


def plot_prototype_distances(
    data: Capture | pd.DataFrame, *, theme: str = "paper", ax: Axes | None = None, **kwargs: Any
) -> Axes:
    """Draw the distances between prototypes (for SoftMax: class means) as a map, with numbers where they fit.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture with prototypes, or the table of :func:`~isomax_viz.analysis.features.prototype_distances_table`.
    theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.imshow`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the capture has no prototypes.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax").replace(prototypes=[[0.0, 0.0], [3.0, 4.0]])
    >>> [text.get_text() for text in plot_prototype_distances(capture).texts]
    ['5', '5']
    """
    table = data if isinstance(data, pd.DataFrame) else prototype_distances_table(data)
    check_table(table, _DISTANCE_COLUMNS, "prototype_distances_table", module="projections")
    matrix = table.pivot(index="row", columns="column", values="distance").to_numpy()
    names = [str(name) for name in table.drop_duplicates("column")["column_name"]]
    shown = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    loss = table["loss"].iloc[0]
    with drawing(ax, theme=theme, size=(6.0, 3.8)) as axes:
        image = axes.imshow(shown, **({"cmap": "cividis", "aspect": "equal", "interpolation": "nearest"} | kwargs))
        meaning = f"distance between {'prototypes' if loss_record(loss).prototypes else 'class means'}"
        bar = axes.get_figure().colorbar(image, ax=axes, pad=0.02)
        bar.set_label(f"{meaning} (unit vectors)" if loss_record(loss).unit_vectors else meaning)
        bar.outline.set_visible(False)
        if len(names) <= 12:
            _write_numbers(axes, shown)
            axes.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 4 else 45)
            axes.set_yticks(range(len(names)), names)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        parts = (*titles(loss, table["data"].iloc[0], []), meaning)
        low, high = np.nanargmin(shown), np.nanargmax(shown)
        spoken = [
            f"{names[place // len(names)]} and {names[place % len(names)]} ({number(float(shown.flat[place]))})"
            for place in (int(low), int(high))
        ]
        alt = f"{', '.join(parts)}: nearest {spoken[0]}, farthest {spoken[1]}."
        return attach(axes, Caption(parts, note(table), alt), own=ax is None)


def _write_numbers(ax: Axes, values: np.ndarray) -> None:
    middle = float(np.nanmin(values) + np.nanmax(values)) / 2
    # Three digits for the largest and as many decimals for all, fewer where they would be zeros throughout.
    decimals = max(0, 2 - int(np.floor(np.log10(max(float(np.nanmax(values)), 1e-12)))))
    while decimals and all(f"{value:.{decimals}f}".endswith("0") for value in values[~np.isnan(values)]):
        decimals -= 1
    for (row, column), value in np.ndenumerate(values):
        if row != column:
            ax.text(
                column,
                row,
                f"{value:.{decimals}f}",
                ha="center",
                va="center",
                fontsize=small() - 1,
                color="white" if value < middle else "#1a1a1a",
            )

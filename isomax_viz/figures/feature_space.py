"""Feature space in the plane, and the distances between prototypes as a map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.lines import Line2D

from isomax_viz.analysis.features import feature_space_table, prototype_distances_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import note
from isomax_viz.catalog.style import count_label, data_style, loss_record, number, percent, plain, titles
from isomax_viz.figures._canvas import GREY, Caption, as_table, attach, check_options, draw_legend, drawing, small
from isomax_viz.figures.histograms import id_label

__all__ = ["name_classes", "plot_feature_space", "plot_prototype_distances"]

# Matplotlib's "petroff10", distinguishable with the common kinds of colour blindness.
CLASS_COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MANY = len(CLASS_COLORS)  # of more classes: one grey cloud without names
_MODULE = "isomax_viz.analysis.features"
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
    check_options(plot_feature_space, kwargs, Line2D, Axes.plot)
    kind = feature_space_table, _FEATURE_COLUMNS
    table = as_table(plot_feature_space, data, *kind, module=_MODULE, narrow=True, ood=ood)
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
            handles, labels = axes.get_legend_handles_labels()
            # The first class's colour would look like that of all points and prototypes.
            grey = {"linestyle": "none", "color": GREY}
            handles[0] = Line2D([], [], marker=".", markersize=6, **grey)
            if len(handles) > len(unknown) + 1:
                handles[-1] = Line2D([], [], marker="X", markersize=8, markeredgecolor="black", **grey)
            draw_legend(axes, handles, labels)
        parts = titles(table["loss"].iloc[0], table["data"].iloc[0], unknown)
        alt = f"Feature space, {', '.join(parts)}: the plane shows {explained} of the variance of the known features."
        return attach(axes, Caption(parts, note(table), alt, own_limits=True), own=ax is None)


def _draw_known(ax: Axes, rows: pd.DataFrame, options: dict[str, Any]) -> None:
    look = {"marker": ".", "linestyle": "none", "markersize": 4.5, "alpha": 0.8}
    label, few = count_label(id_label(rows), len(rows)), rows["label"].nunique() <= MANY
    for number_of, part in rows.groupby("label") if few else [(0, rows)]:
        color = CLASS_COLORS[number_of % MANY] if few else GREY
        ax.plot(part["x"].to_numpy(), part["y"].to_numpy(), **(look | {"color": color, "label": label} | options))
        label = "_class"
    if few:
        middles = rows.groupby("label").agg({"x": "median", "y": "median", "name": "first"})
        name_classes(ax, middles.itertuples(index=False, name=None))


def _draw_prototypes(ax: Axes, rows: pd.DataFrame, loss: str) -> None:
    label = "prototypes" if loss_record(loss).prototypes else "class means"
    colors = [CLASS_COLORS[number_of % MANY] for number_of in rows["label"]] if len(rows) <= MANY else GREY
    look = {"marker": "X", "s": 70, "edgecolors": "black", "linewidths": 0.9, "zorder": 6}
    if len(rows):
        ax.scatter(rows["x"], rows["y"], c=colors, label=label, **look)


def name_classes(ax: Axes, places: Iterable[tuple[float, float, str]]) -> None:
    """Write the names of classes beside these places, bold and on white: they must be read on any ground."""
    white = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    for x, y, name in places:
        ax.annotate(
            plain(name, most=16), (x, y), (7, 5), textcoords="offset points", fontsize=small() + 1, fontweight="bold",
            zorder=7, bbox=white, gid="class", annotation_clip=True, clip_on=True,
        )  # fmt: skip


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
        Passed on to :func:`seaborn.heatmap`.

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
    import seaborn as sns  # brings pyplot along, which nothing else here needs

    check_options(plot_prototype_distances, kwargs, QuadMesh, sns.heatmap)
    kind = prototype_distances_table, _DISTANCE_COLUMNS
    table = as_table(plot_prototype_distances, data, *kind, module=_MODULE)
    matrix = table.pivot(index="row", columns="column", values="distance").to_numpy()
    names = [str(name) for name in table.drop_duplicates("column")["column_name"]]
    shown = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    loss, few = table["loss"].iloc[0], len(names) <= MANY + 2
    meaning = f"distance between {'prototypes' if loss_record(loss).prototypes else 'class means'}"
    with drawing(ax, theme=theme, size=(5.4, 4.4)) as axes:
        look = {"cmap": "cividis", "square": True, "annot": few, "fmt": f".{_decimals(shown)}f"}
        look |= {"annot_kws": {"fontsize": small() - 1}, "linewidths": 0.5 if few else 0}
        look |= {"cbar_kws": {"label": f"{meaning} (unit vectors)" if loss_record(loss).unit_vectors else meaning}}
        ticks = [plain(name, most=16) for name in names] if few else "auto"
        if kwargs.get("cbar", True) and "cbar_ax" not in kwargs:
            look["cbar_ax"] = axes.inset_axes((1.05, 0, 0.05, 1))  # as high as the map
        sns.heatmap(shown, xticklabels=ticks, yticklabels=ticks, ax=axes, **(look | kwargs))
        axes.tick_params(axis="y", rotation=0)
        axes.tick_params(length=0)
        if max(map(len, names)) > 3:  # slanted, each name ends at its column
            axes.set_xticks(axes.get_xticks(), axes.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
        parts = (*titles(loss, table["data"].iloc[0], []), meaning)
        spoken = [
            f"{names[place // len(names)]} and {names[place % len(names)]} ({number(float(shown.flat[place]))})"
            for place in (int(np.nanargmin(shown)), int(np.nanargmax(shown)))
        ]
        alt = f"{', '.join(parts)}: nearest {spoken[0]}, farthest {spoken[1]}."
        return attach(axes, Caption(parts, note(table), alt), own=ax is None)


def _decimals(values: np.ndarray) -> int:
    """Return how many decimals give the largest three digits; fewer where they would be zeros throughout."""
    decimals = max(0, 2 - int(np.floor(np.log10(max(float(np.nanmax(values)), 1e-12)))))
    while decimals and all(f"{value:.{decimals}f}".endswith("0") for value in values[~np.isnan(values)]):
        decimals -= 1
    return decimals

"""A score over a plane: where a network decides for what, where it is sure, and what a threshold would accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isomax_viz.analysis.features import Snapshot, ToyRun, surface_table
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog import style
from isomax_viz.catalog.losses import compares_directions
from isomax_viz.catalog.style import data_style
from isomax_viz.figures._canvas import (
    DPI,
    CanvasAxes,
    CanvasFigure,
    Caption,
    attach,
    drawing,
    small,
    title_pad,
    write_note,
)
from isomax_viz.figures._surface_layers import Grid, draw_lines, draw_points, draw_regions, draw_score
from isomax_viz.figures._words import check_table, known, note, number, percent, score_label, titles

__all__ = ["plot_surface", "plot_surfaces"]

_COLUMNS = ("loss", "data", "epoch", "space", "score", "group", "ood", "label", "name", "x", "y", "value", "threshold")
# Inches of a panel and its parts: fixed, so that a moving picture stands still.
WIDTH, HEIGHT, SIDE, LEFT, BOTTOM, LEGEND_STRIP, TITLE_STRIP = 4.4, 3.85, 2.75, 0.66, 0.5, 0.75, 0.32
_AXES = {"input": "coordinate", "features": "feature"}


def plot_surface(
    data: Snapshot | ToyRun | pd.DataFrame,
    *,
    score: str | Callable[[Samples], np.ndarray] = "es",
    space: str = "input",
    ood: str | Iterable[str] | None = None,
    regions: bool = False,
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw a score at every point of a plane, the decision regions, the data in it, and what a threshold accepts.

    Parameters
    ----------
    data : Snapshot, ToyRun or DataFrame
        Of :func:`isomax_viz.train_toy` (of a run, its last epoch), or the table that
        :func:`isomax_viz.analysis.features.surface_table` made from one.
    score, space, ood
        As in :func:`~isomax_viz.analysis.features.surface_table`; not used for a table.
    regions : bool
        Fill the decision regions with the colours of the classes instead of drawing the score.
    legend, theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.imshow` for the background.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a name is unknown, or the data have no input plane.

    Notes
    -----
    Bright is in-distribution. The black line encloses what the largest threshold that keeps at least 95 % of the test
    points accepts. White lines are decision boundaries; in the features of the losses with prototypes they are Voronoi
    boundaries (IsoMax2 tilts them).

    Examples
    --------
    >>> from isomax_viz import train_toy
    >>> plot_surface(train_toy("moons", loss="isomax", epochs=1, lines=9), score="mds").get_xlabel()
    'first coordinate'
    """
    table = data if isinstance(data, pd.DataFrame) else surface_table(data, score=score, space=space, ood=ood)
    check_table(table, _COLUMNS, "surface_table", module="planes")
    with drawing(ax, theme=theme, size=(5.2, 4.5)) as axes:
        handles, caption = _draw(axes, None, table, regions, kwargs)
        if legend:
            axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)
        return attach(axes, caption, own=ax is None)


def plot_surfaces(
    data: Snapshot | ToyRun | Iterable[Snapshot | ToyRun],
    *,
    score: str | Callable[[Samples], np.ndarray] | Iterable[Any] = "es",
    space: str = "input",
    ood: str | Iterable[str] | None = None,
    regions: bool = False,
    theme: str = "paper",
) -> Figure:
    """Draw surfaces side by side: one column per network, one row per score.

    Parameters
    ----------
    data : Snapshot, ToyRun or list of them
        Of a run, its last epoch.
    score : str, callable or list of them
        See :func:`plot_surface`.
    space, ood, regions, theme
        See :func:`plot_surface`.

    Returns
    -------
    Figure
        A notebook shows it. Its axes stand still whatever is drawn, so that epochs can be compared by switching.

    Raises
    ------
    ValueError
        If there is nothing to draw, or a name is unknown.

    Examples
    --------
    >>> from isomax_viz import train_toy
    >>> runs = [train_toy("moons", loss=loss, epochs=1, lines=9) for loss in ("softmax", "isomax")]
    >>> [ax.get_title(loc="left") for ax in plot_surfaces(runs, score="mps").axes[::2]]
    ['SoftMax · MPS', 'IsoMax, scale 10 · MPS']
    """
    listed = [data] if isinstance(data, (Snapshot, ToyRun)) else list(data)
    chosen = [score] if isinstance(score, str) or callable(score) else list(score)
    if not listed or not chosen:
        raise ValueError("data and score must each have at least one entry, but one of them is empty.")
    tables = [surface_table(item, score=one, space=space, ood=ood) for one in chosen for item in listed]
    shared = _shared(tables)
    wide, high = len(listed) * WIDTH, len(chosen) * HEIGHT + LEGEND_STRIP + TITLE_STRIP
    with style.context(theme):
        figure = CanvasFigure(figsize=(wide, high), dpi=DPI)
        figure.one_note = True
        for place, table in enumerate(tables):
            row, column = divmod(place, len(listed))
            left, bottom = column * WIDTH + LEFT, LEGEND_STRIP + (len(chosen) - 1 - row) * HEIGHT + BOTTOM
            corner = left / wide, bottom / high
            axes = figure.add_axes((*corner, SIDE / wide, SIDE / high), axes_class=CanvasAxes)
            beside = (left + SIDE + 0.1) / wide, corner[1], 0.11 / wide, SIDE / high
            bar = None if regions else figure.add_axes(beside)
            handles, caption = _draw(axes, bar, table, regions, {})
            attach(axes, caption, own=False)
            own = " · ".join(part for part in caption.parts if part not in shared)
            axes.set_title(own, loc="left", pad=caption.pad)
        figure.suptitle(" · ".join(shared), x=0.012, y=1 - 0.08 / high, ha="left", va="top")
        figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.13 / high), ncols=int(wide // 2.2))
        write_note(figure, note(pd.concat([table.iloc[:1] for table in tables])))
    return figure


def _shared(tables: list[pd.DataFrame]) -> tuple[str, ...]:
    """Return what all panels have in common, of data and epoch: the title of the figure, left out of theirs."""
    told = [_where(table.iloc[0]) for table in tables]
    return tuple(part for part in told[0] if all(part in other for other in told))


def _where(first: pd.Series) -> tuple[str, ...]:
    return (str(first["data"]), *([f"epoch {first['epoch']}"] if known(first["epoch"]) else []))


def _draw(
    ax: Axes, bar: Axes | None, table: pd.DataFrame, regions: bool, options: dict[str, Any]
) -> tuple[list[Line2D], Caption]:
    first, plane = table.iloc[0], Grid(table[table["group"] == "plane"])
    classes = int(max(table["label"].max() + 1, 2))
    if regions:
        draw_regions(ax, plane, classes, options)
    else:
        draw_score(ax, bar, plane, first, options)
    edges = draw_lines(ax, plane, classes, float(first["threshold"]))
    handles = [*draw_points(ax, table, classes), *edges]
    ax.set(xlim=plane.extent[:2], ylim=plane.extent[2:], aspect="equal")
    unit = " (unit length)" if first["space"] == "features" and compares_directions(first["loss"]) else ""
    ax.set_xlabel(f"first {_AXES[first['space']]}{unit}")
    ax.set_ylabel(f"second {_AXES[first['space']]}{unit}")
    accepted = _accepted(table)
    lines = wrap(f"accepted: {accepted}", 52, break_on_hyphens=False)
    ax.annotate(
        "\n".join(lines), (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points",
        va="bottom", fontsize=small(), gid="accepted",
    ).set_in_layout(False)  # fmt: skip
    parts = _parts(first)
    return handles, Caption(parts, note(table), _alt(table, parts, accepted), pad=title_pad(len(lines)))


def _accepted(table: pd.DataFrame) -> str:
    groups = [name for name in table["group"].unique() if name not in ("plane", "prototype")]
    shares = {
        name: (table.loc[table["group"] == name, "value"] >= table["threshold"].iloc[0]).mean() for name in groups
    }
    return ", ".join(
        f"{data_style(name).label} {share:.0%}".replace("%", "\N{NO-BREAK SPACE}%") for name, share in shares.items()
    )


def _parts(first: pd.Series) -> tuple[str, ...]:
    scale = first["entropic_scale"]
    loss = titles(first["loss"], None, [])
    if loss and known(scale):
        loss = (f"{loss[0]}, scale {number(float(scale))}",)
    data, *epoch = _where(first)
    return (*loss, data, score_label(first["score"]), *epoch)


def _alt(table: pd.DataFrame, parts: tuple[str, ...], accepted: str) -> str:
    plane = table[table["group"] == "plane"]
    share = float((plane["value"] >= plane["threshold"]).mean())
    where = "features" if plane["space"].iloc[0] == "features" else "input plane"
    return f"{', '.join(parts)}: of the {where}, {percent(share)} is accepted; of the data: {accepted}."

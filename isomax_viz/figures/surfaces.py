"""A score over a plane: where a network decides for what, where it is sure, and what a threshold would accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from isomax_viz.analysis.features import Snapshot, ToyRun, surface_table
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog import style
from isomax_viz.catalog.losses import loss_record
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
from isomax_viz.figures._words import check_table, known, note, number, percent, score_label, titles
from isomax_viz.figures.feature_space import CLASS_COLORS

__all__ = ["Grid", "draw_lines", "draw_points", "draw_regions", "draw_score", "plot_surface", "plot_surfaces"]

_FEW = ((CLASS_COLORS[2], "o"), (CLASS_COLORS[9], "s"), (CLASS_COLORS[4], "^"))
MOST = 120  # points of a class or set that are drawn
_HALO = [Stroke(linewidth=3.2, foreground="white"), Normal()]
_RIM = [Stroke(linewidth=1.9, foreground="#4D4D4D"), Normal()]  # white is lost on the bright end of the score
# Neighbouring shades differ by less than the eye can tell (0.6 of lightness); twice as many make larger pictures.
_SHADES = colormaps["cividis"].resampled(128)


class Grid:
    """The rows of a plane as matrices.

    Parameters
    ----------
    rows : DataFrame
        Those of the group "plane" of :func:`isomax_viz.analysis.features.surface_table`.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.x, self.y = (np.unique(rows[name].to_numpy()) for name in ("x", "y"))
        shape = len(self.y), len(self.x)
        self.value, self.label = (rows[name].to_numpy().reshape(shape) for name in ("value", "label"))
        # A pixel is centred on its point.
        half = (self.x[1] - self.x[0]) / 2, (self.y[1] - self.y[0]) / 2
        self.extent = self.x[0] - half[0], self.x[-1] + half[0], self.y[0] - half[1], self.y[-1] + half[1]


def draw_score(ax: Axes, bar: Axes | None, plane: Grid, first: pd.Series, options: dict[str, Any]) -> None:
    """Draw the score at every point of the plane, and its scale in ``bar`` or beside the axes."""
    # Distances have no end: the corners would take all the colours.
    low, high = float(np.quantile(plane.value, 0.02)), float(plane.value.max())
    look = {"cmap": _SHADES, "origin": "lower", "interpolation": "bilinear", "vmin": low, "vmax": high}
    image = ax.imshow(plane.value, extent=plane.extent, **(look | options))
    label = score_label(first["score"])
    place = {"cax": bar} if bar is not None else {"ax": ax, "pad": 0.02, "shrink": 0.9}
    scale = ax.get_figure().colorbar(image, extend="min", ticks=MaxNLocator(5), **place)
    scale.set_label(f"{label}: bright = in-distribution")
    scale.outline.set_visible(False)


def draw_regions(ax: Axes, plane: Grid, classes: int, options: dict[str, Any]) -> None:
    """Fill the decision regions with pale colours of the classes."""
    pale = [tuple(0.45 + 0.55 * part for part in to_rgb(_look(label, classes)[0])) for label in range(classes)]
    look = {"cmap": ListedColormap(pale), "origin": "lower", "interpolation": "nearest"}
    look |= {"vmin": -0.5, "vmax": classes - 0.5}
    ax.imshow(plane.label, extent=plane.extent, **(look | options))


def draw_lines(ax: Axes, plane: Grid, classes: int, threshold: float) -> list[Line2D]:
    """Draw decision boundaries and the edge of what the threshold accepts, and return their legend entries."""
    from scipy.ndimage import gaussian_filter  # slow to import, and only these lines need it

    for label in range(1 if classes == 2 else 0, classes):
        inside = (plane.label == label).astype(float)
        if 0 < inside.sum() < inside.size:
            # Smoothed, because a boundary between pixels would be drawn as stairs.
            smooth = gaussian_filter(inside, 1.6, mode="nearest")
            drawn = ax.contour(plane.x, plane.y, smooth, [0.5], colors="white", linewidths=1.0, zorder=2)
            drawn.set(path_effects=_RIM)
    handles = []
    if plane.value.min() < threshold <= plane.value.max():
        # A contour at the very maximum has no inside: scores that saturate, as MPS does at 1, need one just below.
        level = min(threshold, float(np.nextafter(float(plane.value.max()), -np.inf)))
        drawn = ax.contour(plane.x, plane.y, plane.value, [level], colors="black", linestyles="solid", zorder=3)
        drawn.set(linewidths=1.6, path_effects=_HALO)
        drawn.set_gid("threshold")
    look = {"color": "white", "linewidth": 1.0, "path_effects": _RIM}
    handles.append(Line2D([], [], label="decision boundary (white)", **look))
    handles.append(Line2D([], [], color="black", linewidth=1.6, label="edge of what is accepted"))
    return handles


def draw_points(ax: Axes, table: pd.DataFrame, classes: int) -> list[Line2D]:
    """Draw the known and unknown points and the prototypes, and return their legend entries."""
    handles = []
    inside = table[table["group"] == "ID"]
    look = {"linestyle": "none", "markersize": 3.6, "markeredgecolor": "white", "markeredgewidth": 0.5, "zorder": 4}
    for label, rows in inside.groupby("label"):
        color, marker = _look(int(label), classes)
        (line,) = _thin(ax, rows, rows["name"].iloc[0], look | {"color": color, "marker": marker})
        handles += [line] if classes <= len(_FEW) else []
    if classes > len(_FEW) and len(inside):
        # A sample of one colour would look like one class.
        label = f"{inside['data'].iloc[0]} (coloured by class)"
        handles.append(Line2D([], [], **(look | {"color": "#767676", "marker": "o", "markersize": 5, "label": label})))
    for name in table.loc[table["ood"], "group"].unique():
        look_of, rows = data_style(name), table[table["group"] == name]
        marker = "D" if look_of.marker == "o" else look_of.marker  # round is what is known
        other = {"color": look_of.color, "marker": marker, "markersize": 5, "zorder": 5, "markeredgewidth": 0.6}
        handles += _thin(ax, rows, f"{look_of.label} (unknown)", look | other)
    _draw_prototypes(ax, table[table["group"] == "prototype"], classes, handles)
    return handles


def _thin(ax: Axes, rows: pd.DataFrame, label: str, look: dict[str, Any]) -> list[Line2D]:
    """Draw at most so many points, spread evenly over the set: more would hide the surface."""
    chosen = rows.iloc[:: -(-len(rows) // MOST)]
    return ax.plot(chosen["x"].to_numpy(), chosen["y"].to_numpy(), label=label, **look)


def _draw_prototypes(ax: Axes, rows: pd.DataFrame, classes: int, handles: list[Line2D]) -> None:
    if not len(rows):
        return
    look = {"linestyle": "none", "marker": "*", "markersize": 15, "markerfacecolor": "white", "zorder": 6}
    look |= {"markeredgecolor": "black", "markeredgewidth": 0.9}
    handles += ax.plot(rows["x"].to_numpy(), rows["y"].to_numpy(), label="prototype (SoftMax: class mean)", **look)
    for row in rows.itertuples() if classes > len(_FEW) else ():
        ax.text(
            row.x, row.y, row.name, ha="center", va="center_baseline", fontsize=small() - 2, zorder=7, clip_on=True
        ).set_in_layout(False)


def _look(label: int, classes: int) -> tuple[str, str]:
    if classes <= len(_FEW):
        return _FEW[label]
    return CLASS_COLORS[label % len(CLASS_COLORS)], "o"


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
    unit = " (unit length)" if first["space"] == "features" and loss_record(first["loss"]).unit_vectors else ""
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

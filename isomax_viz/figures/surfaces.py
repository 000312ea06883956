"""A score over a plane: where a network decides for what, where it is sure, and what a threshold would accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from isomax_viz.analysis.features import Snapshot, ToyRun, surface_table
from isomax_viz.captures.provenance import note
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import data_style, known, loss_record, number, percent, plain, titles
from isomax_viz.figures import _canvas as canvas
from isomax_viz.figures._words import score_label
from isomax_viz.figures.feature_space import CLASS_COLORS, name_classes
from isomax_viz.figures.grids import plot_grid

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


def draw_score(ax: Axes, plane: Grid, first: pd.Series, options: dict[str, Any]) -> None:
    """Draw the score at every point of the plane, and its scale beside the axes."""
    # Distances have no end: the corners would take all the colours.
    low, high = float(np.quantile(plane.value, 0.02)), float(plane.value.max())
    look = {"cmap": _SHADES, "origin": "lower", "interpolation": "bilinear", "vmin": low, "vmax": high}
    image = ax.imshow(plane.value, extent=plane.extent, **(look | options))
    label = score_label(first["score"])
    # Its numbers have room for six signs and no part in the layout: axes stand still from epoch to epoch.
    bar = ax.inset_axes((1.03, 0, 0.05, 0.96))  # below the words over the axes
    bar.set_in_layout(False)
    ax.get_figure(root=True).colorbar(image, cax=bar, extend="min", ticks=MaxNLocator(5)).outline.set_visible(False)
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center", "rotation": 90}
    words = ax.annotate(f"{label}: bright = in-distribution", (1.08, 0.5), (6.5 * canvas.small(), 0), **place)
    words.set(fontsize=rcParams["axes.labelsize"], annotation_clip=False)
    canvas.break_words(words, 0.75 * ax.bbox.height)


def draw_regions(ax: Axes, plane: Grid, classes: int, options: dict[str, Any]) -> None:
    """Fill the decision regions with pale colours of the classes."""
    pale = [tuple(0.45 + 0.55 * part for part in to_rgb(_look(label, classes)[0])) for label in range(classes)]
    look = {"cmap": ListedColormap(pale), "origin": "lower", "interpolation": "nearest"}
    look |= {"vmin": -0.5, "vmax": classes - 0.5}
    ax.imshow(plane.label, extent=plane.extent, **(look | options))


def draw_lines(ax: Axes, plane: Grid, classes: int, threshold: float, *, regions: bool) -> list[Line2D]:
    """Draw decision boundaries and the edge of what the threshold accepts, and return their legend entries."""
    from scipy.ndimage import gaussian_filter  # slow to import, and only these lines need it

    # White with a rim on the shades of a score; on pale regions it would be lost.
    look: dict[str, Any] = {"linewidth": 1.0}
    look |= {"color": "#4D4D4D"} if regions else {"color": "white", "path_effects": _RIM}
    for label in range(1 if classes == 2 else 0, classes):
        inside = (plane.label == label).astype(float)
        if 0 < inside.sum() < inside.size:
            # Smoothed, because a boundary between pixels would be drawn as stairs.
            smooth = gaussian_filter(inside, 1.6, mode="nearest")
            drawn = ax.contour(plane.x, plane.y, smooth, [0.5], colors=look["color"], linewidths=1.0, zorder=2)
            drawn.set(path_effects=look.get("path_effects", []))
    handles = []
    if plane.value.min() < threshold <= plane.value.max():
        # A contour at the very maximum has no inside: scores that saturate, as MPS does at 1, need one just below.
        level = min(threshold, float(np.nextafter(float(plane.value.max()), -np.inf)))
        drawn = ax.contour(plane.x, plane.y, plane.value, [level], colors="black", linestyles="solid", zorder=3)
        drawn.set(linewidths=1.6, path_effects=_HALO)
        drawn.set_gid("threshold")
    handles.append(Line2D([], [], label="decision boundary", **look))
    handles.append(Line2D([], [], color="black", linewidth=1.6, label="edge of what is accepted"))
    return handles


def draw_points(ax: Axes, table: pd.DataFrame, classes: int) -> list[Line2D]:
    """Draw the known and unknown points and the prototypes, and return their legend entries."""
    handles = []
    inside = table[table["group"] == "ID"]
    look = {"linestyle": "none", "markersize": 3.6, "markeredgecolor": "white", "markeredgewidth": 0.5, "zorder": 4}
    for label, rows in inside.groupby("label"):
        color, marker = _look(int(label), classes)
        (line,) = _thin(ax, rows, plain(rows["name"].iloc[0]), look | {"color": color, "marker": marker})
        handles += [line] if classes <= len(_FEW) else []
    if classes > len(_FEW) and len(inside):
        # A sample of one colour would look like one class.
        label = f"{plain(inside['data'].iloc[0])} (coloured by class)"
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
    look = {"linestyle": "none", "marker": "*", "markersize": 13, "markerfacecolor": "white", "zorder": 6}
    look |= {"markeredgecolor": "black", "markeredgewidth": 0.9}
    handles += ax.plot(rows["x"].to_numpy(), rows["y"].to_numpy(), label="prototype (SoftMax: class mean)", **look)
    if classes > len(_FEW):
        name_classes(ax, rows[["x", "y", "name"]].itertuples(index=False, name=None))


def _look(label: int, classes: int) -> tuple[str, str]:
    if classes <= len(_FEW):
        return _FEW[label]
    return CLASS_COLORS[label % len(CLASS_COLORS)], "o"


_MODULE = "isomax_viz.analysis.features"
_COLUMNS = ("loss", "data", "epoch", "space", "score", "group", "ood", "label", "name", "x", "y", "value", "threshold")
WIDTH, HEIGHT = 4.4, 3.85  # of a panel, in inches
_AXES = {"input": "coordinate", "features": "feature"}
_PAD = "\N{FIGURE SPACE}"  # as wide as a digit


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
        As in :func:`~isomax_viz.analysis.features.surface_table`; a table has its own.
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
    canvas.check_options(plot_surface, kwargs, AxesImage, Axes.imshow)
    kind = surface_table, _COLUMNS
    table = canvas.as_table(plot_surface, data, *kind, module=_MODULE, score=score, space=space, ood=ood)
    with canvas.drawing(ax, theme=theme, size=(5.2, 5.1)) as axes:
        handles, caption = _draw(axes, table, regions, kwargs)
        if legend:
            canvas.draw_legend(axes, handles, [str(handle.get_label()) for handle in handles])
        return canvas.attach(axes, caption, own=ax is None)


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
        A notebook shows it.

    Raises
    ------
    ValueError
        If there is nothing to draw, or a name is unknown.

    Examples
    --------
    >>> from isomax_viz import train_toy
    >>> runs = [train_toy("moons", loss=loss, epochs=1, lines=9) for loss in ("softmax", "isomax")]
    >>> [ax.get_title(loc="left") for ax in plot_surfaces(runs, score="mps").axes[:2]]
    ['SoftMax', 'IsoMax, scale 10']
    """
    listed = [data] if isinstance(data, (Snapshot, ToyRun)) else list(data)
    chosen = [score] if isinstance(score, str) or callable(score) else list(score)
    if not listed or not chosen:
        raise ValueError("data and score must each have at least one entry, but one of them is empty.")
    tables = [surface_table(item, score=one, space=space, ood=ood) for one in chosen for item in listed]
    options: dict[str, Any] = {"columns": len(listed), "size": (WIDTH, HEIGHT), "sharex": False, "sharey": False}
    return plot_grid(plot_surface, tables, regions=regions, theme=theme, **options)


def _draw(ax: Axes, table: pd.DataFrame, regions: bool, options: dict[str, Any]) -> tuple[list[Line2D], canvas.Caption]:
    first, points = table.iloc[0], table[table["group"] == "plane"]
    plane = Grid(points)
    classes = int(max(table["label"].max() + 1, 2))
    if regions:
        draw_regions(ax, plane, classes, options)
    else:
        draw_score(ax, plane, first, options)
    edges = draw_lines(ax, plane, classes, float(first["threshold"]), regions=regions)
    handles = [*draw_points(ax, table, classes), *edges]
    ax.set(xlim=plane.extent[:2], ylim=plane.extent[2:], aspect="equal", anchor="SW")
    unit = " (unit length)" if first["space"] == "features" and loss_record(first["loss"]).unit_vectors else ""
    ax.set_xlabel(f"first {_AXES[first['space']]}{unit}")
    ax.set_ylabel(f"second {_AXES[first['space']]}{unit}")
    accepted, share = _accepted(table), float((points["value"] >= points["threshold"]).mean())
    parts, where = _parts(first), "features" if first["space"] == "features" else "input plane"
    told = accepted.replace(_PAD, "")
    alt = f"{', '.join(parts)}: of the {where}, {percent(share)} is accepted; of the data: {told}."
    return handles, canvas.Caption(parts, note(table), alt, (f"accepted: {accepted}",))


def _accepted(table: pd.DataFrame) -> str:
    """Return the accepted share of each set, all as wide as 100 %: lines must break alike at every epoch."""
    data = table[~table["group"].isin(["plane", "prototype"])]
    shares = (data["value"] >= data["threshold"]).groupby(data["group"], sort=False).mean()
    told = (f"{data_style(name).label}\N{NO-BREAK SPACE}{f'{share:.0%}':{_PAD}>4}" for name, share in shares.items())
    return ", ".join(told).replace("%", "\N{NO-BREAK SPACE}%")


def _parts(first: pd.Series) -> tuple[str, ...]:
    scale = first["entropic_scale"]
    loss = titles(first["loss"], None, [])
    if loss and known(scale):
        loss = (f"{loss[0]}, scale {number(float(scale))}",)
    epoch = (f"epoch {first['epoch']}",) if known(first["epoch"]) else ()
    return (*loss, plain(first["data"]), score_label(first["score"]), *epoch)

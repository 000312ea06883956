"""The layers of a surface: score or decision regions, boundaries, points and prototypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from isomax_viz.catalog.style import OKABE_ITO, data_style
from isomax_viz.figures._canvas import small
from isomax_viz.figures._words import score_label
from isomax_viz.figures.feature_space import CLASS_COLORS

__all__ = ["Grid", "draw_lines", "draw_points", "draw_regions", "draw_score"]

_FEW = ((OKABE_ITO["vermillion"], "o"), (OKABE_ITO["sky blue"], "s"), (OKABE_ITO["purple"], "^"))
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

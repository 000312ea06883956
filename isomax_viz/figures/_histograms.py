"""What the histogram figures share: groups as stairs, honest clipping of a spike, a legend that covers no data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from isomax_viz._checks import check_choice, check_known
from isomax_viz.figures._canvas import LEGEND, Caption, attach, legend_size, small
from isomax_viz.figures._words import (
    check_table,
    count_label,
    known,
    note,
    number,
    percent,
    quantity_label,
    score_label,
    titles,
)
from isomax_viz.histograms import INTER, INTRA, KNOWN
from isomax_viz.style import data_style, loss_style

__all__ = ["Drawn", "Group", "density_top", "draw_groups", "groups_of", "id_label", "set_density_axis"]

BINNED_COLUMNS = ("loss", "data", "quantity", "group", "ood", "left", "right", "density", "count", "n", "median")
_SPOKEN = {
    "logit": ("logit", ""),
    "distance": ("distance", ""),
    "min_distance": ("distance to the nearest prototype", ""),
    "entropy": ("entropy", " nats"),
    "normalised_entropy": ("entropy / log(classes)", ""),
    "max_probability": ("maximum probability", ""),
}
SPIKE_RATIO = 4.0  # a bar this much taller than all others would flatten them
SPIKE_BINS = 3
_UNITS = {"logit": "logits", "distance": "distances"}  # elsewhere n counts images


@dataclass(frozen=True)
class Group:
    """One group of a binned table as arrays."""

    name: str
    ood: bool
    n: int
    median: float
    edges: np.ndarray
    density: np.ndarray
    count: np.ndarray


def groups_of(table: pd.DataFrame) -> list[Group]:
    """Return the groups of a binned table in its order."""
    names = table["group"].to_numpy()
    columns = {name: table[name].to_numpy() for name in ("ood", "n", "median", "left", "right", "density", "count")}
    groups = []
    for name in dict.fromkeys(names):
        part = {key: values[names == name] for key, values in columns.items()}
        groups.append(
            Group(
                str(name),
                bool(part["ood"][0]),
                int(part["n"][0]),
                float(part["median"][0]),
                np.append(part["left"], part["right"][-1]),
                part["density"],
                part["count"],
            )
        )
    return groups


def id_label(table: pd.DataFrame) -> str:
    """Return the name of the in-distribution group: that of its data set where known."""
    data = table["data"].iloc[0]
    return f"{data}, ID" if known(data) else "ID"


def _look(group: Group, loss: str, *, crowded: bool) -> dict[str, Any]:
    """Return the artist options of a group: ID in the loss's colour, OOD as outline in the data set's."""
    if group.ood:
        style = data_style(group.name)
        return {
            "facecolor": to_rgba(style.color, 0.0 if crowded else 0.16),
            "edgecolor": style.color,
            "linestyle": style.linestyle,
            "linewidth": 1.5,
            "zorder": 2.4,
        }
    color = loss_style(loss).color
    if group.name == INTER:
        return {
            "facecolor": to_rgba(color, 0.22),
            "edgecolor": to_rgba(color, 0.75),
            "hatch": "////",
            "linewidth": 0.8,
            "zorder": 1.5,
        }
    alpha = 0.85 if group.name == INTRA else 0.6
    return {"facecolor": to_rgba(color, alpha), "edgecolor": color, "linewidth": 0.8, "zorder": 2}


@dataclass(frozen=True)
class Drawn:
    """The groups that were drawn, with the name of each in words."""

    groups: tuple[Group, ...]
    names: dict[str, str]
    quantity: str


def draw_groups(
    ax: Axes, table: pd.DataFrame, *, labels: dict[str, str] | None = None, yscale: str = "linear", **kwargs: Any
) -> Drawn:
    """Draw every group as filled stairs (one artist each).

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        As :func:`isomax_viz.histograms.logits_table` returns.
    labels : dict, optional
        Words to add to the legend entries, by group.
    yscale : {"linear", "log"}
        Scale of the density axis.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.stairs`.
    """
    check_choice("yscale", yscale, ("linear", "log"))
    groups, loss, quantity = groups_of(table), table["loss"].iloc[0], table["quantity"].iloc[0]
    unit = _UNITS.get(quantity, "")
    # Many translucent areas mix to mud: more than two sets are outlines only.
    names, crowded = {}, sum(group.ood for group in groups) > 2
    for group in groups:
        ood_name = data_style(group.name).label if group.ood else group.name
        names[group.name] = id_label(table) if group.name == KNOWN and not group.ood else ood_name
        label = count_label(names[group.name], group.n, unit) + (labels or {}).get(group.name, "")
        look = _look(group, loss, crowded=crowded) | {"label": label} | kwargs
        ax.stairs(group.density, group.edges, fill=True, **look)
    ax.set_xlim(groups[0].edges[0], groups[0].edges[-1])
    ax.set_xlabel(quantity_label(quantity, loss))
    ax.set_yscale(yscale)
    ax.set_ylabel("density" if yscale == "linear" else "density (logarithmic)")
    return Drawn(tuple(groups), names, quantity)


def density_top(groups: tuple[Group, ...]) -> float:
    """Return where the density axis should end.

    A spike (one of at most three bins that tower over all the others, as the entropies of SoftMax do at zero) is cut
    off; :func:`set_density_axis` then says so.
    """
    tallest = np.sort(np.max([group.density for group in groups], axis=0))[::-1]
    for bins in range(1, min(SPIKE_BINS, len(tallest) - 1) + 1):
        if tallest[bins] > 0 and tallest[bins - 1] >= SPIKE_RATIO * tallest[bins]:
            return 1.6 * float(tallest[bins])
    return 1.06 * float(tallest[0]) or 1.0  # limits may leave no value in view


def set_density_axis(
    ax: Axes, drawn: Drawn, *, top: float | None = None, legend: bool = True, avoid: float | None = None
) -> None:
    """Set the density axis, say in words which bars it cuts off, and place the legend where no data are.

    Parameters
    ----------
    ax : Axes
    drawn : Drawn
        From :func:`draw_groups`.
    top : float, optional
        End of the axis; by default chosen from the data.
    legend : bool
        Whether to draw a legend.
    avoid : float, optional
        Position of a vertical line from which the legend keeps away if it can.
    """
    for old in [artist for artist in (*ax.texts, *ax.lines) if artist.get_gid() == "cut"]:
        old.remove()
    if ax.get_yscale() == "log":
        positive = np.concatenate([group.density[group.density > 0] for group in drawn.groups])
        lowest, highest = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
        ax.set_ylim(lowest / 2, highest * (highest / lowest) ** 0.35)
        if legend:
            ax.legend(loc="upper right", **LEGEND)
        return
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_locator(MaxNLocator(7))
    chosen = density_top(drawn.groups) if top is None else top
    side = "right"
    if legend:
        side, needed = _legend_side(ax, drawn, chosen, avoid)
        chosen = max(chosen, needed) if top is None else top
    ax.set_ylim(0, chosen)
    for first, last in _cut_ranges(drawn.groups, chosen):
        _say_what_is_cut(ax, drawn, first, last, chosen)
    if legend:
        ax.legend(loc=f"upper {side}", **LEGEND).set_zorder(6)


def _cut_ranges(groups: tuple[Group, ...], top: float) -> list[tuple[int, int]]:
    """Return the runs of neighbouring bins that the axis cuts off, as (first, last)."""
    cut = np.flatnonzero(np.max([group.density for group in groups], axis=0) > top)
    runs = np.split(cut, np.flatnonzero(np.diff(cut) > 1) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs if len(run)]


def _say_what_is_cut(ax: Axes, drawn: Drawn, first: int, last: int, top: float) -> None:
    edges = drawn.groups[0].edges
    low, high = float(edges[first]), float(edges[last + 1])
    # Edges to a thousandth of the axis: 7e-09 beside 2 is 0; adding 0.0 makes -0.0 one too.
    digits = 3 - int(np.ceil(np.log10(edges[-1] - edges[0])))
    lines = [f"cut off: {number(round(low, digits) + 0.0)} to {number(round(high, digits) + 0.0)} holds"]
    for group in drawn.groups:
        if group.density[first : last + 1].max() > top:
            share = group.count[first : last + 1].sum() / group.n
            lines.append(f"{percent(share)} of {drawn.names[group.name]}")
    on_left = (low + high) / 2 < (edges[0] + edges[-1]) / 2
    # A white slash through the bar is the usual sign for a broken one.
    ax.plot(
        [low, high],
        [0.90 * top, 0.93 * top],
        color="white",
        linewidth=2.5,
        zorder=4,
        gid="cut",
        scalex=False,
        scaley=False,
        solid_capstyle="butt",
    )
    ax.annotate(
        "\n".join(lines),
        (high if on_left else low, top),
        (5 if on_left else -5, -3),
        textcoords="offset points",
        ha="left" if on_left else "right",
        va="top",
        fontsize=small(),
        color="#4D4D4D",
        gid="cut",
        linespacing=1.25,
        zorder=6,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )


def _legend_side(ax: Axes, drawn: Drawn, top: float, avoid: float | None) -> tuple[str, float]:
    """Return the side of the legend and how high the axis must reach so that it covers no data."""
    size, figure = legend_size(), ax.get_figure(root=True)
    position, (width, height) = ax.get_position(), figure.get_size_inches() * 72
    lines = [line for text in ax.get_legend_handles_labels()[1] for line in text.split("\n")]
    share_x = min(0.95, (0.58 * size * max(map(len, lines)) + 4.5 * size) / (width * position.width))
    share_y = min(0.7, (1.45 * size * len(lines) + 1.5 * size) / (height * position.height))
    edges = drawn.groups[0].edges
    span = edges[-1] - edges[0]
    density = np.minimum(np.max([group.density for group in drawn.groups], axis=0), top)
    highest = {
        "right": density[edges[1:] > edges[-1] - share_x * span].max(),
        "left": density[edges[:-1] < edges[0] + share_x * span].max(),
    }
    cut = _cut_ranges(drawn.groups, top)
    if cut:
        side = "right" if edges[cut[0][0]] < edges[0] + span / 2 else "left"
        # The text beside the spike stands at the top already; only the bars under the legend count.
        return side, top if highest[side] >= top else max(top, highest[side] / (1 - share_y))
    free = list(highest)
    if avoid is not None:
        start, end = edges[-1] - share_x * span, edges[0] + share_x * span
        free = [name for name in free if (avoid < start if name == "right" else avoid > end)] or free
    side = min(free, key=lambda name: highest[name])
    return side, highest[side] / (1 - share_y)


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
    drawn = draw_groups(ax, table, labels=labels, yscale=yscale, **kwargs)
    set_density_axis(ax, drawn, legend=legend, avoid=avoid)
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

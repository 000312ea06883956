"""The density axis of a histogram: honest clipping of a spike, and a legend that covers no data."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from isomax_viz.figures._canvas import LEGEND, legend_size, small
from isomax_viz.figures._groups import Drawn, Group
from isomax_viz.figures._words import number, percent

__all__ = ["density_top", "set_density_axis"]

SPIKE_RATIO = 4.0  # a bar this much taller than all others would flatten them
SPIKE_BINS = 3


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

"""The density axis of a histogram: honest clipping of a spike, and a legend that covers no data."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator

from isomax_viz.figures._canvas import LEGEND, legend_size, small
from isomax_viz.figures._groups import Drawn, Group
from isomax_viz.figures._words import number, percent

__all__ = ["density_top", "set_density_axis"]

SPIKE_RATIO = 4.0  # a bar this much taller than all others would flatten them
SPIKE_BINS = 3
TALLEST = 0.5  # share of the height up to which a legend with broken lines is no nuisance
_LOOK = LEGEND | {"handlelength": 1.6, "handletextpad": 0.6}


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


def set_density_axis(ax: Axes, drawn: Drawn, *, top: float | None = None, legend: bool = True) -> None:
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
    """
    for old in [artist for artist in (*ax.texts, *ax.lines) if artist.get_gid() == "cut"]:
        old.remove()
    if ax.get_yscale() == "log":
        positive = np.concatenate([group.density[group.density > 0] for group in drawn.groups])
        lowest, highest = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
        ax.set_ylim(lowest / 2, highest * (highest / lowest) ** 0.35)
        if legend:
            ax.legend(loc="upper right", **_LOOK)
        return
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_locator(MaxNLocator(7))
    chosen = density_top(drawn.groups) if top is None else top
    words = [_say_what_is_cut(ax, drawn, first, last, chosen) for first, last in _cut_ranges(drawn.groups, chosen)]
    if legend:
        needed = _place_legend(ax, drawn, chosen, words)
        if top is None and needed > chosen:
            for old in [artist for artist in (*ax.texts, *ax.lines) if artist.get_gid() == "cut"]:
                old.remove()
            chosen = needed
            for first, last in _cut_ranges(drawn.groups, chosen):
                _say_what_is_cut(ax, drawn, first, last, chosen)
    ax.set_ylim(0, chosen)


def _cut_ranges(groups: tuple[Group, ...], top: float) -> list[tuple[int, int]]:
    """Return the runs of neighbouring bins that the axis cuts off, as (first, last)."""
    cut = np.flatnonzero(np.max([group.density for group in groups], axis=0) > top)
    runs = np.split(cut, np.flatnonzero(np.diff(cut) > 1) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs if len(run)]


def _say_what_is_cut(ax: Axes, drawn: Drawn, first: int, last: int, top: float) -> Annotation:
    """Break the bars that are cut off by a white slash, and return the words beside them."""
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
    beside = high if on_left else low
    if drawn.avoid is not None and abs(drawn.avoid - beside) < 0.4 * (edges[-1] - edges[0]):
        # The words stand beyond a threshold that would cross them.
        beside = max(beside, drawn.avoid) if on_left else min(beside, drawn.avoid)
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
    return ax.annotate(
        "\n".join(lines),
        (beside, 1.0),
        (5 if on_left else -5, -3),
        xycoords=("data", "axes fraction"),
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


def _place_legend(ax: Axes, drawn: Drawn, top: float, words: list[Annotation]) -> float:
    """Draw the legend on the side where it covers least, and return how high the axis must reach for it.

    Where it would cover the threshold or the words on what is cut off, a narrower one with its lines broken is tried.
    """
    handles, labels = ax.get_legend_handles_labels()
    attempts = [labels, [label.replace(", TNR", "\nTNR") for label in labels]]
    attempts.append([label.replace(" (n", "\n(n") if "\n" in label else label for label in attempts[1]])
    attempts = attempts if attempts[1] != labels else [labels]
    frame = ax.get_window_extent()
    taken = [(box.x0 - frame.x0, box.x1 - frame.x0) for box in (text.get_window_extent() for text in words)]
    taken = [(low / frame.width, high / frame.width) for low, high in taken]
    edges = drawn.groups[0].edges
    if drawn.avoid is not None:
        at = (drawn.avoid - edges[0]) / (edges[-1] - edges[0])
        taken.append((at - 0.005, at + 0.005))
    first: tuple[str, float, list[str]] | None = None
    for attempt in attempts:
        box = ax.legend(handles, attempt, loc="upper right", **_LOOK).get_window_extent()
        pad = 0.5 * legend_size() * ax.get_figure(root=True).dpi / 72
        wide, high = min(0.95, (box.width + pad) / frame.width), min(0.7, (box.height + 2 * pad) / frame.height)
        spans = {"right": (1 - wide, 1.0), "left": (0.0, wide)}
        free = [side for side, (low, end) in spans.items() if all(end < start or low > stop for start, stop in taken)]
        side, needed = _lowest_side(drawn, spans, free or list(spans), top, high)
        first = first or (side, needed, attempt)
        if free and (attempt is labels or high <= TALLEST):
            break
    else:
        assert first is not None
        side, needed, attempt = first
    ax.legend(handles, attempt, loc=f"upper {side}", **_LOOK).set_zorder(6)
    return needed


def _lowest_side(
    drawn: Drawn, spans: dict[str, tuple[float, float]], sides: list[str], top: float, share: float
) -> tuple[str, float]:
    """Return the side with the lowest bars, and the end of the axis that leaves this share of it free above them."""
    edges = drawn.groups[0].edges
    places = (edges - edges[0]) / (edges[-1] - edges[0])
    density = np.minimum(np.max([group.density for group in drawn.groups], axis=0), top)
    highest = {side: density[(places[1:] > spans[side][0]) & (places[:-1] < spans[side][1])].max() for side in sides}
    side = min(sides, key=lambda name: highest[name])
    # No headroom frees the legend from a bar that is cut off itself.
    return side, top if highest[side] >= top else max(top, highest[side] / (1 - share))

"""What the histogram figures share: a binned table drawn with axis, legend, title, note and words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator

from isomax_viz._common.checks import check_choice, check_ood
from isomax_viz.analysis.histograms import INTER, INTRA, KNOWN, logits_table, scores_table, values_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import data_style, loss_style
from isomax_viz.figures._canvas import LEGEND, Caption, attach, drawing, legend_size, small, title_pad
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

__all__ = [
    "Drawn",
    "Group",
    "density_top",
    "draw_groups",
    "draw_histogram",
    "from_table",
    "groups_of",
    "id_label",
    "plot_distances",
    "plot_entropy",
    "plot_logits",
    "plot_max_probability",
    "plot_scores",
    "set_density_axis",
]

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
    """The groups that were drawn, the name of each in words, and where a vertical line stands among them."""

    groups: tuple[Group, ...]
    names: dict[str, str]
    quantity: str
    avoid: float | None = None


def draw_groups(
    ax: Axes, table: pd.DataFrame, *, labels: dict[str, str] | None = None, yscale: str = "linear", **kwargs: Any
) -> Drawn:
    """Draw every group as filled stairs (one artist each).

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        As :func:`isomax_viz.analysis.histograms.logits_table` returns.
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
    names = check_ood(ood, table.loc[table["ood"], "group"].unique())
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


def plot_logits(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    quantity: str = "logit",
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of intra-class, inter-class and out-of-distribution logits (or distances).

    Parameters
    ----------
    data : Capture or DataFrame
        A capture, or the table that :func:`~isomax_viz.analysis.histograms.logits_table` made from one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    quantity : {"logit", "distance"}
        The sign in which to show an isotropic loss; the axis says which (the papers' code prints positive distances).
    bins, limits
        See :func:`~isomax_viz.analysis.histograms.logits_table`; not used for a table.
    yscale : {"linear", "log"}
        Scale of the density axis. On the linear one a spike that would flatten everything else is cut off, and the
        figure says how much it holds.
    legend : bool
        Whether to draw a legend.
    theme : {"paper", "talk"}
        Text and line sizes of a new figure.
    ax : Axes, optional
        Where to draw; by default on a new figure, which a notebook shows.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.stairs`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a set or option is unknown, a set is empty, or distances are missing.

    Notes
    -----
    Source: DisMax paper, Figure 3; IsoMax2 paper, Figure 3.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [1.0, 2.0]], [0, 1], ood={"letters": [[0.5, 1.5]]}, loss="isomax")
    >>> ax = plot_logits(capture, ood="letters")
    >>> ax.get_title(loc="left"), ax.get_xlabel()
    ('IsoMax · test against letters', 'logit = −distance')
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "logits_table")
    else:
        table = logits_table(data, ood, quantity=quantity, bins=bins, limits=limits)
    with drawing(ax, theme=theme, lines=0) as axes:
        return draw_histogram(axes, table, own=ax is None, yscale=yscale, legend=legend, **kwargs)


def plot_distances(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    nearest: bool = False,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of feature-prototype distances, without any learned scale.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture with distances, or the table of :func:`~isomax_viz.analysis.histograms.logits_table`
        (``quantity="distance"``) or :func:`~isomax_viz.analysis.histograms.values_table` (``"min_distance"``).
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    nearest : bool
        False: distances to every prototype, as intra-class, inter-class and OOD. True: one distance per image, to its
        nearest prototype (minus that is the MDS score).
    bins, limits, yscale, legend, theme, ax, **kwargs
        As in :func:`plot_logits`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the samples carry no distances, or as in :func:`plot_logits`.

    Notes
    -----
    Source: IsoMax+ paper, Figure 1 (minimum distance). The logits of IsoMax and IsoMax2 are these with the sign turned.
    SoftMax has no prototypes: its distances are those to the class means of the training features, as the axis says.

    Examples
    --------
    >>> sets = {"letters": {"logits": [[-1.5, -1.5]], "distances": [[1.5, 1.5]]}}
    >>> capture = Capture.from_arrays([[-1.0, -2.0]], [0], distances=[[1.0, 2.0]], ood=sets, loss="isomax")
    >>> plot_distances(capture).get_xlabel(), plot_distances(capture, nearest=True).get_xlabel()
    ('feature-prototype distance', 'distance to the nearest prototype')
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "logits_table")
    elif nearest:
        table = values_table(data, "min_distance", ood, bins=bins, limits=limits)
    else:
        table = logits_table(data, ood, quantity="distance", bins=bins, limits=limits)
    with drawing(ax, theme=theme, lines=0) as axes:
        return draw_histogram(axes, table, own=ax is None, yscale=yscale, legend=legend, **kwargs)


def plot_entropy(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    normalised: bool = False,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of the entropies of the network's answers, in-distribution and out-of-distribution.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture, or the table that :func:`~isomax_viz.analysis.histograms.values_table` made from one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    normalised : bool
        Divide by the largest possible entropy, log(classes), as the papers' code does; the axis says so.
    bins, limits
        See :func:`~isomax_viz.analysis.histograms.values_table`; not used for a table.
    yscale, legend, theme, ax, **kwargs
        As in :func:`~isomax_viz.figures.plot_logits`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a set or option is unknown, or a set is empty.

    Notes
    -----
    Source: DisMax paper, Figure 6; IsoMax2 paper, Figure 4. Entropies are of softmax(logits), without entropic scale.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> plot_entropy(capture).get_xlabel()
    'entropy (nats)'
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "values_table")
    else:
        table = values_table(data, "entropy", ood, normalised=normalised, bins=bins, limits=limits)
    with drawing(ax, theme=theme, lines=0) as axes:
        return draw_histogram(axes, table, own=ax is None, yscale=yscale, legend=legend, **kwargs)


def plot_max_probability(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of the largest probability of each image, in-distribution and out-of-distribution.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture, or the table that :func:`~isomax_viz.analysis.histograms.values_table` made from one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    bins, limits
        See :func:`~isomax_viz.analysis.histograms.values_table`; not used for a table.
    yscale, legend, theme, ax, **kwargs
        As in :func:`~isomax_viz.figures.plot_logits`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a set or option is unknown, or a set is empty.

    Notes
    -----
    Source: DisMax paper, Figure 4; IsoMax2 paper, Figure 5. Probabilities are softmax(logits) without entropic scale.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> plot_max_probability(capture).get_title(loc="left")
    'SoftMax · test against letters'
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "values_table")
    else:
        table = values_table(data, "max_probability", ood, bins=bins, limits=limits)
    with drawing(ax, theme=theme, lines=0) as axes:
        return draw_histogram(axes, table, own=ax is None, yscale=yscale, legend=legend, **kwargs)


def plot_scores(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] | None = None,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the densities of a score with the threshold at 95 % TPR, and AUROC and TNR@TPR95 in words.

    Parameters
    ----------
    data : Capture or DataFrame
        A capture, or the table that :func:`~isomax_viz.analysis.histograms.scores_table` made from one.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    score : str or callable, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function of samples; higher = more in-distribution.
    bins, limits
        See :func:`~isomax_viz.analysis.histograms.scores_table`; not used for a table.
    yscale, legend, theme, ax, **kwargs
        As in :func:`~isomax_viz.figures.plot_logits`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a score, set or option is unknown, a set is empty, or the score needs distances that are not there.

    Notes
    -----
    Source: IsoMax+ paper, Figure 1. Images to the right of the line, at or above the threshold, are accepted as
    in-distribution; TNR@TPR95 is the share of out-of-distribution images to its left.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> print(plot_scores(capture, score="mps").get_legend_handles_labels()[1][1])
    letters (n = 1)
    AUROC 100.0 %, TNR@TPR95 100.0 %
    """
    if isinstance(data, pd.DataFrame):
        table = from_table(data, ood, "scores_table", also=("threshold", "TPR", "AUROC", "TNR@TPR95"))
    else:
        table = scores_table(data, score, ood, bins=bins, limits=limits)
    figures = {
        row["group"]: f"\nAUROC {percent(row['AUROC'])}, TNR@TPR95 {percent(row['TNR@TPR95'])}"
        for row in table.drop_duplicates("group").to_dict("records")
        if row["ood"]
    }
    with drawing(ax, theme=theme, lines=1) as axes:
        own, threshold = ax is None, float(table["threshold"].iloc[0])
        options: dict[str, Any] = {"yscale": yscale, "legend": legend, "avoid": threshold, "pad": title_pad(1)}
        draw_histogram(axes, table, own=own, labels=figures, **options, **kwargs)
        _draw_threshold(axes, threshold, float(table["TPR"].iloc[0]))
        return axes


def _draw_threshold(ax: Axes, threshold: float, tpr: float) -> None:
    low, high = limits = ax.get_xlim()
    ax.axvline(threshold, color="#1a1a1a", linewidth=1.2, zorder=5, gid="threshold")
    ax.set_xlim(limits)  # limits may leave the threshold outside: the line must not move them
    share = min(max((threshold - low) / (high - low), 0.0), 1.0)
    ax.annotate(
        f"score ≥ {number(threshold)} accepts {percent(tpr)} of ID →",
        (share, 1.0),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="left" if share < 0.5 else "right",
        va="bottom",
        fontsize=small(),
        gid="threshold",
    )

"""Histograms of logits, distances, entropies, probabilities and scores: a binned table drawn as filled stairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import StepPatch
from matplotlib.ticker import MaxNLocator

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.analysis.histograms import INTER, INTRA, KNOWN, logits_table, scores_table, values_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import note
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import count_label, data_style, known, loss_record, loss_style, number, percent, titles
from isomax_viz.figures._canvas import Caption, as_table, attach, check_options, draw_legend, drawing
from isomax_viz.figures._words import score_label

__all__ = [
    "id_label", "plot_distances", "plot_entropy", "plot_logits", "plot_max_probability", "plot_scores",
    "quantity_label",
]  # fmt: skip

COLUMNS = ("loss", "data", "quantity", "group", "ood", "left", "right", "density", "count", "n", "median")
SCORE_COLUMNS = (*COLUMNS, "threshold", "TPR", "AUROC", "TNR@TPR95")
SPIKE_RATIO = 4.0  # a bar this much taller than all others would flatten them
SPIKE_BINS = 3
_UNITS = {"logit": "logits", "distance": "distances"}  # elsewhere n counts images


def _draw(ax: Axes, table: pd.DataFrame, *, yscale: str, top: float | None, legend: bool, **kwargs: Any) -> Caption:
    """Draw every group as filled stairs (one artist each), with axes, legend and the line of a threshold."""
    check_choice("yscale", yscale, ("linear", "log"))
    first, names, drawn = table.iloc[0], _names(table), []
    # Many translucent areas mix to mud: more than two sets are outlines only.
    crowded = table.loc[table["ood"], "group"].nunique() > 2
    for (ood, group), rows in table.groupby(["ood", "group"], sort=False):
        label = count_label(names[ood, group], rows["n"].iloc[0], _UNITS.get(first["quantity"], "")) + _detected(rows)
        look = _look(ood, group, first["loss"], crowded=crowded) | {"label": label} | kwargs
        edges = [*rows["left"], rows["right"].iloc[-1]]
        drawn.append(ax.stairs(rows["density"].to_numpy(), edges, fill=True, **look))
    ax.set_xlabel(quantity_label(first["quantity"], first["loss"]))
    cut = _set_density_axis(ax, table, names, yscale, top)
    lines: tuple[str, ...] = ()
    if "threshold" in table:
        ax.axvline(first["threshold"], color="#1a1a1a", linewidth=1.4, zorder=20, gid="threshold")
        lines = (f"score ≥ {number(first['threshold'])} accepts {percent(first['TPR'])} of ID",)
    ax.set_xlim(edges[0], edges[-1])  # may leave that line outside
    if legend:
        draw_legend(ax, drawn, [patch.get_label() for patch in drawn])
    parts = titles(first["loss"], first["data"], table.loc[table["ood"], "group"].unique())
    return Caption(parts, note(table), _spoken(table, names, parts), (*lines, *cut), own_limits=True)


# Axis label, and the word and unit of a median.
_QUANTITIES = {
    "logit": ("logit", "logit", ""),
    "distance": ("feature-prototype distance", "distance", ""),
    "min_distance": ("distance to the nearest prototype", "distance to the nearest prototype", ""),
    "entropy": ("entropy (nats)", "entropy", " nats"),
    "normalised_entropy": ("entropy / log(number of classes)", "entropy / log(classes)", ""),
    "max_probability": ("maximum probability", "maximum probability", ""),
}
_TO_MEANS = {
    "distance": "distance to class mean of training features",
    "min_distance": "distance to nearest class mean of training features",
}


def quantity_label(quantity: str, loss: str) -> str:
    """Return the axis label of a quantity, with its unit or formula.

    Examples
    --------
    >>> quantity_label("logit", "isomax")
    'logit = −distance'
    >>> quantity_label("distance", "softmax")
    'distance to class mean of training features'
    """
    if quantity not in _QUANTITIES:
        # Users took scores for probabilities (entropic-ood, issue 2); MPS alone is one.
        return f"{score_label(quantity)} score" + (" (not a probability)" if quantity != "mps" else "")
    record = loss_record(loss)
    if quantity == "logit":
        return record.logits
    label = _QUANTITIES[quantity][0]
    if quantity not in _TO_MEANS:
        return label
    return (f"{label} (unit vectors)" if record.unit_vectors else label) if record.prototypes else _TO_MEANS[quantity]


def id_label(table: pd.DataFrame) -> str:
    """Return the name of the in-distribution group: that of its data set where known."""
    data = table["data"].iloc[0]
    return f"{data_style(str(data)).label}, ID" if known(data) else "ID"


def _names(table: pd.DataFrame) -> dict[tuple[bool, str], str]:
    """Return the name of each group in words."""
    groups = table[["ood", "group"]].drop_duplicates().itertuples(index=False, name=None)
    of_id = {KNOWN: id_label(table)}
    return {(ood, group): data_style(group).label if ood else of_id.get(group, group) for ood, group in groups}


def _look(ood: bool, group: str, loss: str, *, crowded: bool) -> dict[str, Any]:
    """Return the artist options of a group: ID in the loss's colour, OOD as outline in the data set's."""
    if ood:
        style = data_style(group)
        face = to_rgba(style.color, 0.0 if crowded else 0.16)
        line = {"linestyle": style.linestyle, "linewidth": 1.5}
        return {"facecolor": face, "edgecolor": style.color, "zorder": 2.4} | line
    color = loss_style(loss).color
    if group == INTER:
        line = {"hatch": "////", "linewidth": 0.8}
        return {"facecolor": to_rgba(color, 0.22), "edgecolor": to_rgba(color, 0.75), "zorder": 1.5} | line
    alpha = 0.85 if group == INTRA else 0.6
    return {"facecolor": to_rgba(color, alpha), "edgecolor": color, "linewidth": 0.8, "zorder": 2}


def _set_density_axis(
    ax: Axes, table: pd.DataFrame, names: dict[tuple[bool, str], str], yscale: str, top: float | None
) -> list[str]:
    """Set the density axis, break the bars that it cuts off by a white slash, and return how much these hold."""
    density = table["density"].to_numpy()
    ax.set_yscale(yscale)
    if yscale == "log":
        positive = density[density > 0]
        ax.set_ylabel("density (logarithmic)")
        ax.set_ylim(*((positive.min() / 2, positive.max() * 2) if len(positive) else (0.1, 1.0)))
        return []
    ax.set_ylabel("density")
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_locator(MaxNLocator(7))
    tallest = table.groupby("left")["density"].max()
    top = _density_top(tallest.to_numpy()) if top is None else check_number("top", top, above=0)
    ax.set_ylim(0, top)
    span, cut = table["right"].max() - table["left"].min(), []
    digits = 3 - int(np.ceil(np.log10(span)))  # of edges, to a thousandth of the axis: 7e-09 beside 2 is 0
    over = np.flatnonzero(tallest.to_numpy() > top)
    for run in np.split(over, np.flatnonzero(np.diff(over) > 1) + 1) if len(over) else ():
        rows = table[table["left"].isin(tallest.index[run])]
        low, high = rows["left"].min(), rows["right"].max()
        ax.plot([low, high], [0.90 * top, 0.93 * top], color="white", linewidth=2.5, zorder=4, gid="cut")
        shares = [
            f"{percent(part['count'].sum() / part['n'].iloc[0])} of {names[key]}"
            for key, part in rows.groupby(["ood", "group"], sort=False)
            if part["density"].max() > top
        ]
        ends = [number(round(value, digits) + 0.0) for value in (low, high)]  # adding 0.0 makes -0.0 a plain zero
        cut.append(f"cut off: {ends[0]} to {ends[1]} holds {', '.join(shares)}")
    return cut


def _density_top(tallest: np.ndarray) -> float:
    """Return where the density axis should end, given the tallest bar of each bin.

    A spike (one of at most three bins that tower over all the others, as the entropies of SoftMax do at zero) is cut
    off.
    """
    tallest = np.sort(tallest)[::-1]
    for bins in range(1, min(SPIKE_BINS, len(tallest) - 1) + 1):
        if tallest[bins] > 0 and tallest[bins - 1] >= SPIKE_RATIO * tallest[bins]:
            return 1.25 * float(tallest[bins])
    return 1.06 * float(tallest[0]) or 1.0  # limits may leave no value in view


def _spoken(table: pd.DataFrame, names: dict[tuple[bool, str], str], parts: tuple[str, ...]) -> str:
    groups = table.drop_duplicates(["ood", "group"])
    quantity = groups["quantity"].iloc[0]
    *_, word, unit = _QUANTITIES[quantity] if quantity in _QUANTITIES else (f"{score_label(quantity)} score", "")
    medians, detected = [], []
    for row in groups.to_dict("records"):
        name = names[row["ood"], row["group"]]
        medians.append(count_label(f"{name} {number(row['median'])}{unit}", row["n"]))
        if row["ood"] and "AUROC" in row:
            detected.append(f"{name} AUROC {percent(row['AUROC'])}, TNR@TPR95 {percent(row['TNR@TPR95'])}")
    start = f"{', '.join(parts)}: median" if parts else "Median"
    return f"{start} {word} {', '.join(medians)}." + (f" {'; '.join(detected)}." if detected else "")


def _detected(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    if "AUROC" not in rows or not first["ood"]:
        return ""
    return f": AUROC {percent(first['AUROC'])}, TNR@TPR95 {percent(first['TNR@TPR95'])}"


def _histogram(
    plot: Callable[..., Axes],
    data: Any,
    make: Callable[..., pd.DataFrame],
    made: dict[str, Any],
    drawn: dict[str, Any],
    *,
    theme: str,
    ax: Axes | None,
    **kwargs: Any,
) -> Axes:
    """Draw what ``make`` makes of the data with the options ``made``, as the options ``drawn`` say."""
    check_options(plot, kwargs, StepPatch, Axes.stairs)
    columns = SCORE_COLUMNS if make is scores_table else COLUMNS
    table = as_table(plot, data, make, columns, narrow=True, **made)
    with drawing(ax, theme=theme) as axes:
        return attach(axes, _draw(axes, table, **drawn, **kwargs), own=ax is None)


def plot_logits(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    quantity: str = "logit",
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    top: float | None = None,
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
        See :func:`~isomax_viz.analysis.histograms.logits_table`; a table has its own.
    yscale : {"linear", "log"}
        Scale of the density axis. On the linear one a spike that would flatten everything else is cut off, and the
        figure says how much it holds.
    top : float, optional
        End of a linear density axis, instead of the one chosen so.
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
    made = {"ood": ood, "quantity": quantity, "bins": bins, "limits": limits}
    drawn = {"yscale": yscale, "top": top, "legend": legend}
    return _histogram(plot_logits, data, logits_table, made, drawn, theme=theme, ax=ax, **kwargs)


def plot_distances(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    nearest: bool = False,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    top: float | None = None,
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
    bins, limits, yscale, top, legend, theme, ax, **kwargs
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
    make: Callable[..., pd.DataFrame] = values_table if nearest else logits_table
    made: dict[str, Any] = {"ood": ood, "bins": bins, "limits": limits}
    if isinstance(data, pd.DataFrame):
        made |= {"nearest": nearest}
    else:
        made |= {"value": "min_distance"} if nearest else {"quantity": "distance"}
    drawn = {"yscale": yscale, "top": top, "legend": legend}
    return _histogram(plot_distances, data, make, made, drawn, theme=theme, ax=ax, **kwargs)


def plot_entropy(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    normalised: bool = False,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    top: float | None = None,
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
        See :func:`~isomax_viz.analysis.histograms.values_table`; a table has its own.
    yscale, top, legend, theme, ax, **kwargs
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
    made = {"value": "entropy", "ood": ood, "normalised": normalised, "bins": bins, "limits": limits}
    drawn = {"yscale": yscale, "top": top, "legend": legend}
    return _histogram(plot_entropy, data, values_table, made, drawn, theme=theme, ax=ax, **kwargs)


def plot_max_probability(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    top: float | None = None,
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
        See :func:`~isomax_viz.analysis.histograms.values_table`; a table has its own.
    yscale, top, legend, theme, ax, **kwargs
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
    made = {"value": "max_probability", "ood": ood, "bins": bins, "limits": limits}
    drawn = {"yscale": yscale, "top": top, "legend": legend}
    return _histogram(plot_max_probability, data, values_table, made, drawn, theme=theme, ax=ax, **kwargs)


def plot_scores(
    data: Capture | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] | None = None,
    bins: int | Sequence[float] = 50,
    limits: tuple[float, float] | None = None,
    yscale: str = "linear",
    top: float | None = None,
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
        See :func:`~isomax_viz.analysis.histograms.scores_table`; a table has its own.
    yscale, top, legend, theme, ax, **kwargs
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
    letters (n = 1): AUROC 100.0 %, TNR@TPR95 100.0 %
    """
    made = {"score": score, "ood": ood, "bins": bins, "limits": limits}
    drawn = {"yscale": yscale, "top": top, "legend": legend}
    return _histogram(plot_scores, data, scores_table, made, drawn, theme=theme, ax=ax, **kwargs)

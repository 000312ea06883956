"""What a threshold does: ROC curves, the operating point on them, and what each kind of error costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from isomax_viz._common.checks import check_choice, check_known
from isomax_viz.analysis.chosen import Captures, as_list, as_names, one_each
from isomax_viz.analysis.histograms import scores_table
from isomax_viz.analysis.risks import expected_cost, risk_table
from isomax_viz.analysis.tables import roc_table
from isomax_viz.analysis.thresholds import RULES, check_threshold, find_threshold, threshold_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import note
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog import style
from isomax_viz.figures import _canvas as canvas
from isomax_viz.figures._words import score_label, setting_label, settings_within_losses
from isomax_viz.figures.histograms import plot_scores

__all__ = ["plot_operating_point", "plot_risk", "plot_roc", "varying_columns"]

COLUMNS = ("loss", "data", "score", "ood", "fpr", "tpr", "operating_point", "AUROC")
# What may tell curves apart, in the order in which it takes the colour, then the line style.
VARYING = ("loss", "ood", "score")


def plot_roc(
    data: Capture | Iterable[Capture] | pd.DataFrame,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] | Iterable[Any] | None = None,
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw ROC curves with the operating point at 95 % TPR; in-distribution is positive.

    Parameters
    ----------
    data : Capture, list of Capture, or DataFrame
        Captures, or the table that :func:`~isomax_viz.analysis.tables.roc_table` made from them. Tables may be
        concatenated, for instance to compare losses with different scores.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    score : str, callable or list of them, optional
        By default ES; the first score column where there are no logits.
        Keys of ``iv.scores.SCORES``, or your own functions; a table has its own.
    legend, theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a score or set is unknown, a set is empty, or the score needs distances that are not there.

    Notes
    -----
    Colour and line style stand for what differs between the curves: loss, then set, score, and what else tells captures
    of one loss apart. Captures that differ in their seed alone are drawn as one curve each, with the mean of their
    AUROC and its standard deviation in the legend.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> ax = plot_roc(capture, score="mps")
    >>> ax.get_legend_handles_labels()[1]
    ['SoftMax (AUROC 100.0 %)']
    """
    canvas.check_options(plot_roc, kwargs, Line2D, Axes.plot)
    table = canvas.as_table(plot_roc, data, roc_table, COLUMNS, narrow=True, ood=ood, score=score)
    with canvas.drawing(ax, theme=theme, size=(4.8, 4.8)) as axes:
        curves = _draw_curves(axes, table, kwargs)
        if legend:
            canvas.draw_legend(axes, curves, [curve.get_label() for curve in curves])
        parts = _parts(table)
        alt = f"ROC curves, {', '.join(parts)}: {', '.join(curve.get_label() for curve in curves)}."
        return canvas.attach(axes, canvas.Caption(parts, note(table), alt), own=ax is None)


def _draw_curves(ax: Axes, table: pd.DataFrame, options: dict[str, Any]) -> list[Line2D]:
    """Draw the curves of a table in axes of percent, and return those that have an entry in the legend."""
    ax.plot([0, 1], [0, 1], color="#B0B0B0", linewidth=0.8, zorder=1)
    ax.axhline(0.95, color="#B0B0B0", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    varying = varying_columns(table)
    told: list[Line2D] = []
    looks = {name: _looks(name, table[name].drop_duplicates(), alone=len(varying) == 1) for name in varying}
    for _, rows in table.groupby(varying, sort=False, dropna=False):
        styles = [looks[name][_key(rows[name].iloc[0])] for name in varying]
        label = f"{' · '.join(style.label for style in styles if style.label)} ({_auroc(rows)})"
        look: dict[str, Any] = {"color": styles[0].color, "linestyle": styles[-1].linestyle, "linewidth": 1.7}
        look |= {"zorder": 3, "marker": styles[0].marker, "markeredgecolor": "white", "markersize": 7, "clip_on": False}
        # A curve starts where nothing is accepted: several captures in these rows are several curves.
        for number_of, curve in rows.groupby(((rows["fpr"] == 0) & (rows["tpr"] == 0)).cumsum()):
            look |= {"label": label if number_of == 1 else "_seed"}
            look |= {"markevery": np.flatnonzero(curve["operating_point"]).tolist()}
            lines = ax.plot(curve["fpr"].to_numpy(), curve["tpr"].to_numpy(), **(look | options))
            told += lines if number_of == 1 else []
    names = table["data"].unique()
    label = style.data_style(str(names[0])).label if len(names) == 1 and style.known(names[0]) else ""
    positive = f"{label} (ID)" if label and len(label) < 16 else "ID"
    ax.set_xlabel("FPR: share of OOD accepted")
    ax.set_ylabel(f"TPR: share of {positive} accepted")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    ax.set(xlim=(-0.01, 1.0), ylim=(0.0, 1.01), aspect="equal", anchor="SW")
    look = {"textcoords": "offset points", "va": "center", "color": canvas.GREY, "fontsize": canvas.small()}
    ax.annotate("95 %", (1, 0.95), (7, 0), **look)
    return told


def varying_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that tell curves apart.

    Examples
    --------
    >>> varying_columns(pd.DataFrame({"loss": "isomax", "ood": "letters", "score": ["es", "mps"]}))
    ['score']
    """
    varying = [name for name in VARYING if table[name].nunique() > 1]
    return [*varying, *settings_within_losses(table)] or ["loss"]


def _key(value: Any) -> Any:
    return value if style.known(value) else None  # NaN is no key of a dictionary


def _looks(name: str, values: pd.Series, *, alone: bool) -> dict[Any, style.Style]:
    if name == "loss":
        return style.loss_styles(values)
    if name == "ood":
        return {value: style.data_style(value) for value in values}
    looks = {}
    for number_of_value, value in enumerate(values):
        words = score_label(value) if name == "score" else setting_label(name, value)
        if name == "entropic_scale" and not alone:  # legends have little room, and losses without a scale need no word
            words = words.removeprefix("entropic ") if style.known(value) else ""
        spare = style.SPARE_STYLES[number_of_value % len(style.SPARE_STYLES)]
        looks[_key(value)] = style.Style(words, spare.color, spare.linestyle, spare.marker)
    return looks


def _auroc(rows: pd.DataFrame) -> str:
    runs = rows[rows["operating_point"]]
    areas = runs["AUROC"].to_numpy()
    if len(areas) == 1:
        return f"AUROC {style.percent(areas[0])}"
    if "seed" in runs and not (runs["seed"].notna().all() and runs["seed"].is_unique):
        return f"AUROC {style.percent(areas.mean())}, mean of {len(areas)}"  # not of as many seeds
    return f"AUROC {100 * areas.mean():.1f} ± {100 * areas.std(ddof=1):.1f} %, {len(areas)} runs"


def _parts(table: pd.DataFrame) -> tuple[str, ...]:
    """Return title parts from what all curves share."""
    shared = {name: table[name].iloc[0] if table[name].nunique(dropna=False) == 1 else None for name in COLUMNS[:4]}
    sets = [shared["ood"]] if shared["ood"] is not None else table["ood"].drop_duplicates()
    parts = list(style.titles(shared["loss"], shared["data"], sets))
    if shared["score"] is not None:
        parts.insert(len(parts) - 1, score_label(shared["score"]))
    return tuple(parts)


PANELS = ("scores", "roc")


def plot_operating_point(
    data: Captures,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] | Sequence[Any] | None = None,
    threshold: float | str | Sequence[float] = "tpr95",
    panels: str | Sequence[str] = PANELS,
    share: bool = False,
    theme: str = "paper",
) -> Figure:
    """Draw the distributions of a score beside the ROC curves, both with the operating point of a threshold.

    Parameters
    ----------
    data : Capture or list of Capture
        Each gets its own distributions; the ROC curves share one panel.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all.
    score : str or callable, or a list of one per capture, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function; higher = more in-distribution.
    threshold : float, {"tpr95", "dtacc"} or one float per capture
        See :func:`isomax_viz.analysis.thresholds.threshold_table`.
    panels : {"scores", "roc"} or both
        What to draw.
    share : bool
        Give the distributions of several captures the same axis.
    theme : {"paper", "talk"}
        Text and line sizes.

    Returns
    -------
    Figure
        A notebook shows it.

    Raises
    ------
    ValueError
        If a name is unknown, or a score needs what a capture does not carry.

    Notes
    -----
    Images at or above the threshold are accepted as in-distribution. The marker on each curve stands at the share of
    OOD images (abscissa) and of ID images (ordinate) that are accepted.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> figure = plot_operating_point(capture, score="max_logit", threshold=8.5)
    >>> len(figure.axes), figure.axes[0].texts[-1].get_text()
    (2, 'score ≥ 8.5 accepts 50.0 % of ID')
    """
    captures, ood, panels = as_list(data), as_names(ood), check_known("panels", panels, PANELS)
    scores, wanted = one_each("score", score, captures), one_each("threshold", threshold, captures)
    chosen = list(zip(captures, scores, wanted, strict=True))
    counts = [threshold_table(item, ood, score=key, threshold=value).iloc[0] for item, key, value in chosen]
    tables = [scores_table(capture, key, ood) for capture, key, _ in chosen]
    if share:
        limits = min(table["left"].min() for table in tables), max(table["right"].max() for table in tables)
        tables = [scores_table(capture, key, ood, limits=limits) for capture, key, _ in chosen]
    widths = [6.0 if len(tables) == 1 else 5.4] * len(tables) if "scores" in panels else []
    beside = len(widths)
    widths += [4.2 if widths else 4.8] if "roc" in panels else []
    columns = canvas.in_a_row(len(widths))
    cells = [*range(len(widths)), *["."] * (-len(widths) % columns)]
    layout, wide = [cells[start : start + columns] for start in range(0, len(cells), columns)], widths[:columns]
    with canvas.mosaic(layout, sum(wide), 3.8 * len(layout), theme=theme, width_ratios=wide) as axes:
        for place, table, row in zip(range(beside), tables, counts, strict=False):
            plot_scores(table.assign(threshold=row["threshold"], TPR=row["TPR"]), ax=axes[place])
        if "roc" in panels:
            curves = [
                roc_table(capture, ood, score=key, thresholds=[row["threshold"]]).assign(capture=place)
                for place, (capture, key, row) in enumerate(zip(captures, scores, counts, strict=True))
            ]
            plot_roc(pd.concat(curves, ignore_index=True), ax=axes[beside])
            if beside:
                canvas.entitle(axes[beside], "ROC")
    return axes[0].get_figure(root=True)


CHEAPEST = "cheapest"
_DARK = "#1a1a1a"


def plot_risk(
    capture: Capture,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] | None = None,
    threshold: float | str = CHEAPEST,
    accept_unknown: float = 1.0,
    reject_known: float = 1.0,
    share_unknown: float = 0.5,
    theme: str = "paper",
) -> Figure:
    """Draw what a threshold does and what it costs.

    Parameters
    ----------
    capture : Capture
    ood : str or list of str, optional
        Out-of-distribution sets; by default all. For the cost, each counts alike.
    score : str or callable, optional
        By default ES; the first score column where there are no logits.
        A key of ``iv.scores.SCORES``, or your own function; higher = more in-distribution.
    threshold : float or {"cheapest", "tpr95", "dtacc"}
        A number, or the rule that gives it: least cost, or one of :data:`isomax_viz.analysis.thresholds.RULES`. An
        infinite one is drawn just beyond all scores.
    accept_unknown, reject_known, share_unknown
        See :func:`isomax_viz.analysis.risks.expected_cost`.
    theme : {"paper", "talk"}
        Text and line sizes.

    Returns
    -------
    Figure
        Histograms of the score with the threshold; the ROC curve with the operating point and the line of equal cost
        through it; the counts; the cost per image at every threshold.

    Raises
    ------
    ValueError
        If a name is unknown or a number is out of range.

    Notes
    -----
    Points to the upper left of the line of equal cost in the ROC panel are cheaper. Its slope is (cost of accepting an
    unknown image times share of unknown images) over (cost of rejecting a known one times share of known ones). At the
    cheapest threshold the curve of a single set has no point there.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> figure = plot_risk(capture, score="max_logit")
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['SoftMax · test against letters', 'ROC', 'what the threshold does', 'cost per image at every threshold']
    """
    canvas.check_capture(plot_risk, capture)
    costs = {"accept_unknown": accept_unknown, "reject_known": reject_known, "share_unknown": share_unknown}
    ood = as_names(ood)
    table = risk_table(capture, ood, score=score, **costs)
    value = _value(threshold, capture, ood, score, table)
    counts = threshold_table(capture, ood, score=score, threshold=value)
    here = {"threshold": value, "tpr": float(counts["TPR"].iloc[0]), "fpr": float(counts["FPR"].mean())}
    here["cost"] = float(expected_cost(here["tpr"], here["fpr"], **costs))
    panels = [["scores", "ROC"], ["counts", "costs"]]
    with canvas.mosaic(panels, 10.2, 7.9, theme=theme, width_ratios=[1.25, 1], height_ratios=[1.25, 1]) as axes:
        plot_scores(scores_table(capture, score, ood).assign(threshold=value, TPR=here["tpr"]), ax=axes["scores"])
        low, high = axes["scores"].get_xlim()
        axes["scores"].set_xlim(min(low, value), max(high, value))
        plot_roc(roc_table(capture, ood, score=score, thresholds=[value]), legend=False, ax=axes["ROC"])
        _draw_balance(axes["ROC"], here, costs, several=len(counts) > 1)
        _draw_counts(axes["counts"], counts)
        _draw_costs(axes["costs"], table, here)
    return axes["scores"].get_figure(root=True)


def _value(threshold: float | str, capture: Capture, ood: Any, score: Any, table: pd.DataFrame) -> float:
    if isinstance(threshold, str):
        check_choice("threshold", threshold, [CHEAPEST, *RULES], remedy="A number is accepted too.")
        if threshold != CHEAPEST:
            return find_threshold(capture, ood, score=score, rule=threshold)
        threshold = float(table.loc[table["cheapest"], "threshold"].iloc[0])
    return _drawable(check_threshold(threshold), table)


def _drawable(threshold: float, table: pd.DataFrame) -> float:
    """Return the threshold; for an infinite one, a number a little beyond all scores, which decides alike."""
    if np.isfinite(threshold):
        return threshold
    top, bottom = float(table["threshold"].iloc[1]), float(table["threshold"].iloc[-1])
    furthest, end = (max, top) if threshold > 0 else (min, bottom)
    # Beyond them in float32 too, the precision of the scores.
    next_one = float(np.nextafter(np.float32(end), np.float32(threshold)))
    return float(furthest(end + np.sign(threshold) * 0.001 * (top - bottom), next_one))


def _draw_balance(ax: Axes, here: dict[str, float], costs: dict[str, float], *, several: bool) -> None:
    """Add the threshold and the line of equal cost through it to ROC curves."""
    down = costs["reject_known"] * (1 - costs["share_unknown"])
    across = costs["accept_unknown"] * costs["share_unknown"]
    if down or across:
        # As a direction, not a slope: where rejecting known images costs nothing, the line is vertical.
        step = 2 * np.array([down, across]) / float(np.hypot(down, across))
        x, y = (np.array([here["fpr"], here["tpr"]]) + np.outer([-1, 1], step)).T
        look = {"linewidth": 1.1, "linestyle": (0, (5, 2)), "zorder": 5}
        ax.plot(x, y, color=_DARK, label="line of equal cost: cheaper to its upper left", **look)
    look = {"marker": "o", "markersize": 9, "linestyle": "none", "markeredgecolor": "white", "zorder": 20}
    label = "this threshold (mean of the sets)" if several else "this threshold"
    ax.plot([here["fpr"]], [here["tpr"]], color=_DARK, clip_on=False, label=label, **look)
    ax.set(xlim=(-0.01, 1.0), ylim=(0.0, 1.01))
    canvas.draw_legend(ax, *ax.get_legend_handles_labels())
    canvas.entitle(ax, "ROC")


def _draw_counts(ax: Axes, counts: pd.DataFrame) -> None:
    first, right, wrong = counts.iloc[0], "#DDEFE8", "#F8DFCF"
    rows = [("known (ID)", int(first["id_accepted"]), int(first["id_rejected"]), True)]
    for row in counts.to_dict("records"):
        name = style.plain(style.data_style(row["ood"]).label, most=24)
        rows.append((name, int(row["ood_accepted"]), int(row["ood_rejected"]), False))
    for place, (_, *both, is_known) in enumerate(rows):
        for column, count in enumerate(both):
            good = is_known == (column == 0)
            ax.add_patch(Rectangle((column - 0.48, place - 0.46), 0.96, 0.92, facecolor=right if good else wrong))
            words, weight = f"{count:,} ({style.percent(count / sum(both))})", "normal" if good else "bold"
            ax.text(column, place, words, ha="center", va="center", fontsize=canvas.small(), weight=weight)
    ax.set(xlim=(-0.5, 1.5), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xticks([0, 1], ["accepted", "rejected"])
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("bold on orange: errors")
    spoken = ", ".join(f"{name} {accepted} accepted and {rejected} rejected" for name, accepted, rejected, _ in rows)
    canvas.attach(ax, canvas.Caption(("what the threshold does",), alt=f"Counts: {spoken}."), own=False)


def _draw_costs(ax: Axes, table: pd.DataFrame, here: dict[str, float]) -> None:
    finite = table[np.isfinite(table["threshold"])]
    # Between two scores the cost is that of the higher one; the thresholds descend, so each step ends at its own.
    steps = finite["threshold"].to_numpy(), finite["cost"].to_numpy()
    ax.step(*steps, where="post", color=style.OKABE_ITO["blue"], linewidth=1.7)
    best = table[table["cheapest"]].iloc[0]
    place = _drawable(float(best["threshold"]), table)
    ax.axvline(here["threshold"], color=_DARK, linewidth=1.0, zorder=2)
    look = {"linestyle": "none", "markeredgecolor": "white", "zorder": 5, "clip_on": False}
    star = ax.plot([place], [best["cost"]], marker="*", markersize=13, color=style.OKABE_ITO["vermillion"], **look)
    point = ax.plot([here["threshold"]], [here["cost"]], marker="o", markersize=8, color=_DARK, **look)
    labels = [f"cheapest: {style.number(best['cost'])}", f"this threshold: {style.number(here['cost'])}"]
    ax.set_ylim(0, 1.06 * max(float(finite["cost"].max()), here["cost"], 1e-9))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel(f"threshold on {score_label(table['score'].iloc[0])}")
    ax.set_ylabel("expected cost per image")
    canvas.draw_legend(ax, star + point, labels)
    told = style.titles(table["loss"].iloc[0], None, [])
    costs = f"this threshold costs {style.number(here['cost'])} per image, the cheapest {style.number(best['cost'])}"
    alt = f"{', '.join([*told, costs])}."
    canvas.attach(ax, canvas.Caption(("cost per image at every threshold",), alt=alt), own=False)

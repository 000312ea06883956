"""A threshold and what it costs: score histograms, ROC curve, counts, and the cost at every other threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.histograms import chosen_ood, scores_table
from isomax_viz.analysis.risks import expected_cost, risk_table
from isomax_viz.analysis.tables import as_names, roc_table
from isomax_viz.analysis.thresholds import RULES, check_threshold, find_threshold, threshold_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog import style
from isomax_viz.catalog.style import OKABE_ITO, data_style
from isomax_viz.figures._canvas import LEGEND, Caption, attach, caption_of, small, write_note
from isomax_viz.figures._fixed import add_panel, fixed_figure
from isomax_viz.figures._words import number, percent, score_label, titles
from isomax_viz.figures.roc import plot_roc
from isomax_viz.figures.scores import plot_scores

__all__ = ["plot_risk"]

CHEAPEST = "cheapest"
_DARK = "#1a1a1a"


def plot_risk(
    capture: Capture,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] = "es",
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
    score : str or callable
        A key of ``iv.scores.SCORES``, or your own function; higher = more in-distribution.
    threshold : float or {"cheapest", "tpr95", "dtacc"}
        A number, or the rule that gives it: least cost, or one of :data:`isomax_viz.analysis.thresholds.RULES`. An infinite one
        is drawn just beyond all scores.
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
    costs = {"accept_unknown": accept_unknown, "reject_known": reject_known, "share_unknown": share_unknown}
    ood = as_names(ood)
    table = risk_table(capture, ood, score=score, **costs)
    value = _value(threshold, capture, ood, score, table)
    counts = threshold_table(capture, ood, score=score, threshold=value)
    here = {"threshold": value, "tpr": float(counts["TPR"].iloc[0]), "fpr": float(counts["FPR"].mean())}
    here["cost"] = float(expected_cost(here["tpr"], here["fpr"], **costs))
    with style.context(theme):
        figure = fixed_figure(10.2, 7.3)
        _draw_histograms(add_panel(figure, 0.75, 4.35, 5.0, 2.35), capture, ood, score, here)
        _draw_roc(add_panel(figure, 6.75, 3.95, 2.95, 2.95), capture, ood, score, here, costs)
        _draw_counts(add_panel(figure, 1.35, 0.75, 3.6, 2.35), counts)
        _draw_costs(add_panel(figure, 6.75, 0.75, 2.95, 2.35), table, here)
        write_note(figure, caption_of(figure.axes[0]).note)
    return figure


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


def _draw_histograms(ax: Axes, capture: Capture, ood: Any, score: Any, here: dict[str, float]) -> None:
    plot_scores(scores_table(capture, score, ood), ax=ax)
    for artist in ax.get_children():
        if artist.get_gid() == "threshold":
            artist.remove()
    low, high = ax.get_xlim()
    ax.axvline(here["threshold"], color=_DARK, linewidth=1.4, zorder=20)
    ax.set_xlim(min(low, here["threshold"]), max(high, here["threshold"]))
    ax.annotate(
        f"accepted: score ≥ {number(here['threshold'])}, that is {percent(here['tpr'])} of ID", (0, 1.0), (0, 3),
        xycoords="axes fraction", textcoords="offset points", va="bottom", fontsize=small(),
    )  # fmt: skip


def _draw_roc(
    ax: Axes, capture: Capture, ood: Any, score: Any, here: dict[str, float], costs: dict[str, float]
) -> None:
    plot_roc(roc_table(capture, ood, score=score), ax=ax)
    for artist in ax.get_children():
        if artist.get_gid() == "operating point":
            artist.remove()
    down, across = (
        costs["reject_known"] * (1 - costs["share_unknown"]),
        costs["accept_unknown"] * costs["share_unknown"],
    )
    if down or across:
        # As a direction, not a slope: where rejecting known images costs nothing, the line is vertical.
        length = float(np.hypot(down, across))
        step = 2 * np.array([down, across]) / length
        ends = np.array([here["fpr"], here["tpr"]]) + np.outer([-1, 1], step)
        label = "line of equal cost: cheaper to its upper left"
        ax.plot(ends[:, 0], ends[:, 1], color=_DARK, linewidth=1.1, linestyle=(0, (5, 2)), zorder=5, label=label)
    look = {"marker": "o", "markersize": 9, "color": _DARK, "markeredgecolor": "white", "zorder": 20}
    several = " (mean of the sets)" if len(chosen_ood(capture, ood)) > 1 else ""
    ax.plot([here["fpr"]], [here["tpr"]], linestyle="none", clip_on=False, label=f"this threshold{several}", **look)
    ax.legend(loc="lower right", fontsize=7.5, **LEGEND)
    ax.set(xlim=(-0.01, 1.0), ylim=(0.0, 1.01))
    attach(ax, Caption(("ROC",), alt=caption_of(ax).alt), own=False)


def _draw_counts(ax: Axes, counts: pd.DataFrame) -> None:
    first = counts.iloc[0]
    rows = [("known (ID)", first["id_accepted"], first["id_rejected"], True)]
    rows += [
        (data_style(row["ood"]).label, row["ood_accepted"], row["ood_rejected"], False)
        for row in counts.to_dict("records")
    ]
    right, wrong = "#DDEFE8", "#F8DFCF"
    for place, (_, accepted, rejected, is_known) in enumerate(rows):
        for column, count in enumerate((accepted, rejected)):
            good = is_known == (column == 0)
            color = right if good else wrong
            ax.add_patch(_cell(column, place, color))
            words = f"{int(count):,}\n{percent(count / (accepted + rejected))}"
            weight = "normal" if good else "bold"
            ax.text(column, place, words, ha="center", va="center", fontsize=small(), fontweight=weight)
    ax.set(xlim=(-0.5, 1.5), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xticks([0, 1], ["accepted", "rejected"])
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("bold on orange: errors")
    spoken = ", ".join(
        f"{name} {int(accepted)} accepted and {int(rejected)} rejected" for name, accepted, rejected, _ in rows
    )
    attach(ax, Caption(("what the threshold does",), alt=f"Counts: {spoken}."), own=False)


def _cell(column: int, row: int, color: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor=color, edgecolor="none")


def _draw_costs(ax: Axes, table: pd.DataFrame, here: dict[str, float]) -> None:
    finite = table[np.isfinite(table["threshold"])]
    # Between two scores the cost is that of the higher one; the thresholds descend, so each step ends at its own.
    ax.step(
        finite["threshold"].to_numpy(), finite["cost"].to_numpy(), where="post", color=OKABE_ITO["blue"], linewidth=1.7
    )
    best = table[table["cheapest"]].iloc[0]
    place = _drawable(float(best["threshold"]), table)
    ax.axvline(here["threshold"], color=_DARK, linewidth=1.0, zorder=2)
    look = {"linestyle": "none", "markeredgecolor": "white", "zorder": 5}
    ax.plot([place], [best["cost"]], marker="*", markersize=13, color=OKABE_ITO["vermillion"], **look,
            label=f"cheapest: {number(best['cost'])}")  # fmt: skip
    ax.plot([here["threshold"]], [here["cost"]], marker="o", markersize=8, color=_DARK, **look,
            label=f"this threshold: {number(here['cost'])}")  # fmt: skip
    ax.set_ylim(0, 1.35 * max(float(finite["cost"].max()), here["cost"], 1e-9))
    ax.set_xlabel(f"threshold on {score_label(table['score'].iloc[0])}")
    ax.set_ylabel("expected cost per image")
    ax.legend(loc="upper center", ncols=2, fontsize=7.5, **LEGEND)
    told = titles(table["loss"].iloc[0], None, [])
    costs = f"this threshold costs {number(here['cost'])} per image, the cheapest {number(best['cost'])}"
    alt = f"{', '.join([*told, costs])}."
    attach(ax, Caption(("cost per image at every threshold",), alt=alt), own=False)

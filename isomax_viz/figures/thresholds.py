"""Receiver operating characteristics of several captures, scores and out-of-distribution sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from isomax_viz._common.checks import check_choice, check_known, check_ood
from isomax_viz.analysis.histograms import chosen_ood, scores_table
from isomax_viz.analysis.risks import expected_cost, risk_table
from isomax_viz.analysis.tables import Captures, as_list, as_names, roc_table
from isomax_viz.analysis.thresholds import RULES, check_threshold, find_threshold, threshold_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog import style
from isomax_viz.catalog.style import OKABE_ITO, SPARE_STYLES, Style, data_style, loss_style
from isomax_viz.figures._canvas import (
    DPI,
    LEGEND,
    NOTE_STRIP,
    CanvasAxes,
    CanvasFigure,
    Caption,
    add_panel,
    attach,
    caption_of,
    drawing,
    encode_png,
    fixed_figure,
    small,
    title_pad,
    write_note,
)
from isomax_viz.figures._words import (
    check_table,
    known,
    note,
    number,
    percent,
    score_label,
    setting_label,
    settings_within_losses,
    titles,
)
from isomax_viz.figures.histograms import plot_scores

__all__ = ["MovingPoint", "plot_operating_point", "plot_risk", "plot_roc", "varying_columns"]

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
        Keys of ``iv.scores.SCORES``, or your own functions; not used for a table.
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
    table = _roc_rows(data, ood) if isinstance(data, pd.DataFrame) else roc_table(data, ood, score=score)
    varying = varying_columns(table)
    looks = {name: _looks(name, table[name].drop_duplicates(), alone=len(varying) == 1) for name in varying}
    spoken = []
    with drawing(ax, theme=theme, size=(4.8, 4.8)) as axes:
        axes.plot([0, 1], [0, 1], color="#B0B0B0", linewidth=0.8, zorder=1)
        axes.axhline(0.95, color="#B0B0B0", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        for _, rows in table.groupby(varying, sort=False, dropna=False):
            styles = [looks[name][_key(rows[name].iloc[0])] for name in varying]
            label = f"{' · '.join(style.label for style in styles if style.label)} ({_auroc(rows)})"
            spoken.append(label)
            _draw_curves(axes, rows, styles, {"label": label} | kwargs)
        _finish(axes, table)
        if legend:
            axes.legend(loc="lower right", **LEGEND)
        parts = _parts(table)
        caption = Caption(parts, note(table), f"ROC curves, {', '.join(parts)}: {', '.join(spoken)}.")
        return attach(axes, caption, own=ax is None)


def _roc_rows(table: pd.DataFrame, ood: str | Iterable[str] | None) -> pd.DataFrame:
    check_table(table, COLUMNS, "roc_table")
    return table[table["ood"].isin(check_ood(ood, table["ood"].unique()))]


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
    return value if known(value) else None  # NaN is no key of a dictionary


def _looks(name: str, values: pd.Series, *, alone: bool) -> dict[Any, Style]:
    if name == "loss":
        return {value: loss_style(value) for value in values}
    if name == "ood":
        return {value: data_style(value) for value in values}
    looks = {}
    for number_of_value, value in enumerate(values):
        words = score_label(value) if name == "score" else setting_label(name, value)
        if name == "entropic_scale" and not alone:  # legends have little room, and losses without a scale need no word
            words = words.removeprefix("entropic ") if known(value) else ""
        spare = SPARE_STYLES[number_of_value % len(SPARE_STYLES)]
        looks[_key(value)] = Style(words, spare.color, spare.linestyle, spare.marker)
    return looks


def _auroc(rows: pd.DataFrame) -> str:
    runs = rows[rows["operating_point"]]
    areas = runs["AUROC"].to_numpy()
    if len(areas) == 1:
        return f"AUROC {percent(areas[0])}"
    if "seed" in runs and not (runs["seed"].notna().all() and runs["seed"].is_unique):
        return f"AUROC {percent(areas.mean())}, mean of {len(areas)}"  # not of as many seeds
    return f"AUROC {100 * areas.mean():.1f} ± {100 * areas.std(ddof=1):.1f} %, {len(areas)} runs"


def _draw_curves(ax: Axes, rows: pd.DataFrame, styles: list[Style], options: dict[str, Any]) -> None:
    # A curve starts where nothing is accepted: several captures in these rows are several curves.
    number_of_curve = ((rows["fpr"] == 0) & (rows["tpr"] == 0)).cumsum()
    line = styles[1].linestyle if len(styles) > 1 else "-"
    look = {"color": styles[0].color, "linestyle": line, "linewidth": 1.7, "zorder": 3}
    for _, curve in rows.groupby(number_of_curve):
        ax.plot(curve["fpr"].to_numpy(), curve["tpr"].to_numpy(), **(look | options))
        options = options | {"label": "_seed"}
    points = rows[rows["operating_point"]]
    ax.plot(
        points["fpr"].to_numpy(),
        points["tpr"].to_numpy(),
        linestyle="none",
        marker=styles[0].marker,
        markersize=6,
        color=styles[0].color,
        markeredgecolor="white",
        zorder=4,
        gid="operating point",
        label="_operating point",
    )


def _finish(ax: Axes, table: pd.DataFrame) -> None:
    names = table["data"].unique()
    positive = f"{names[0]} (ID)" if len(names) == 1 and known(names[0]) else "ID"
    ax.set_xlabel("FPR: share of OOD accepted")
    ax.set_ylabel(f"TPR: share of {positive} accepted")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    ax.set(xlim=(-0.01, 1.0), ylim=(0.0, 1.01), aspect="equal")
    ax.annotate("95 %", (1, 0.95), (3, 0), textcoords="offset points", va="center", color="#767676", fontsize=small())


def _parts(table: pd.DataFrame) -> tuple[str, ...]:
    """Return title parts from what all curves share."""
    shared = {name: table[name].iloc[0] if table[name].nunique(dropna=False) == 1 else None for name in COLUMNS[:4]}
    sets = [shared["ood"]] if shared["ood"] is not None else table["ood"].drop_duplicates()
    parts = list(titles(shared["loss"], shared["data"], sets))
    if shared["score"] is not None:
        parts.insert(len(parts) - 1, score_label(shared["score"]))
    return tuple(parts)


PANELS = ("scores", "roc")
HEIGHT = 3.8


def plot_operating_point(
    data: Captures,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] | None = None,
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
    score : str or callable, optional
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
    (2, 'score ≥ 8.5 accepts 50.0 % of ID →')
    """
    moving = MovingPoint(data, ood, score=score, panels=panels, share=share, theme=theme)
    moving.move(threshold)
    return moving.figure


class MovingPoint:
    r"""The figure of :func:`plot_operating_point`, in which the threshold alone can be moved quickly.

    Parameters
    ----------
    data, ood, score, panels, share, theme
        As there.

    Attributes
    ----------
    figure : Figure
        The same object that is shown and saved.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"letters": [[0.0, 0.0]]}, loss="softmax")
    >>> moving = MovingPoint(capture, score="max_logit")
    >>> moving.move(8.5)[["id_accepted", "id_rejected"]].to_numpy().tolist()
    [[1, 1]]
    >>> moving.png()[:4]
    b'\x89PNG'
    """

    def __init__(
        self,
        data: Captures,
        ood: str | Iterable[str] | None = None,
        *,
        score: str | Callable[[Samples], np.ndarray] | None = None,
        panels: str | Sequence[str] = PANELS,
        share: bool = False,
        theme: str = "paper",
    ) -> None:
        self._captures, self._ood, self._score = as_list(data), as_names(ood), score
        self._panels = check_known("panels", panels, PANELS)
        self._background: Any = None
        with style.context(theme):
            self._draw(self._limits() if share else None)

    def _draw(self, limits: tuple[float, float] | None) -> None:
        size = 6.0 if len(self._captures) == 1 else 5.4
        widths = [size] * len(self._captures) if "scores" in self._panels else []
        self.figure, axes = _panels(widths + ([3.6 if widths else 7.6] if "roc" in self._panels else []))
        roc = roc_table(self._captures, self._ood, score=self._score)
        self._histograms = axes[: len(widths)]
        for ax, capture in zip(self._histograms, self._captures, strict=False):
            plot_scores(scores_table(capture, self._score, self._ood, limits=limits), ax=ax)
        for ax in axes[len(widths) :]:
            plot_roc(roc, ax=ax)
            if widths:
                ax.set_title("ROC", loc="left")
            else:  # the axes are square: there is room for the legend beside them
                ax.set_anchor("W")
                ax.legend(loc="lower left", bbox_to_anchor=(1.1, 0.0), **LEGEND)
        for ax in axes:
            for artist in ax.get_children():
                if artist.get_gid() in ("threshold", "operating point"):
                    artist.remove()
        write_note(self.figure, caption_of(axes[0]).note)
        self._lines = [_line(ax) for ax in self._histograms]
        self._words = [_words(ax) for ax in self._histograms]
        # The rows of a group of curves, in the order in which plot_roc draws them.
        rows = threshold_table(self._captures, self._ood, score=self._score)
        groups = rows.groupby(varying_columns(roc), sort=False, dropna=False).ngroup()
        self._order = np.argsort(groups.to_numpy(), kind="stable")
        self._points = [point for ax in axes[len(widths) :] for point in _points(ax)]

    def _limits(self) -> tuple[float, float]:
        tables = [scores_table(capture, self._score, self._ood, bins=1) for capture in self._captures]
        return min(table["left"].min() for table in tables), max(table["right"].max() for table in tables)

    def move(self, threshold: float | str | Sequence[float]) -> pd.DataFrame:
        """Move the threshold and return what it does (see :func:`~isomax_viz.analysis.thresholds.threshold_table`)."""
        table = threshold_table(self._captures, self._ood, score=self._score, threshold=threshold)
        firsts = table.drop_duplicates("capture").to_dict("records")
        for ax, line, words, row in zip(self._histograms, self._lines, self._words, firsts, strict=False):
            low, high = ax.get_xlim()
            share = min(max((row["threshold"] - low) / (high - low), 0.0), 1.0)
            line.set_xdata([row["threshold"]] * 2)
            words.set_text(f"score ≥ {number(row['threshold'])} accepts {percent(row['TPR'])} of ID →")
            words.xy = (share, 1.0)
            words.set_horizontalalignment("left" if share < 0.5 else "right")
        fpr, tpr = table["FPR"].to_numpy()[self._order], table["TPR"].to_numpy()[self._order]
        for point, x, y in zip(self._points, fpr, tpr, strict=bool(self._points)):
            point.set_data([x], [y])
        return table

    def png(self) -> bytes:
        """Return the picture, drawing only what moves: the rest was kept from the first time."""
        moving: list[Artist] = [*self._lines, *self._words, *self._points]
        if self._background is None:
            self._canvas = FigureCanvasAgg(self.figure)
            for artist in moving:
                artist.set_visible(False)
            self._canvas.draw()
            self._background = self._canvas.copy_from_bbox(self.figure.bbox)
            for artist in moving:
                artist.set_visible(True)
        self._canvas.restore_region(self._background)
        for artist in moving:
            artist.axes.draw_artist(artist)
        return encode_png(np.asarray(self._canvas.buffer_rgba()), dpi=self.figure.dpi)


def _panels(widths: list[float]) -> tuple[CanvasFigure, list[Axes]]:
    """Return a figure with axes of those widths (in inches, with their labels) and margins from the font sizes."""
    zoom = style.zoom(len(widths))
    widths, high = [zoom * width for width in widths], zoom * HEIGHT
    width = sum(widths)
    figure = CanvasFigure(figsize=(width, high), dpi=DPI)
    figure.one_note = True
    title, label, tick = (float(rcParams[name]) for name in ("axes.titlesize", "axes.labelsize", "xtick.labelsize"))
    left, right = (1.5 * label + 3.4 * tick + 8) / 72, 26 / 72
    bottom = (1.6 * label + 1.3 * tick + 6) / 72 + NOTE_STRIP
    top = high - (1.45 * title + title_pad(1)) / 72
    axes, start = [], 0.0
    for panel in widths:
        place = (start + left, bottom, panel - left - right, top - bottom)
        fractions = [value / total for value, total in zip(place, (width, high) * 2, strict=True)]
        axes.append(figure.add_axes(fractions, axes_class=CanvasAxes))
        start += panel
    return figure, axes


# What moves stands above everything else: drawn last on a kept picture of the rest, it gives the same pixels as when
# all is drawn.
def _line(ax: Axes) -> Any:
    limits = ax.get_xlim()
    line = ax.axvline(limits[0], color="#1a1a1a", linewidth=1.4, zorder=20, gid="threshold")
    ax.set_xlim(limits)
    return line


def _words(ax: Axes) -> Any:
    return ax.annotate(
        "",
        (0, 1.0),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontsize=small(),
        gid="threshold",
        zorder=21,
    )


def _points(ax: Axes) -> list[Any]:
    curves = [line for line in ax.lines if line.get_zorder() == 3]
    look = {"linestyle": "none", "marker": "o", "markersize": 9, "markeredgewidth": 1.5, "markeredgecolor": "white"}
    return [
        ax.plot(
            [0],
            [0],
            color=curve.get_color(),
            zorder=20,
            label="_point",
            scalex=False,
            scaley=False,
            clip_on=False,
            gid="operating point",
            **look,
        )[0]
        for curve in curves
    ]


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

"""A threshold at work: score distributions and ROC curves with the operating point that it gives."""

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

from isomax_viz._common.checks import check_known
from isomax_viz.analysis.histograms import scores_table
from isomax_viz.analysis.tables import Captures, as_list, as_names, roc_table
from isomax_viz.analysis.thresholds import threshold_table
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog import style
from isomax_viz.figures._canvas import (
    DPI,
    LEGEND,
    NOTE_STRIP,
    CanvasAxes,
    CanvasFigure,
    caption_of,
    small,
    title_pad,
    write_note,
)
from isomax_viz.figures._png import encode_png
from isomax_viz.figures._words import number, percent
from isomax_viz.figures.roc import plot_roc, varying_columns
from isomax_viz.figures.scores import plot_scores

__all__ = ["MovingPoint", "plot_operating_point"]

PANELS = ("scores", "roc")
HEIGHT = 3.8


def plot_operating_point(
    data: Captures,
    ood: str | Iterable[str] | None = None,
    *,
    score: str | Callable[[Samples], np.ndarray] = "es",
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
    score : str or callable
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
        score: str | Callable[[Samples], np.ndarray] = "es",
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

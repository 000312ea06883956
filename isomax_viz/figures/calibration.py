"""Temperature: reliability diagrams, and what a temperature does to fit, doubt and detection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, NullLocator, PercentFormatter

from isomax_viz._common.checks import check_number
from isomax_viz.analysis.calibration import (
    at_temperature,
    calibration_error,
    decided_probabilities,
    fit_temperature,
    negative_log_likelihood,
    reliability_table,
    temperature_table,
)
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.catalog import style
from isomax_viz.catalog.style import SPARE_STYLES, loss_style
from isomax_viz.figures._canvas import Caption, attach, drawing, small, title_pad, write_note
from isomax_viz.figures._curves import set_percent_axis
from isomax_viz.figures._fixed import add_panel, fixed_figure
from isomax_viz.figures._words import check_table, known, note, number, percent, titles

__all__ = ["plot_reliability", "plot_temperature"]

BINS = 15
TEMPERATURES = np.geomspace(0.02, 5.0, 31)
_COLUMNS = ("temperature", "cross_entropy", "entropy", "ES", "MPS")
_DARK = "#1a1a1a"


def plot_reliability(
    capture: Capture,
    *,
    temperature: float = 1.0,
    bins: int = BINS,
    binning: str = "width",
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw how often the network was right against how sure it was, bin by bin (a reliability diagram).

    Parameters
    ----------
    capture : Capture
        Its test samples are used.
    temperature : float
        Divides the logits first.
    bins, binning
        See :func:`isomax_viz.analysis.calibration.reliability_table`.
    theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.bar`.

    Returns
    -------
    Axes

    Notes
    -----
    Bars below the diagonal: more sure than right (overconfident). The expected calibration error in the title line
    depends on the bins, so it names them.

    Examples
    --------
    >>> capture = Capture.from_arrays([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]], [0, 0, 1], loss="softmax")
    >>> plot_reliability(capture).get_xlabel()
    'confidence: probability of the predicted class'
    """
    test = at_temperature(capture, temperature).test
    confidences, correct = decided_probabilities(test), test.predictions == test.labels
    table = reliability_table(confidences, correct, bins=bins, binning=binning)
    error = calibration_error(confidences, correct, bins=bins, binning=binning)
    loss = negative_log_likelihood(capture.test.logits, capture.test.labels, temperature=temperature)
    with drawing(ax, theme=theme, size=(4.4, 4.4)) as axes:
        look = {"color": loss_style(capture.loss).color, "alpha": 0.75, "edgecolor": "white", "linewidth": 0.6}
        width = (table["right"] - table["left"]).to_numpy()
        axes.bar(table["left"].to_numpy(), table["accuracy"].to_numpy(), width, align="edge", **(look | kwargs))
        axes.plot([0, 1], [0, 1], color="#7a7a7a", linewidth=1.0, linestyle=(0, (4, 3)), zorder=3)
        axes.plot(
            table["confidence"].to_numpy(), table["accuracy"].to_numpy(), linestyle="none", marker="o", zorder=4,
            markersize=4.5, color=_DARK, markeredgecolor="white", gid="bins",
        )  # fmt: skip
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MultipleLocator(0.2))
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        axes.set_xlabel("confidence: probability of the predicted class")
        axes.set_ylabel("accuracy in the bin")
        # Equal confidences share a bin of equal count, so there may be fewer than asked for.
        number_of = bins if binning == "width" else len(table)
        kind = f"{number_of} bin{'s' * (number_of > 1)} of equal {binning}"
        words = f"ECE {percent(error)} ({kind}), NLL {number(loss)}"
        axes.annotate(words, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", fontsize=small())
        parts = (*titles(capture.loss, capture.meta.get("data"), []), f"temperature {number(temperature)}")
        alt = f"{', '.join(parts)}: mean confidence {percent(float(confidences.mean()))}, "
        alt += f"accuracy {percent(test.accuracy)}, {words}."
        told = note(pd.DataFrame([source(capture)]))
        return attach(axes, Caption(parts, told, alt, pad=title_pad(1)), own=ax is None)


def plot_temperature(
    capture: Capture,
    *,
    temperature: float = 1.0,
    bins: int = BINS,
    table: pd.DataFrame | None = None,
    theme: str = "paper",
) -> Figure:
    """Draw what a temperature does: to the probabilities, to their calibration, and to detection.

    Parameters
    ----------
    capture : Capture
        With out-of-distribution sets.
    temperature : float
        The one to mark, and that of the reliability diagram.
    bins : int
        Of equal width.
    table : DataFrame, optional
        What :func:`isomax_viz.analysis.calibration.temperature_table` made of the capture, where it is at hand.
    theme : {"paper", "talk"}
        Text and line sizes.

    Returns
    -------
    Figure
        Reliability diagram at the temperature; mean cross-entropy and entropy, and the AUROC of two scores, over the
        temperature. Dotted lines: the temperature of the training (1 over the entropic scale), that of detection (1),
        and the one that fits the test labels best.

    Examples
    --------
    >>> logits = [[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]
    >>> capture = Capture.from_arrays(logits, [0, 0, 1, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> len(plot_temperature(capture).axes)
    3
    """
    check_number("temperature", temperature, above=0)
    table = temperature_table(capture, TEMPERATURES, bins=bins) if table is None else table
    check_table(table, _COLUMNS, "temperature_table", module="calibration")
    table = table.sort_values("temperature")
    marks = _marks(capture)
    with style.context(theme):
        figure = fixed_figure(11.6, 4.5)
        plot_reliability(capture, temperature=temperature, bins=bins, ax=add_panel(figure, 0.75, 0.75, 3.0, 3.0))
        middle = add_panel(figure, 4.75, 0.75, 2.7, 3.0)
        curves = (("cross_entropy", "cross-entropy (NLL)"), ("entropy", "entropy"))
        _draw_over(middle, table, curves, temperature, marks, "nats, mean over the test images", up=True)
        _legend_above(middle)
        top = np.log(capture.test.classes)
        middle.set_ylim(0, 1.45 * top)
        middle.axhline(top, color="#B0B0B0", linewidth=0.8, zorder=1)
        middle.annotate("log K", (1, top), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                        va="center", fontsize=small() - 1, color="#767676")  # fmt: skip
        here = temperature_table(capture, [temperature], ood=[], bins=bins).iloc[0]
        words = f"cross-entropy {number(here['cross_entropy'])}, entropy {number(here['entropy'])} nats"
        alt = f"At temperature {number(temperature)}: {words}."
        attach(middle, Caption(("fit and doubt",), alt=alt, pad=title_pad(1)), own=False)
        _draw_detection(add_panel(figure, 8.5, 0.75, 2.7, 3.0), table, temperature, marks)
        write_note(figure, note(pd.DataFrame([source(capture)])))
    return figure


def _draw_detection(ax: Axes, table: pd.DataFrame, temperature: float, marks: dict[str, float]) -> None:
    label = "AUROC, mean over the OOD sets"
    _draw_over(ax, table, (("ES", "ES"), ("MPS", "MPS")), temperature, marks, label)
    _legend_above(ax)
    set_percent_axis(ax, label)
    if table["ES"].isna().all():
        alt = "There is no out-of-distribution set to detect."
        ax.text(0.5, 0.6, "no OOD set", transform=ax.transAxes, ha="center", color="#767676")
    else:
        low = min(table["ES"].min(), table["MPS"].min())
        ax.set_ylim(max(0.0, min(low, 0.99) - 0.25 * (1 - low)), 1.002)
        best = table.loc[table["ES"].idxmax()]
        alt = f"AUROC of ES is largest ({percent(best['ES'])}) at temperature {number(best['temperature'])}."
    attach(ax, Caption(("detection",), alt=alt, pad=title_pad(1)), own=False)


def _legend_above(ax: Axes) -> None:
    """Write the legend between title and axes, where no curve or mark can be."""
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize=small(), frameon=False, borderpad=0.2,
              borderaxespad=0, handlelength=1.8, columnspacing=1.2)  # fmt: skip


def _marks(capture: Capture) -> dict[str, float]:
    """Return the temperatures that mean something for this network, as seen from the logits of the capture."""
    scale = capture.meta.get("entropic_scale")
    recorded = 1 / float(capture.meta.get("logits_divided_by", 1.0))  # see at_temperature
    marks = {"training": recorded / float(scale)} if known(scale) and scale else {}
    marks["detection"] = recorded
    try:
        marks["fitted"] = fit_temperature(capture.test.logits, capture.test.labels)
    except ValueError:  # none fits, for instance because no test image is misclassified
        pass
    return marks


def _draw_over(
    ax: Axes,
    table: pd.DataFrame,
    curves: Sequence[tuple[str, str]],
    temperature: float,
    marks: dict[str, float],
    label: str,
    *,
    up: bool = False,
) -> None:
    x = table["temperature"].to_numpy()
    for (column, words), look in zip(curves, SPARE_STYLES, strict=False):
        y = table[column].to_numpy()
        ax.plot(x, y, color=look.color, linestyle=look.linestyle, linewidth=1.8, label=words)
        at = float(np.interp(np.log(temperature), np.log(x), y))
        ax.plot([temperature], [at], marker="o", markersize=8, color=look.color, markeredgecolor="white", zorder=6)
    ax.axvline(temperature, color=_DARK, linewidth=1.2, zorder=2)
    ax.set_xscale("log")
    ax.set_xlim(x[0], x[-1])
    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if x[0] <= tick <= x[-1] * 1.001]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
    ax.xaxis.set_minor_locator(NullLocator())
    named: list[tuple[float, str]] = []
    for name, value in sorted(marks.items(), key=lambda item: item[1]):
        if x[0] <= value <= x[-1]:
            ax.axvline(value, color="#767676", linewidth=1.0, linestyle=":", zorder=1)
            # Marks that are too near each other for names side by side share one.
            near = bool(named) and np.log(value / named[-1][0]) < 0.05 * np.log(x[-1] / x[0])
            named = [*named[:-1], (value, f"{named[-1][1]}, {name}")] if near else [*named, (value, name)]
    for value, name in named:
        # Upright, where the curves are not: along the dotted line, not across its neighbours.
        ax.annotate(name, (value, 0.985 if up else 0.02), (2, 0), xycoords=("data", "axes fraction"), rotation=90,
                    textcoords="offset points", va="top" if up else "bottom", fontsize=small() - 1, color="#4D4D4D",
                    annotation_clip=False)  # fmt: skip
    ax.set_xlabel("temperature")
    ax.set_ylabel(label)

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
    scale_table,
    temperature_table,
)
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.catalog import style
from isomax_viz.catalog.style import OKABE_ITO, SPARE_STYLES, loss_style
from isomax_viz.figures._canvas import Caption, add_panel, attach, drawing, fixed_figure, small, title_pad, write_note
from isomax_viz.figures._words import check_table, known, note, number, percent, titles
from isomax_viz.figures.studies import set_percent_axis

__all__ = ["plot_reliability", "plot_simplex", "plot_temperature"]

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
    loss = negative_log_likelihood(capture.test.require("logits"), capture.test.labels, temperature=temperature)
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
        here = temperature_table(capture.replace(ood={}), [temperature], bins=bins).iloc[0]
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
        marks["fitted"] = fit_temperature(capture.test.require("logits"), capture.test.labels)
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


_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def plot_simplex(
    logits: Sequence[float] = (-0.2, -0.5, -0.8),
    *,
    label: int = 0,
    scale: float = 1.0,
    entropic_scale: float = 10.0,
    theme: str = "paper",
) -> Figure:
    """Draw one sample of three classes on its way over the simplex while its logits are multiplied by a scale.

    Parameters
    ----------
    logits : sequence of three float
        For detection; for IsoMax minus the distances to three prototypes.
    label : int
        The correct class: 0, 1 or 2.
    scale : float
        The scale to mark, at least 0; it is 1 over the temperature.
    entropic_scale : float
        That of the training, marked too.
    theme : {"paper", "talk"}
        Text and line sizes.

    Returns
    -------
    Figure
        Left the simplex with the entropy as background: corners are certainty, the middle is doubt. Right entropy and
        cross-entropy over the scale.

    Raises
    ------
    ValueError
        If there are not three logits.

    Examples
    --------
    >>> [ax.get_title(loc="left") for ax in plot_simplex().axes if ax.get_title(loc="left")]
    ['probabilities of three classes', 'entropy and cross-entropy']
    """
    if len(logits) != 3:
        raise ValueError(f"logits must have three numbers, one per corner of the simplex, but has {len(logits)}.")
    check_number("scale", scale, at_least=0)
    check_number("entropic_scale", entropic_scale, above=0)
    last = max(2.0 * entropic_scale, scale)
    path = scale_table(logits, label, np.concatenate([np.linspace(0, 1, 40), np.geomspace(1, last, 200)[1:]]))
    marked = scale_table(logits, label, [1.0, entropic_scale, scale])
    with style.context(theme):
        figure = fixed_figure(9.6, 4.4)
        _draw_simplex(add_panel(figure, 0.35, 0.45, 4.0, 3.45), path, marked, label, (1.0, entropic_scale, scale))
        _draw_scales(add_panel(figure, 6.1, 0.75, 3.2, 3.0), path, marked, entropic_scale, scale)
    return figure


def _draw_simplex(ax: Axes, path: pd.DataFrame, marked: pd.DataFrame, label: int, scales: tuple[float, ...]) -> None:
    # A fine triangular grid; entropy is computed on it, not interpolated from a coarse one.
    n = 60
    steps = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
    entropy = -(steps * np.log(np.where(steps > 0, steps, 1))).sum(axis=1)
    x, y = (steps @ _CORNERS).T
    shades = ax.tricontourf(x, y, entropy, levels=24, cmap="cividis_r")
    bar = ax.get_figure().colorbar(shades, ax=ax, fraction=0.045, pad=0.1, ticks=MultipleLocator(0.25))
    bar.set_label("entropy (nats)")
    bar.outline.set_visible(False)
    way = path[["p0", "p1", "p2"]].to_numpy() @ _CORNERS
    ax.plot(way[:, 0], way[:, 1], color="white", linewidth=2.6, zorder=3)
    ax.plot(way[:, 0], way[:, 1], color=_DARK, linewidth=1.3, zorder=4)
    points = marked[["p0", "p1", "p2"]].to_numpy() @ _CORNERS
    names = (f"scale 1: detection ({_numbers(marked, 0)})", f"scale {scales[1]:g}: training ({_numbers(marked, 1)})")
    for place, (name, marker) in enumerate(zip((*names, f"scale {scales[2]:.3g}: chosen"), "s^o", strict=True)):
        size, color = (12, OKABE_ITO["vermillion"]) if marker == "o" else (8, "white")
        ax.plot(*points[place], linestyle="none", marker=marker, markersize=size, color=color, label=name, zorder=5,
                markeredgecolor=_DARK)  # fmt: skip
    for number_, ((left, bottom), side) in enumerate(zip(_CORNERS, ("right", "left", "center"), strict=True)):
        words = f"class {number_}" + (" (correct)" if number_ == label else "")
        up = 0.03 if number_ == 2 else -0.07
        ax.text(left, bottom + up, words, ha={"right": "left", "left": "right"}.get(side, side), fontsize=small())
    ax.legend(loc="upper left", bbox_to_anchor=(-0.05, 1.02), fontsize=7.5)
    ax.set(xlim=(-0.06, 1.06), ylim=(-0.1, 1.06), aspect="equal")
    ax.axis("off")
    ax.set_axis_on()
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    alt = f"Probabilities at scale {scales[2]:.3g}: {_numbers(marked, 2)}; at scale 1: {_numbers(marked, 0)}."
    attach(ax, Caption(("probabilities of three classes",), alt=alt), own=False)


def _numbers(marked: pd.DataFrame, row: int) -> str:
    return ", ".join(f"{value:.2f}" for value in marked[["p0", "p1", "p2"]].iloc[row])


def _draw_scales(ax: Axes, path: pd.DataFrame, marked: pd.DataFrame, entropic_scale: float, scale: float) -> None:
    for column, words, look in (
        ("cross_entropy", "cross-entropy", SPARE_STYLES[0]),
        ("entropy", "entropy", SPARE_STYLES[1]),
    ):
        values = path[column].to_numpy()
        ax.plot(
            path["scale"].to_numpy(), values, color=look.color, linestyle=look.linestyle, linewidth=1.8, label=words
        )
        ax.plot(
            [scale],
            [marked[column].iloc[2]],
            marker="o",
            markersize=8,
            color=look.color,
            markeredgecolor="white",
            zorder=6,
        )
    ax.axvline(scale, color=_DARK, linewidth=1.2, zorder=2)
    for value, words in ((1.0, "detection"), (entropic_scale, "training")):
        ax.axvline(value, color="#767676", linewidth=1.0, linestyle=":", zorder=1)
        # Upright: across, the words would meet the line of a chosen scale nearby.
        ax.annotate(words, (value, 0.985), (2, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
                    rotation=90, va="top", fontsize=small() - 1, color="#4D4D4D")  # fmt: skip
    ax.axhline(np.log(3), color="#B0B0B0", linewidth=0.8, zorder=1)
    ax.annotate("log 3", (1, np.log(3)), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                va="center", fontsize=small() - 1, color="#767676")  # fmt: skip
    ax.set(xlim=(0, path["scale"].max()), ylim=(0, 1.25 * max(np.log(3), float(path["cross_entropy"].max()))))
    ax.set_xlabel("scale on the logits (1 / temperature)")
    ax.set_ylabel("nats")
    ax.legend(loc="center right", fontsize=8)
    at = marked.iloc[2]
    alt = f"At scale {scale:.3g}: cross-entropy {number(at['cross_entropy'])}, entropy {number(at['entropy'])} nats."
    attach(ax, Caption(("entropy and cross-entropy",), alt=alt), own=False)

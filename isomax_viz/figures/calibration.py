"""Temperature: reliability diagrams, and what a temperature does to fit, doubt and detection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, MultipleLocator, NullLocator, PercentFormatter

from isomax_viz._common.checks import check_number
from isomax_viz.analysis import calibration
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import note, source
from isomax_viz.catalog.style import OKABE_ITO, SPARE_STYLES, known, loss_style, number, percent, titles
from isomax_viz.figures import _canvas as canvas
from isomax_viz.figures.studies import set_percent_axis

__all__ = ["plot_reliability", "plot_simplex", "plot_temperature", "temperature_marks"]

BINS = 15
MOST_COUNTS = 16  # more bins have no room for numbers
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
    canvas.check_options(plot_reliability, kwargs, Rectangle, Axes.bar)
    canvas.check_capture(plot_reliability, capture)
    test = calibration.at_temperature(capture, temperature).test
    confidences, correct = calibration.decided_probabilities(test), test.predictions == test.labels
    table = calibration.reliability_table(confidences, correct, bins=bins, binning=binning)
    error = calibration.calibration_error(confidences, correct, bins=bins, binning=binning)
    loss = calibration.negative_log_likelihood(capture.test.logits, test.labels, temperature=temperature)
    with canvas.drawing(ax, theme=theme, size=(4.4, 4.4)) as axes:
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
        axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal", anchor="SW")
        if len(table) <= MOST_COUNTS:
            axes.set_ylim(0, 1.2)
            axes.spines["left"].set_bounds(0, 1)
            axes.yaxis.set_major_locator(FixedLocator(np.linspace(0, 1, 6)))
            for row in table.to_dict("records"):  # above every bar: none is higher than 1
                place = (row["left"] + row["right"]) / 2, 1.04
                axes.annotate(f"{row['n']:,}", place, rotation=90, ha="center", size=0.8 * canvas.small(), gid="count")
        axes.set_xlabel("confidence: probability of the predicted class")
        axes.set_ylabel("accuracy in the bin (above: images)" if len(table) <= MOST_COUNTS else "accuracy in the bin")
        # Equal confidences share a bin of equal count, so there may be fewer than asked for.
        number_of = bins if binning == "width" else len(table)
        kind = f"{number_of} bin{'s' * (number_of > 1)} of equal {binning}"
        words = f"ECE {percent(error)} ({kind}), NLL {number(loss)}"
        parts = (*titles(capture.loss, capture.meta.get("data"), []), f"temperature {number(temperature)}")
        alt = f"{', '.join(parts)}: mean confidence {percent(float(confidences.mean()))}, "
        alt += f"accuracy {percent(test.accuracy)}, {words}."
        told = note(pd.DataFrame([source(capture)]))
        return canvas.attach(axes, canvas.Caption(parts, told, alt, (words,)), own=ax is None)


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
    canvas.check_capture(plot_temperature, capture)
    check_number("temperature", temperature, above=0)
    table = calibration.temperature_table(capture, TEMPERATURES, bins=bins) if table is None else table
    table = canvas.as_table(plot_temperature, table, calibration.temperature_table, _COLUMNS, module="iv.calibration")
    table, marks = table.sort_values("temperature"), temperature_marks(capture)
    here = calibration.temperature_table(capture.replace(ood={}), [temperature], bins=bins).iloc[0]
    with canvas.mosaic([["reliability", "fit", "detection"]], 11.6, 4.5, theme=theme, width_ratios=[1.1, 1, 1]) as axes:
        plot_reliability(capture, temperature=temperature, bins=bins, ax=axes["reliability"])
        for name in ("fit", "detection"):
            axes[name].set(xscale="log", xlim=(table["temperature"].min(), table["temperature"].max()))
        curves = {"cross_entropy": "cross-entropy (NLL)", "entropy": "entropy"}
        lines = _draw_over(axes["fit"], table, "temperature", curves, temperature, marks)
        _mark_height(axes["fit"], "log K", top := float(np.log(capture.test.classes)))
        axes["fit"].set(ylim=(0, 1.2 * top), ylabel="nats, mean over the test images")
        words = f"cross-entropy {number(here['cross_entropy'])}, entropy {number(here['entropy'])} nats"
        alt = f"At temperature {number(temperature)}: {words}."
        canvas.attach(axes["fit"], canvas.Caption(("fit and doubt",), alt=alt, lines=lines), own=False)
        lines = _draw_over(axes["detection"], table, "temperature", {"ES": "ES", "MPS": "MPS"}, temperature, marks)
        caption = canvas.Caption(("detection",), alt=_say_auroc(axes["detection"], table), lines=lines)
        canvas.attach(axes["detection"], caption, own=False)
    return axes["fit"].get_figure(root=True)


def _say_auroc(ax: Axes, table: pd.DataFrame) -> str:
    """Set an axis of AUROC, and return what it shows in words."""
    set_percent_axis(ax, "AUROC, mean over the OOD sets")
    if table["ES"].isna().all():
        ax.text(0.5, 0.6, "no OOD set", transform=ax.transAxes, ha="center", color=canvas.GREY)
        return "There is no out-of-distribution set to detect."
    low = min(table["ES"].min(), table["MPS"].min())
    ax.set_ylim(max(0.0, min(low, 0.99) - 0.1 * (1 - low)), 1.002)
    best = table.loc[table["ES"].idxmax()]
    return f"AUROC of ES is largest ({percent(best['ES'])}) at temperature {number(best['temperature'])}."


def temperature_marks(capture: Capture) -> dict[str, float]:
    """Return the temperatures that mean something for this network, as seen from the logits of the capture."""
    scale = capture.meta.get("entropic_scale")
    recorded = 1 / float(capture.meta.get("logits_divided_by", 1.0))  # see at_temperature
    marks = {"training": recorded / float(scale)} if known(scale) and scale else {}
    marks["detection"] = recorded
    with suppress(ValueError):  # none fits, for instance because no test image is misclassified
        marks["fitted"] = calibration.fit_temperature(capture.test.require("logits"), capture.test.labels)
    return marks


def _draw_over(
    ax: Axes, table: pd.DataFrame, over: str, curves: dict[str, str], chosen: float, marks: dict[str, float]
) -> tuple[str, ...]:
    """Draw curves with a point on each at the chosen place and dotted lines at the marks, and return their names."""
    x, place = table[over].to_numpy(), np.log if ax.get_xscale() == "log" else np.asarray
    for (column, words), look in zip(curves.items(), SPARE_STYLES, strict=False):
        y = table[column].to_numpy()
        ax.plot(x, y, color=look.color, linestyle=look.linestyle, linewidth=1.8, label=words)
        point = {"marker": "o", "markersize": 8, "color": look.color, "markeredgecolor": "white", "zorder": 6}
        ax.plot([chosen], [np.interp(place(chosen), place(x), y)], **point)
    ax.axvline(chosen, color=_DARK, linewidth=1.2, zorder=2)
    shown = {name: value for name, value in sorted(marks.items(), key=lambda item: item[1]) if x[0] <= value <= x[-1]}
    for name, value in shown.items():
        ax.axvline(value, color=canvas.GREY, linewidth=1.0, linestyle=":", zorder=1, gid=name)
    if ax.get_xscale() == "log":
        ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if x[0] <= tick <= x[-1] * 1.001]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(over)
    canvas.draw_legend(ax, *ax.get_legend_handles_labels())
    # Their names stand above the axes, where no curve can be.
    return (f"dotted: {', '.join(f'{name} {number(value)}' for name, value in shown.items())}",) if shown else ()


def _mark_height(ax: Axes, words: str, height: float) -> None:
    """Draw a horizontal line with its name at its right end, outside the axes."""
    ax.axhline(height, color="#B0B0B0", linewidth=0.8, zorder=1)
    ax.annotate(words, (1, height), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                va="center", fontsize=canvas.small(), color=canvas.GREY)  # fmt: skip


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
    scales = np.concatenate([np.linspace(0, 1, 40), np.geomspace(1, last, 200)[1:]])
    path = calibration.scale_table(logits, label, scales)
    marked = calibration.scale_table(logits, label, [1.0, entropic_scale, scale])
    with canvas.mosaic([["simplex", "scales"]], 9.6, 4.8, theme=theme, width_ratios=[1.3, 1]) as axes:
        _draw_simplex(axes["simplex"], path, marked, label, (1.0, entropic_scale, scale))
        ax, marks = axes["scales"], {"detection": 1.0, "training": entropic_scale}
        lines = _draw_over(ax, path, "scale", {"cross_entropy": "cross-entropy", "entropy": "entropy"}, scale, marks)
        _mark_height(ax, "log 3", float(np.log(3)))
        ax.set(xlim=(0, last), ylim=(0, 1.08 * max(np.log(3), float(path["cross_entropy"].max()))))
        ax.set(xlabel="scale on the logits (1 / temperature)", ylabel="nats")
        here = f"cross-entropy {number(marked['cross_entropy'].iloc[2])}, entropy {number(marked['entropy'].iloc[2])}"
        alt = f"At scale {scale:.3g}: {here} nats."
        canvas.attach(ax, canvas.Caption(("entropy and cross-entropy",), alt=alt, lines=lines), own=False)
    return axes["simplex"].get_figure(root=True)


def _draw_simplex(ax: Axes, path: pd.DataFrame, marked: pd.DataFrame, label: int, scales: tuple[float, ...]) -> None:
    # A fine triangular grid; entropy is computed on it, not interpolated from a coarse one.
    n = 60
    steps = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
    entropy = -(steps * np.log(np.where(steps > 0, steps, 1))).sum(axis=1)
    x, y = (steps @ _CORNERS).T
    shades = ax.tricontourf(x, y, entropy, levels=24, cmap="cividis_r")
    bar = ax.get_figure().colorbar(shades, ax=ax, shrink=0.8, ticks=MultipleLocator(0.25))
    bar.set_label("entropy (nats)")
    bar.outline.set_visible(False)
    way = path[["p0", "p1", "p2"]].to_numpy() @ _CORNERS
    ax.plot(way[:, 0], way[:, 1], color="white", linewidth=2.6, zorder=3)
    ax.plot(way[:, 0], way[:, 1], color=_DARK, linewidth=1.3, zorder=4)
    points = marked[["p0", "p1", "p2"]].to_numpy() @ _CORNERS
    names = (f"scale 1: detection ({_numbers(marked, 0)})", f"scale {scales[1]:g}: training ({_numbers(marked, 1)})")
    for place, (name, marker) in enumerate(zip((*names, f"scale {scales[2]:.3g}: chosen"), "s^o", strict=True)):
        size, color = (12, OKABE_ITO["vermillion"]) if marker == "o" else (8, "white")
        look = {"linestyle": "none", "marker": marker, "markersize": size, "markeredgecolor": _DARK, "zorder": 5}
        ax.plot(*points[place], color=color, label=name, **look)
    for number_of, ((left, bottom), side) in enumerate(zip(_CORNERS, ("left", "right", "center"), strict=True)):
        words = f"class {number_of} (correct)" if number_of == label else f"class {number_of}"
        up, va = (0.02, "bottom") if side == "center" else (-0.05, "top")
        ax.text(left, bottom + up, words, ha=side, va=va, fontsize=canvas.small())
    canvas.draw_legend(ax, *ax.get_legend_handles_labels())
    ax.set(xlim=(-0.06, 1.06), ylim=(-0.15, 1.0), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    alt = f"Probabilities at scale {scales[2]:.3g}: {_numbers(marked, 2)}; at scale 1: {_numbers(marked, 0)}."
    canvas.attach(ax, canvas.Caption(("probabilities of three classes",), alt=alt), own=False)


def _numbers(marked: pd.DataFrame, row: int) -> str:
    return ", ".join(f"{value:.2f}" for value in marked[["p0", "p1", "p2"]].iloc[row])

"""The simplex: the probabilities of one sample of three classes while its logits are multiplied by a scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from isomax_viz._common.checks import check_number
from isomax_viz.analysis.calibration import scale_table
from isomax_viz.catalog import style
from isomax_viz.catalog.style import OKABE_ITO, SPARE_STYLES
from isomax_viz.figures._canvas import Caption, attach, small
from isomax_viz.figures._fixed import add_panel, fixed_figure
from isomax_viz.figures._words import number

__all__ = ["plot_simplex"]

_DARK = "#1a1a1a"
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
    for number_, ((left, bottom), place) in enumerate(zip(_CORNERS, ("right", "left", "center"), strict=True)):
        words = f"class {number_}" + (" (correct)" if number_ == label else "")
        up = 0.03 if number_ == 2 else -0.07
        ax.text(left, bottom + up, words, ha={"right": "left", "left": "right"}.get(place, place), fontsize=small())
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

"""The blocks of a loss, and the artefacts that they leave in feature space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.contour import ContourSet
from matplotlib.patches import Circle, FancyBboxPatch

from isomax_viz.analysis.loss_blocks import CENTRES, EXTENT, loss_blocks_table, plane_table
from isomax_viz.catalog.losses import LOSSES
from isomax_viz.catalog.style import loss_style
from isomax_viz.figures._canvas import Caption, as_table, attach, check_options, drawing, small

__all__ = ["plot_loss_blocks"]

COLUMNS = ("loss", "place", "block", "formula", "artefact")
LEVELS = np.linspace(1 / 3, 1, 13)


def plot_loss_blocks(
    data: str | pd.DataFrame = "softmax", *, theme: str = "paper", ax: Axes | None = None, **kwargs: Any
) -> Axes:
    """Draw the blocks of a loss beside its maximum probability over a plane of two features.

    Parameters
    ----------
    data : str or DataFrame
        Key of a loss, or the table that :func:`~isomax_viz.analysis.loss_blocks.loss_blocks_table` made.
    theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.contourf` of the plane.

    Returns
    -------
    Axes
        Blocks on the left, from the features up; on the right three classes on a plane, bright where the loss is
        certain: arrows are SoftMax's weight vectors, crosses prototypes, dashed lines the borders between classes.

    Raises
    ------
    ValueError
        If the loss is unknown.

    Notes
    -----
    Source: DisMax paper (2019), Figure 1 (its DisMax loss is IsoMax). The plane is made up, not learned; see
    :func:`~isomax_viz.analysis.loss_blocks.plane_table`. Both losses side by side:
    ``iv.plot_grid(iv.plot_loss_blocks, ["softmax", "isomax"])``.

    Examples
    --------
    >>> ax = plot_loss_blocks("isomax")
    >>> ax.get_title(loc="left"), [text.get_text() for text in ax.texts if text.get_gid() == "block"][0]
    ('IsoMax loss', 'features')
    """
    check_options(plot_loss_blocks, kwargs, ContourSet, ContourSet.__init__)
    table = as_table(plot_loss_blocks, data, loss_blocks_table, COLUMNS, module="isomax_viz.analysis.loss_blocks")
    loss = str(table["loss"].iloc[0])
    with drawing(ax, theme=theme, size=(7.0, 0.78 * len(table))) as axes:  # room for two lines a block
        axes.set(xlim=(0, 1), ylim=(-0.03, 1))
        axes.set_axis_off()
        for row in table.to_dict("records"):
            _draw_block(axes, row, len(table))
        inside = axes.inset_axes((0.56, 0.16, 0.44, 0.84))
        _draw_plane(inside, loss, kwargs)
        artefact = next(text for text in table["artefact"] if text)
        axes.text(0.78, 0.12, artefact, ha="center", va="top", fontsize=small(), gid="artefact")
        chain = "; ".join(table["block"])
        alt = f"Blocks of the {loss_style(loss).label} loss: {chain}. In feature space it leaves {artefact}."
        return attach(axes, Caption((f"{loss_style(loss).label} loss",), "", alt), own=ax is None)


def _draw_block(ax: Axes, row: dict[str, Any], total: int) -> None:
    step = 1 / total
    bottom, height = row["place"] * step, 0.8 * step
    learned = bool(row["artefact"])
    color = loss_style(row["loss"]).color
    ax.add_patch(
        FancyBboxPatch(
            (0.01, bottom), 0.48, height, boxstyle="round,pad=0,rounding_size=0.015", linewidth=1.8 if learned else 0.8,
            edgecolor=color, facecolor=to_rgba(color, 0.16 if learned else 0.04), zorder=2,
        )
    )  # fmt: skip
    middle = bottom + height / 2
    words = {"ha": "center", "fontsize": small(), "zorder": 3}
    ax.text(0.25, middle + 0.07 * step, row["block"], va="bottom", gid="block", **words)
    ax.text(0.25, middle + 0.03 * step, f"${row['formula']}$", va="top", gid="formula", **words)
    if row["place"] + 1 < total:
        arrow = {"arrowstyle": "-|>", "color": "#4D4D4D", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (0.25, bottom + step), (0.25, bottom + height), arrowprops=arrow, zorder=1)


def _draw_plane(ax: Axes, loss: str, options: dict[str, Any]) -> None:
    plane, known = plane_table(loss), LOSSES[loss]
    side = int(np.sqrt(len(plane)))
    x, y, certain, *leads = (plane[name].to_numpy().reshape(side, side) for name in plane.columns if name != "loss")
    drawn = ax.contourf(x, y, certain, **({"levels": LEVELS, "cmap": "cividis"} | options))
    for lead in leads:
        ax.contour(x, y, lead, levels=[0], colors="white", linewidths=1.0, linestyles="dashed")
    for centre in CENTRES:
        if not known.prototypes:
            ax.annotate("", centre, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "white", "linewidth": 1.6})
            continue
        ax.plot(*centre, marker="X", color="white", markeredgecolor="black", markersize=8)
        if known.geometry == "distance":
            for radius in (1.0, 2.0):
                ax.add_patch(Circle(centre, radius, fill=False, edgecolor="white", linewidth=0.6, alpha=0.8))
    if known.unit_vectors:
        ax.add_patch(Circle((0, 0), float(np.linalg.norm(CENTRES[0])), fill=False, edgecolor="white", linewidth=0.8))
    ax.set(aspect="equal", anchor="S", xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT), xticks=[], yticks=[])
    bar = ax.get_figure(root=True).colorbar(drawn, cax=ax.inset_axes((1.04, 0, 0.05, 1)), ticks=[0.4, 0.6, 0.8, 1.0])
    bar.set_label("maximum probability", fontsize=small())
    bar.ax.tick_params(labelsize=small())

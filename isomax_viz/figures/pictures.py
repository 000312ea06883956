"""The pictures themselves, one row per set: no number about a data set replaces a look at it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from isomax_viz._common.checks import check_number
from isomax_viz.catalog.style import data_style
from isomax_viz.datasets import ImageSet
from isomax_viz.figures._canvas import Caption, attach, drawing

__all__ = ["plot_pictures"]

GAP = 0.96  # share of its place that a picture fills


def plot_pictures(
    sets: ImageSet | Sequence[ImageSet],
    *,
    columns: int = 12,
    seed: int = 0,
    ax: Axes | None = None,
    theme: str = "paper",
) -> Axes:
    """Draw random pictures of each set, one row per set.

    Parameters
    ----------
    sets : ImageSet or sequence of ImageSet
        All of the same size, as a network would see them; see :meth:`~isomax_viz.datasets.ImageSet.matched_to`.
    columns : int
        Pictures per set; a smaller set shows all it has.
    seed : int
        Which pictures are drawn.
    ax : Axes, optional
        Where to draw; by default a new figure.
    theme : {"paper", "talk"}
        Settings of a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is no set, or the sets differ in size.

    Examples
    --------
    >>> from isomax_viz import datasets
    >>> digits = datasets.load_id("digits").test
    >>> ax = plot_pictures([digits, datasets.load_ood("letters", digits)], columns=5)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['digits', 'letters']
    """
    listed = [sets] if isinstance(sets, ImageSet) else list(sets)
    check_number("columns", columns, at_least=1, whole=True)
    sizes = {item.size for item in listed}
    if len(sizes) != 1:
        told = ", ".join(f"{item.name} {item.size[0]}x{item.size[1]}" for item in listed) or "no set at all"
        raise ValueError(f"sets must be pictures of one size, but are {told}. Bring them to one with matched_to().")
    height, width = sizes.pop()
    rng = np.random.default_rng(seed)
    side = 6.6 * 0.84 / columns  # inches
    with drawing(ax, theme=theme, size=(6.6, max(1.0, 0.45 + side * len(listed) * height / width))) as axes:
        for row, item in enumerate(listed):
            chosen = rng.choice(len(item), size=min(columns, len(item)), replace=False)
            for column, place in enumerate(chosen):
                extent = (column, column + GAP, row + GAP, row)
                axes.imshow(item.images[place], "gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
        axes.set(xlim=(0, columns), ylim=(len(listed), 0), aspect=height / width)
        axes.set_yticks(np.arange(len(listed)) + GAP / 2, [data_style(item.name).label for item in listed])
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        alt = "Random pictures, one row each: " + ", ".join(f"{item.name} (of {len(item):,})" for item in listed) + "."
        return attach(axes, Caption(alt=alt), own=ax is None)

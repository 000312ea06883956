"""The pictures themselves, one row per set: no number about a data set replaces a look at it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from isomax_viz._common.checks import check_number
from isomax_viz.catalog import style
from isomax_viz.catalog.style import data_style, plain
from isomax_viz.datasets import ImageSet
from isomax_viz.figures._canvas import DPI, CanvasFigure, Caption, attach, drawing, png

__all__ = ["image_sheet", "plot_pictures"]

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


def image_sheet(
    images: np.ndarray,
    captions: Sequence[Sequence[str]],
    *,
    colors: Sequence[str] | None = None,
    columns: int = 8,
    side: int = 96,
) -> bytes:
    """Return a PNG of pictures in rows, each enlarged to the same side, framed in a colour, words below.

    Parameters
    ----------
    images : array of uint8, shape (n, height, width, 1 or 3)
        Small pictures are enlarged pixel by pixel, so that one sees what the network saw.
    captions : sequence of sequences of str
        Lines of words for each picture; longer ones are cut.
    colors : sequence of str, optional
        Colour of each frame.
    columns : int
        Pictures per row.
    side : int
        Side of an enlarged picture in pixels.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If there are not as many captions as pictures, or no picture.

    Examples
    --------
    >>> image_sheet(np.zeros((2, 8, 8, 1), np.uint8), [["7", "0.5"], ["1", "0.4"]])[:4] == bytes([137, 80, 78, 71])
    True
    """
    if len(images) == 0 or len(images) != len(captions):
        raise ValueError(f"captions must have one entry per picture ({len(images)}, not 0), but has {len(captions)}.")
    columns = min(columns, len(images))
    rows, lines = -(-len(images) // columns), max(len(words) for words in captions)
    with style.context():
        step, width = side + 10 + 15 * lines, columns * (side + 10) + 10
        height = rows * step + 10
        figure = CanvasFigure(figsize=(width / DPI, height / DPI), dpi=DPI)
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        for place, (pixels, words) in enumerate(zip(images, captions, strict=True)):
            left, top = place % columns * (side + 10) + 10, place // columns * step + 10
            enlarged = {"extent": (left, left + side, top + side, top), "interpolation": "nearest"}
            ax.imshow(pixels, "gray", vmin=0, vmax=255, **enlarged)
            frame = "#B0B0B0" if colors is None else colors[place]
            ax.add_patch(Rectangle((left - 1, top - 1), side + 2, side + 2, fill=False, edgecolor=frame, linewidth=1.5))
            told = "\n".join(plain(line, most=side // 7) for line in words)
            ax.text(left, top + side + 4, told, va="top", fontsize=7.5, parse_math=False)
        ax.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        return png(figure)

"""The pictures themselves, one row per set: no number about a data set replaces a look at it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from PIL import Image, ImageDraw, ImageFont

from isomax_viz._common.checks import check_number
from isomax_viz.catalog.style import data_style
from isomax_viz.datasets import ImageSet
from isomax_viz.figures._canvas import Caption, attach, drawing, encode_png

__all__ = ["compose", "image_sheet", "plot_pictures"]


def compose(images: np.ndarray, *, columns: int, gap: int = 1, background: int = 255) -> np.ndarray:
    """Return pictures side by side as one picture, row by row.

    Parameters
    ----------
    images : array of uint8, shape (n, height, width, channels)
        One or three channels.
    columns : int
        Pictures per row.
    gap : int
        Pixels between pictures.
    background : int
        Grey value of gaps and of places left over.

    Returns
    -------
    ndarray of uint8, shape (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)

    Examples
    --------
    >>> compose(np.zeros((3, 8, 8, 1), np.uint8), columns=2).shape
    (17, 17, 3)
    """
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap), columns * (width + gap), 3), background, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


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
    (height, width), gap = sizes.pop(), 1
    rng = np.random.default_rng(seed)
    strips: list[Any] = []
    for item in listed:
        chosen = rng.choice(len(item), size=min(columns, len(item)), replace=False)
        strips.append(
            compose(
                np.broadcast_to(item.images[chosen], (len(chosen), height, width, 3))
                if item.channels == 1
                else item.images[chosen],
                columns=columns,
                gap=gap,
            )
        )
    sheet = np.concatenate([np.pad(strip, ((0, gap), (0, 0), (0, 0)), constant_values=255) for strip in strips])[:-gap]
    inches = 6.6
    size = (inches, max(1.0, 0.45 + inches * 0.84 * sheet.shape[0] / sheet.shape[1]))
    with drawing(ax, theme=theme, size=size) as axes:
        axes.imshow(sheet, interpolation="nearest", aspect="equal")
        middles = [i * (height + gap) + (height - 1) / 2 for i in range(len(listed))]
        axes.set_yticks(middles, [data_style(item.name).label for item in listed])
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        alt = "Random pictures, one row each: " + ", ".join(f"{item.name} (of {len(item):,})" for item in listed) + "."
        return attach(axes, Caption(alt=alt), own=ax is None)


GAP = 10
LINE = 15
FONT_SIZE = 12


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
    lines = max(len(words) for words in captions)
    columns = min(columns, len(images))
    width, height = side + GAP, side + lines * LINE + GAP
    sheet = Image.new("RGB", (columns * width + GAP, -(-len(images) // columns) * height + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), _font()
    for place, (pixels, words) in enumerate(zip(images, captions, strict=True)):
        left, top = GAP + place % columns * width, GAP + place // columns * height
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
        larger = picture.width < side
        picture = picture.resize((side, side), Image.Resampling.NEAREST if larger else Image.Resampling.BOX)
        sheet.paste(picture, (left, top))
        frame = "#B0B0B0" if colors is None else colors[place]
        draw.rectangle((left - 2, top - 2, left + side + 1, top + side + 1), outline=frame, width=2)
        for number, line in enumerate(words):
            draw.text((left - 1, top + side + 3 + number * LINE), _cut(line, font, side + 4), "#1a1a1a", font)
    return encode_png(np.asarray(sheet), dpi=96)


@cache
def _font() -> ImageFont.FreeTypeFont:
    # The font of the figures; matplotlib brings it along, so it is there offline, too.
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", FONT_SIZE)


def _cut(words: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    while font.getlength(words) > width:
        words = words.rstrip("…")[:-1] + "…"
    return words

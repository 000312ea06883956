"""Pictures with words below each, composed into one image: cheap for a page, and one thing to save."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from isomax_viz.figures._png import encode_png

__all__ = ["image_sheet"]

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

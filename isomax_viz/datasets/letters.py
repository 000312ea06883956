"""Letters as out-of-distribution data for digits: rendered from bundled fonts, jittered like handwriting.

Scikit-learn's digits were scanned, normalised to binary 32x32 pictures that fill the frame and then counted in blocks
of 4x4. The letters take the same way, so that size, stroke and brightness do not give them away.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from isomax_viz._common.checks import missing_package
from isomax_viz.datasets.images import ImageSet

__all__ = ["LETTERS", "draw_letters"]

LETTERS = tuple("ACEFHKLMNPRUVWX" + "ahkmnr")
# Left out: what a person would read as a digit at 8x8 pixels, or nearly so.
_LEFT_OUT = "B b D G g I i J j l O o Q q S s T Y y Z z"
_FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono.ttf",
    "STIXGeneralItalic.ttf",
    "cmmi10.ttf",
    "cmss10.ttf",
)
_SEED = 10
_FINE = 4  # binary pixels per side of a grey one, as in the digits
_POINTS = 64
_BILINEAR = Image.Resampling.BILINEAR
# Share of inked pixels: mean and spread over the pictures, as measured on the digits.
_INK_MEAN, _INK_SPREAD = 0.305, 0.033


def _font_folder() -> Path:
    try:
        import matplotlib
    except ImportError as error:
        raise missing_package("matplotlib", "render the letters (it bundles the fonts)") from error
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache(maxsize=16)
def _font(name: str) -> Any:
    return ImageFont.truetype(str(_font_folder() / name), _POINTS)


def _ink(letter: str, rng: np.random.Generator) -> Image.Image:
    """Return one letter, white on black, sheared and turned a little and cropped to its ink."""
    font = _font(_FONTS[rng.integers(len(_FONTS))])
    canvas = Image.new("L", (4 * _POINTS, 4 * _POINTS))
    centre = 2 * _POINTS
    ImageDraw.Draw(canvas).text((centre, centre), letter, fill=255, font=font, anchor="mm", stroke_width=1)
    shear, slope = rng.uniform(-0.15, 0.25), rng.uniform(-0.08, 0.08)
    canvas = canvas.transform(
        canvas.size, Image.Transform.AFFINE, (1, shear, -shear * centre, slope, 1, -slope * centre), _BILINEAR
    )
    canvas = canvas.rotate(rng.uniform(-10, 10), _BILINEAR)
    return canvas.crop(canvas.getbbox())


def _draw(letter: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return one grey picture, shape ``size``: a binary one of four times the size, averaged in blocks."""
    ink = _ink(letter, rng)
    height, width = size
    # The digits fill their 8 pixels; in larger frames a margin is usual (MNIST: 20 of 28 pixels).
    box = min(size) if min(size) < 16 else round(min(size) * 20 / 28)
    tall = _FINE * box
    wide = min(max(round(tall * ink.width / ink.height * rng.uniform(0.75, 1.0)), tall // 3), round(tall * 0.9))
    # Around the centre by up to one picture pixel, as far as the frame allows.
    left, upper = (
        round(min(max((_FINE * room - used) / 2 + rng.uniform(-_FINE, _FINE), 0), _FINE * room - used))
        for room, used in ((width, wide), (height, tall))
    )
    canvas = Image.new("L", (_FINE * width, _FINE * height))
    canvas.paste(ink.resize((wide, tall), _BILINEAR), (left, upper))
    values = np.asarray(canvas.filter(ImageFilter.GaussianBlur(box * _FINE / 20)), dtype=np.float64)
    # Cutting the blurred letter at a chosen share of ink makes thin and fat fonts equally thick and rounds their ends,
    # as a pen does.
    share = rng.normal(_INK_MEAN, _INK_SPREAD) * box**2 / (height * width)
    binary = values > max(np.quantile(values, 1 - np.clip(share, 0.01, 0.9)), 8)
    return binary.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3))


# Every experiment of a sweep asks for the same pictures, and drawing them takes longer than a short training.
@lru_cache(maxsize=2)
def draw_letters(size: tuple[int, int], channels: int, n: int) -> ImageSet:
    """Return letters in white on black, with jittered font, stroke, slant, width, rotation and position.

    Parameters
    ----------
    size : (int, int)
        Height and width of the pictures.
    channels : {1, 3}
        With three, the same grey in each.
    n : int
        Number of pictures; the letters take turns.

    Returns
    -------
    ImageSet
        Letters that look like digits are left out; the provenance lists them.

    Examples
    --------
    >>> draw_letters((8, 8), 1, 42)
    ImageSet(letters: 42 images, 8x8x1, 21 classes)
    """
    rng = np.random.Generator(np.random.PCG64(_SEED))
    labels = np.arange(n) % len(LETTERS)
    grey = np.stack([_draw(LETTERS[label], size, rng) for label in labels])
    images = np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], channels, axis=3)
    provenance = {
        "source": "rendered from fonts bundled with Matplotlib: " + ", ".join(_FONTS),
        "made": f"binary at {_FINE} times the size, averaged in {_FINE}x{_FINE} blocks; share of ink as in the digits",
        "left out": f"letters that look like digits: {_LEFT_OUT}",
        "seed": _SEED,
        "conversions": [],
    }
    return ImageSet("letters", images, labels, LETTERS, provenance)

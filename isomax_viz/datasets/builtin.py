"""Sets that need no download: scanned digits, rendered letters, patches of photographs, and noise.

Everything here is deterministic. Drawn sets are made at the size that is asked for, not enlarged from a small one.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from isomax_viz._common.checks import check_choice
from isomax_viz.datasets.images import UNLABELLED, ImageSet

__all__ = ["LETTERS", "draw_gaussian", "draw_letters", "draw_patches", "draw_uniform", "load_digits"]

_SPLIT_SEED = 1797
_FLATTEST = 16
_LETTER_SEED, _PATCH_SEED, _GAUSSIAN_SEED, _UNIFORM_SEED = 10, 11, 12, 13


def _test_indices(labels: np.ndarray) -> np.ndarray:
    """Return the sorted indices of the test third, class by class.

    Raw output of PCG64 is the same in every NumPy version (its methods, such as permutation, promise less), so that the
    split depends on the labels alone.
    """
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = np.argsort(np.random.PCG64([_SPLIT_SEED, int(label)]).random_raw(len(members)), kind="stable")
        chosen.append(members[order[: round(len(members) / 3)]])
    return np.sort(np.concatenate(chosen))


def _of_scikit_learn(file: str) -> Path:
    """Return where a data file of scikit-learn lies; its own loaders take a second and a half, their import."""
    return Path(find_spec("sklearn").origin).parent / "datasets" / file  # type: ignore[union-attr, arg-type]  # is required


# Every experiment asks for them several times, and reading them takes longer than an epoch of a small network.
@lru_cache(maxsize=2)
def load_digits(split: str) -> ImageSet:
    """Return scikit-learn's handwritten digits, 8x8 grey, two thirds for training and one third for testing.

    Parameters
    ----------
    split : {"train", "test"}
        1,198 or 599 pictures; a fixed split, stratified by class.

    Returns
    -------
    ImageSet
        White ink on black; the original counts 0 to 16 become 0 to 255.

    Examples
    --------
    >>> load_digits("test")
    ImageSet(digits: 599 images, 8x8x1, 10 classes)
    """
    check_choice("split", split, ("train", "test"))
    *counts, labels = np.loadtxt(_of_scikit_learn("data/digits.csv.gz"), delimiter=",", dtype=np.int64, unpack=True)
    test = np.zeros(len(labels), dtype=bool)
    test[_test_indices(labels)] = True
    images = np.rint(np.stack(counts, axis=1).reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    provenance = {
        "source": "sklearn.datasets.load_digits",
        "split": f"{split}: a fixed third of each class is the test set",
        "conversions": ["counts 0 .. 16 to 0 .. 255"],
    }
    whole = ImageSet("digits", images, labels, tuple(str(digit) for digit in range(10)), provenance)
    return whole.subset(test if split == "test" else ~test)


def _patch(photograph: Any, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return one crop, reduced to ``size``; flat ones are drawn again (a few times, then taken as they are)."""
    height, width = size
    largest = min(photograph.height / height, photograph.width / width)
    for _ in range(20):
        # From an eighth of the photograph up to its whole height, evenly on a logarithmic scale, but never enlarged.
        factor = largest * np.exp(rng.uniform(min(0, np.log(max(1 / largest, 1 / 8))), 0))
        left = rng.uniform(0, max(0.0, photograph.width - factor * width))
        upper = rng.uniform(0, max(0.0, photograph.height - factor * height))
        right, lower = min(left + factor * width, photograph.width), min(upper + factor * height, photograph.height)
        box = (left, upper, right, lower)
        patch = np.asarray(photograph.resize((width, height), Image.Resampling.BILINEAR, box=box))
        # Within the channels: an even colour is flat too.
        if patch.std(axis=(0, 1)).mean() >= _FLATTEST:
            break
    return patch


# Every experiment of a sweep asks for the same pictures, and drawing them takes longer than a short training.
@lru_cache(maxsize=2)
def draw_patches(size: tuple[int, int], channels: int, n: int) -> ImageSet:
    """Return crops of scikit-learn's two sample photographs, of random place and extent, reduced to ``size``.

    Parameters
    ----------
    size : (int, int)
        Height and width of the pictures.
    channels : {1, 3}
        Grey or colour.
    n : int
        Number of pictures; they alternate between the two photographs.

    Returns
    -------
    ImageSet
        Classes ``china`` and ``flower``, after the photographs.

    Examples
    --------
    >>> draw_patches((8, 8), 1, 4)
    ImageSet(patches: 4 images, 8x8x1, 2 classes)
    """
    mode = "L" if channels == 1 else "RGB"
    files = (_of_scikit_learn(f"images/{name}.jpg") for name in ("china", "flower"))
    photographs = [Image.open(file).convert(mode) for file in files]
    rng = np.random.Generator(np.random.PCG64(_PATCH_SEED))
    images = np.stack([_patch(photographs[index % 2], size, rng) for index in range(n)]).reshape(n, *size, channels)
    provenance = {
        "source": "sklearn.datasets.load_sample_images (china.jpg and flower.jpg)",
        "made": f"crops of random place and extent, reduced to {size[0]}x{size[1]} (bilinear)",
        "left out": f"flat crops, such as sky (standard deviation below {_FLATTEST} of 255)",
        "seed": _PATCH_SEED,
        "conversions": [],
    }
    return ImageSet("patches", images, np.arange(n) % 2, ("china", "flower"), provenance)


def _noise(name: str, values: np.ndarray, made: str, seed: int) -> ImageSet:
    images = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    provenance = {"source": "drawn here", "made": made, "seed": seed, "conversions": []}
    return ImageSet(name, images, np.zeros(len(images), dtype=np.int64), UNLABELLED, provenance)


def draw_gaussian(size: tuple[int, int], channels: int, n: int) -> ImageSet:
    """Return Gaussian noise: every value from a normal distribution of mean 0.5 and variance 1, clipped to [0, 1].

    The definition is that of the papers (Hendrycks & Gimpel 2017, arXiv:1610.02136; Liang et al. 2018,
    arXiv:1706.02690). About 31 % of the values are clipped to each end.

    Examples
    --------
    >>> draw_gaussian((8, 8), 1, 4)
    ImageSet(gaussian: 4 images, 8x8x1, not labelled)
    """
    rng = np.random.Generator(np.random.PCG64(_GAUSSIAN_SEED))
    values = 0.5 + rng.standard_normal((n, *size, channels), dtype=np.float32)
    return _noise("gaussian", values, "normal noise, mean 0.5, variance 1, clipped to [0, 1]", _GAUSSIAN_SEED)


def draw_uniform(size: tuple[int, int], channels: int, n: int) -> ImageSet:
    """Return uniform noise: every value independently and evenly from [0, 1].

    Examples
    --------
    >>> draw_uniform((8, 8), 1, 4)
    ImageSet(uniform: 4 images, 8x8x1, not labelled)
    """
    rng = np.random.Generator(np.random.PCG64(_UNIFORM_SEED))
    values = rng.random((n, *size, channels), dtype=np.float32)
    return _noise("uniform", values, "uniform noise on [0, 1]", _UNIFORM_SEED)


LETTERS = tuple("ACEFHKLMNPRUVWX" + "ahkmnr")
# Left out: what a person would read as a digit at 8x8 pixels, or nearly so.
_LEFT_OUT = "B b D G g I i J j l O o Q q S s T Y y Z z"
_FONTS = "DejaVuSans.ttf DejaVuSans-Oblique.ttf DejaVuSansMono.ttf STIXGeneralItalic.ttf cmmi10.ttf cmss10.ttf".split()
_FINE = 4  # binary pixels per side of a grey one, as in the digits
_POINTS = 64
_BILINEAR = Image.Resampling.BILINEAR
# Share of inked pixels: mean and spread over the pictures, as measured on the digits.
_INK_MEAN, _INK_SPREAD = 0.305, 0.033


@lru_cache(maxsize=16)
def _font(name: str) -> Any:
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", _POINTS)


def _ink(letter: str, rng: np.random.Generator) -> Image.Image:
    """Return one letter, white on black, sheared and turned a little and cropped to its ink."""
    font = _font(_FONTS[rng.integers(len(_FONTS))])
    canvas, centre = Image.new("L", (2 * _POINTS, 2 * _POINTS)), _POINTS
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
    rng = np.random.Generator(np.random.PCG64(_LETTER_SEED))
    labels = np.arange(n) % len(LETTERS)
    grey = np.stack([_draw(LETTERS[label], size, rng) for label in labels])
    images = np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], channels, axis=3)
    provenance = {
        "source": "rendered from fonts bundled with Matplotlib: " + ", ".join(_FONTS),
        "made": f"binary at {_FINE} times the size, averaged in {_FINE}x{_FINE} blocks; share of ink as in the digits",
        "left out": f"letters that look like digits: {_LEFT_OUT}",
        "seed": _LETTER_SEED,
        "conversions": [],
    }
    return ImageSet("letters", images, labels, LETTERS, provenance)

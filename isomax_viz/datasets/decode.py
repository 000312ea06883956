"""Decode picture files of any mode and size to uint8, and count what had to be converted."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from isomax_viz.datasets.images import fit_picture

__all__ = ["Depths", "PICTURE_SUFFIXES", "PictureError", "decode_all", "is_deep", "look_at"]

_TOPS = (1, 255, 65535)
# Floats that were computed may exceed their scale by a rounding error.
_SLACK = 1.001


def is_deep(picture: Image.Image) -> bool:
    """Return whether a picture has more than 8 bits."""
    return picture.mode.startswith("I") or picture.mode == "F"


def _kind(picture: Image.Image) -> str:
    if picture.mode == "F":
        return "floats"
    # Pillow reads PGM of 16 bits into 32, too, and stretches it to the whole 16 bits.
    return "whole numbers of 32 bits" if picture.mode == "I" and picture.format == "TIFF" else ""


class Depths:
    """Reduces pictures to 8 bits, one after the other, and makes their scales alike in the end.

    Examples
    --------
    >>> depths = Depths()
    >>> dim, bright = (Image.fromarray(np.full((1, 1), value, np.float32)) for value in (1, 200))
    >>> images = np.stack([np.asarray(depths.reduced(i, item))[..., None] for i, item in enumerate((dim, bright))])
    >>> images.ravel().tolist()
    [255, 200]
    >>> notes = depths.made_alike(images)
    >>> images.ravel().tolist()
    [1, 200]
    """

    def __init__(self) -> None:
        # Kind -> index of the picture -> the scale that its own values suggest.
        self._tops: dict[str, dict[int, int]] = defaultdict(dict)

    def reduced(self, index: int, picture: Image.Image) -> Image.Image:
        """Return a picture in mode "L", on the scale that its own values suggest where its file does not say.

        Raises
        ------
        ValueError
            If there are values outside 0 .. 65535 or NaN; the message says what to do.
        """
        values, kind = np.asarray(picture, dtype=np.float64), _kind(picture)
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinite values. Fill them and save it with 8 or 16 bits")
        low, high = values.min(), values.max() / (_SLACK if kind == "floats" else 1)
        if low < 0 or high > _TOPS[-1]:
            raise ValueError(
                f"its values range from {low:g} to {values.max():g}, outside 0 .. {_TOPS[-1]}. Rescale them, all "
                "pictures alike, and save it with 8 or 16 bits"
            )
        # Whole numbers from 0 to 1 are black and nearly black, not a scale.
        tops = _TOPS if kind == "floats" else _TOPS[1:]
        # Where the file says how deep it is, a dark picture stays dark.
        top = next(top for top in tops if high <= top) if kind else _TOPS[-1]
        self._tops[kind][index] = top
        return Image.fromarray(np.rint(np.minimum(values / (top / 255), 255)).astype(np.uint8))

    def made_alike(self, images: np.ndarray) -> Counter[str]:
        """Bring all pictures of a kind, in place, to the largest scale that one of them suggests; return the notes."""
        notes: Counter[str] = Counter()
        for kind, tops in self._tops.items():
            if not kind:
                notes["reduced to 8 bits"] += len(tops)
                continue
            common = max(tops.values())
            notes[f"{kind} on the scale 0 .. {common} (by the largest value of all), reduced to 8 bits"] += len(tops)
            # Scales differ by 255 or more: at most one level of grey is left of such a picture.
            lower = {index: top for index, top in tops.items() if top < common}
            for index, top in lower.items():
                images[index] = np.rint(images[index] * (top / common)).astype(np.uint8)
            if lower:
                notes[f"{kind}, nearly black on that scale; rescale them if they have another"] += len(lower)
        return notes


PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
# Of Pillow's many formats only those of the suffixes above: faster to recognise, and none that runs a program.
_FORMATS = ("PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF", "PPM")
_GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
_ORIENTATION = 0x0112
_TURNED = {5, 6, 7, 8}  # EXIF orientations that swap height and width
# The places of an orientation in a PNG: its own chunk, a text of older programs, XMP.
_PNG_MARKS = (b"eXIf", b"Raw profile type exif", b"tiff:Orientation")


class PictureError(ValueError):
    """A picture file cannot be read."""


def _open(where: str, content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=_FORMATS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(where, error) from error


def _unreadable(where: str, error: Exception) -> PictureError:
    unknown = isinstance(error, UnidentifiedImageError)
    reason = "it is no picture of a known format" if unknown else f"{type(error).__name__}, {error}"
    return PictureError(f"{where} cannot be read as a picture: {reason}. Replace or remove the file.")


def look_at(where: str, content: bytes) -> tuple[tuple[int, int], int]:
    """Return size (height, width) and channels (1 or 3) from a picture's header, as it is once turned upright.

    Raises
    ------
    PictureError
        If it is no picture; the message names it.
    """
    picture = _open(where, content)
    width, height = picture.size
    try:
        turned = _orientation(picture, content) in _TURNED
        if picture.format == "TIFF":
            # Newer versions of Pillow give the size after turning, older ones the size in the file.
            width, height = picture.tag_v2[256], picture.tag_v2[257]
    # As for pixels: damage is an error of nearly any kind.
    except Exception as error:
        raise _unreadable(where, error) from error
    return (width, height) if turned else (height, width), 1 if picture.mode in _GREY else 3


def _orientation(picture: Image.Image, content: bytes) -> int:
    """Return the EXIF orientation of a picture that is not loaded yet."""
    # A PNG may name it after the pixels, so Pillow would load every one whole to look for it.
    if picture.format == "PNG" and not any(mark in content for mark in _PNG_MARKS):
        return 1
    return picture.getexif().get(_ORIENTATION, 1)


def _upright(picture: Image.Image, content: bytes, notes: Counter[str]) -> Image.Image:
    """Return the picture turned as its camera noted."""
    orientation = _orientation(picture, content)
    picture.load()
    if orientation in range(2, 9):
        notes["turned as their EXIF orientation says"] += 1
        # Pillow turns a TIFF while it loads it.
        if picture.format != "TIFF":
            return ImageOps.exif_transpose(picture)
    return picture


def _in_mode(picture: Image.Image, mode: str, notes: Counter[str]) -> Image.Image:
    """Return the picture in ``mode`` ("L" or "RGB")."""
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture).convert("RGB")
        notes["transparency laid over black"] += 1
    elif mode == "RGB" and picture.mode in _GREY:
        notes["grey repeated in 3 channels"] += 1
    if mode == "L" and picture.mode not in _GREY:
        notes["colour to grey"] += 1
    return picture if picture.mode == mode else picture.convert(mode)


def decode_all(
    files: Iterable[tuple[str, bytes]], count: int, size: tuple[int, int], channels: int
) -> tuple[np.ndarray, list[str]]:
    """Return all pictures at one size, and notes that count the conversions.

    Parameters
    ----------
    files : iterable of (str, bytes)
        Where each picture comes from (for messages) and its content.
    count : int
        How many there are.
    size : (int, int)
        Height and width wanted; other aspects are cropped at the centre.
    channels : {1, 3}
        Channels wanted.

    Returns
    -------
    ndarray of uint8, shape (count, *size, channels)
    list of str
        Such as ``"3 of 10 pictures: colour to grey"``. Pictures of floats or 32 bits do not say what white is: the
        largest value of all of them decides between 1, 255 and 65535, and a note says which it was.

    Raises
    ------
    PictureError
        If one cannot be read; the message names it.
    """
    mode = "L" if channels == 1 else "RGB"
    # Reserved once: a list of pictures would need the memory twice.
    images = np.empty((count, *size, channels), dtype=np.uint8)
    notes: Counter[str] = Counter()
    depths = Depths()
    done = 0
    for index, (where, content) in enumerate(_with_progress(files, count)):
        picture = _open(where, content)
        try:
            picture = _upright(picture, content, notes)
            if is_deep(picture):
                picture = depths.reduced(index, picture)
            picture = _in_mode(picture, mode, notes)
        # Damage shows only when the pixels are read, as an error of nearly any kind.
        except Exception as error:
            raise _unreadable(where, error) from error
        if picture.size != (size[1], size[0]):
            notes[f"brought to {size[0]}x{size[1]} (centre crop to its aspect, bilinear)"] += 1
            picture = fit_picture(picture, size)
        images[index] = np.asarray(picture).reshape(*size, channels)
        done += 1
    if done != count:
        raise PictureError(f"{count:,} pictures were listed, but {done:,} were there to read. Load the set again.")
    notes += depths.made_alike(images)
    return images, [f"{number:,} of {count:,} pictures: {what}" for what, number in sorted(notes.items())]


def _with_progress(files: Iterable[Any], count: int) -> Iterable[Any]:
    if count < 5_000:  # a second or so
        return files
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return files
    return tqdm(files, total=count, desc="decoding", unit=" pictures", leave=False)

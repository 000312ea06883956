"""Decode picture files of any mode and size to uint8, and count what had to be converted."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from isomax_viz._common.files import is_lfs_pointer
from isomax_viz.datasets.images import fit_picture

__all__ = ["PICTURE_SUFFIXES", "PictureError", "decode_all", "is_named_as_picture", "is_picture", "read_headers"]

# HEIC is among them although Pillow cannot read it: such a picture is named, not overlooked.
PICTURE_SUFFIXES = tuple(
    ".png .jpg .jpeg .jpe .jfif .webp .bmp .gif .tif .tiff .pgm .ppm .avif .jp2 .heic .heif".split()
)
# Of Pillow's many formats only those of the suffixes above: faster to recognise, and none that runs a program.
_FORMATS = ("PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
_STARTS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"P5\n", b"P6\n", b"\0\0\0\x0cjP  ")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The places of an orientation in a PNG: its own chunk, a text of older programs, XMP.
_PNG_MARKS = (b"eXIf", b"Raw profile type exif", b"tiff:Orientation")
_METADATA = "damaged data beside the pixels ignored"
_NAMED = 10  # unreadable pictures in one message


class PictureError(ValueError):
    """A picture file cannot be read."""


def is_named_as_picture(name: str) -> bool:
    """Return whether a file's name is that of a picture, and not one that some systems put beside each.

    Examples
    --------
    >>> is_named_as_picture("cat/1.JPG"), is_named_as_picture("cat/._1.JPG"), is_named_as_picture("cat/1.txt")
    (True, False, False)
    """
    short = name.rsplit("/", 1)[-1]
    return short.lower().endswith(PICTURE_SUFFIXES) and not short.startswith(".")


def is_picture(head: bytes) -> bool:
    """Return whether a file that begins so (16 bytes) is a picture, for files whose name does not say.

    Examples
    --------
    >>> is_picture(b"GIF89a"), is_picture(b"GIFs of cats")
    (True, False)
    """
    return (
        head.startswith(_STARTS)
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head.startswith(b"BM") and head[6:10] == bytes(4))
        or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", *_HEIC))
    )


def _why_unreadable(content: bytes, error: Exception) -> str:
    """Return what is the matter and what to do; only what is damaged is called so."""
    if is_lfs_pointer(content):
        return "it is a Git LFS pointer, not the picture itself. Fetch the pictures with: git lfs pull"
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC:
        return "it is a HEIC photograph, which Pillow does not read. Save it as PNG or JPEG"
    if isinstance(error, Image.DecompressionBombError):
        return f"it is very large ({error}). If you trust it, set PIL.Image.MAX_IMAGE_PIXELS = None before"
    if isinstance(error, _NoScaleError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture of a known format. Replace or remove the file"
    return f"{type(error).__name__}, {error}. Replace or remove the file"


def _without_metadata(content: bytes) -> bytes:
    """Return a PNG with no more than its pixels (and an orientation that is whole) need; other files as they are."""
    if not content.startswith(_STARTS[0]):
        return content
    kept, start = [content[:8]], 8
    while start + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, start)
        chunk = content[start : start + length + 12]
        whole = zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]
        # A small first letter means that the pixels can be shown without the chunk.
        if name[:1].isupper() or (whole and name in (b"tRNS", b"eXIf")):
            kept.append(chunk)
        start += length + 12
    return b"".join(kept)


def _read(content: bytes, function: Callable[[bytes], tuple[Any, list[str]]]) -> tuple[Any, list[str]]:
    """Return what a function makes of a file, and notes; a second time without metadata where these are damaged."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value, notes = function(content)
    # Damage shows as an error of nearly any kind.
    except Exception:
        bare = _without_metadata(content)
        if len(bare) == len(content):
            raise
        value, notes = function(bare)
        return value, [*notes, _METADATA]
    damage = [item for item in caught if "Corrupt EXIF" in str(item.message)]
    for item in caught:
        if item not in damage:
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
    return value, [*notes, _METADATA] if damage else notes


def _all(
    files: Iterable[tuple[str, bytes]], function: Callable[[bytes], tuple[Any, list[str]]]
) -> Iterator[tuple[Any, list[str]]]:
    """Yield what a function makes of each file, and notes; in the end name all that could not be read."""
    unreadable = {}
    for where, content in files:
        try:
            found = _read(content, function)
        except Exception as error:
            unreadable[where] = _why_unreadable(content, error)
        else:
            yield found
    if len(unreadable) == 1:
        ((where, reason),) = unreadable.items()
        raise PictureError(f"{where} cannot be read as a picture: {reason}.")
    if unreadable:
        named = [f"{where}: {reason}" for where, reason in unreadable.items()]
        named[_NAMED:] = [f"and {len(named) - _NAMED:,} more"] if len(named) > _NAMED else []
        raise PictureError(f"{len(unreadable):,} files cannot be read as pictures. {'; '.join(named)}.")


def _open(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=_FORMATS)


def _orientation(picture: Image.Image, content: bytes) -> tuple[int, list[str]]:
    """Return the EXIF orientation of a picture that is not loaded yet, 1 where there is none or it is damaged."""
    # A PNG may name it after the pixels, so Pillow would load every one whole to look for it.
    if picture.format == "PNG":
        if not any(mark in content for mark in _PNG_MARKS):
            return 1, []
        picture = _open(content)  # loading a damaged picture fails the first time only
    try:
        return picture.getexif().get(_ORIENTATION, 1), []
    # Damaged EXIF data fail in nearly any way; where the pixels are damaged too, loading them will say so.
    except Exception:
        return 1, [_METADATA]


def _header(content: bytes) -> tuple[tuple[tuple[int, int], int], list[str]]:
    picture = _open(content)
    width, height = picture.size
    turned = _orientation(picture, content)[0] in (5, 6, 7, 8)
    if picture.format == "TIFF":
        # Newer versions of Pillow give the size after turning, older ones the size in the file.
        tags = picture.tag_v2  # type: ignore[attr-defined]  # TIFF pictures have it
        width, height = tags[256], tags[257]
    return ((width, height) if turned else (height, width), 1 if picture.mode in _GREY else 3), []


def read_headers(files: Iterable[tuple[str, bytes]]) -> list[tuple[tuple[int, int], int]]:
    """Return size (height, width) and channels (1 or 3) from the pictures' headers, as they are once turned upright.

    Raises
    ------
    PictureError
        If some are no pictures; the message names them.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (8, 6)).save(file, "PNG")
    >>> read_headers([("mine.png", file.getvalue())])
    [((6, 8), 3)]
    """
    return [header for header, _ in _all(files, _header)]


class _NoScaleError(ValueError):
    """A picture does not say which of its values is white."""


def _in_8_bits(picture: Image.Image) -> Image.Image:
    # Pillow reads PGM of 16 bits into 32, too, and stretches it to the whole 16 bits.
    if picture.mode == "F" or (picture.mode == "I" and picture.format == "TIFF"):
        kind = "floats" if picture.mode == "F" else "whole numbers of 32 bits"
        raise _NoScaleError(
            f"it holds {kind} and does not say which value is white. Divide all pictures by that value and save them "
            "with 8 or 16 bits"
        )
    values = np.asarray(picture, dtype=np.float64)
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def _decode(content: bytes, mode: str) -> tuple[Image.Image, list[str]]:
    """Return the picture in ``mode`` ("L" or "RGB"), upright, and notes of what was done."""
    picture = _open(content)
    is_tiff = picture.format == "TIFF"
    orientation, notes = _orientation(picture, content)
    picture.load()
    if orientation in _TURNS:
        notes.append("turned as their EXIF orientation says")
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _in_8_bits(picture)
        notes.append("reduced to 8 bits")
    # Pillow turns a TIFF while it loads it.
    if orientation in _TURNS and not is_tiff:
        picture = picture.transpose(_TURNS[orientation])
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture).convert("RGB")
        notes.append("transparency laid over black")
    elif mode == "RGB" and picture.mode in _GREY:
        notes.append("grey repeated in 3 channels")
    if mode == "L" and picture.mode not in _GREY:
        notes.append("colour to grey")
    return (picture if picture.mode == mode else picture.convert(mode)), notes


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
        Such as ``"3 of 10 pictures: colour to grey"``.

    Raises
    ------
    PictureError
        If some cannot be read; the message names them. Pictures of floats or of 32 bits are among these: they do not
        say which value is white.
    """
    from tqdm.auto import tqdm

    mode = "L" if channels == 1 else "RGB"
    # Reserved once: a list of pictures would need the memory twice.
    images = np.empty((count, *size, channels), dtype=np.uint8)
    counted: Counter[str] = Counter()
    decoded = 0
    # Fewer take a second or so.
    shown = tqdm(files, total=count, desc="decoding", unit=" pictures", leave=False, disable=count < 5_000)
    for picture, notes in _all(shown, partial(_decode, mode=mode)):
        if picture.size != (size[1], size[0]):
            notes.append(f"brought to {size[0]}x{size[1]} (centre crop to its aspect, bilinear)")
            picture = fit_picture(picture, size)
        counted.update(set(notes))
        images[decoded] = np.asarray(picture).reshape(*size, channels)
        decoded += 1
    if decoded != count:
        raise PictureError(f"{count:,} pictures were listed, but {decoded:,} were there to read. Load the set again.")
    return images, [f"{number:,} of {count:,} pictures: {what}" for what, number in sorted(counted.items())]

"""Bring pictures to a size and a number of channels, and say what was done."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

__all__ = ["convert_images", "fit_picture"]


def _centre_box(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the largest centred box (left, upper, right, lower) with the aspect of ``size`` (height, width)."""
    scale = min(height / size[0], width / size[1])
    box_height = min(height, max(1, round(size[0] * scale)))
    box_width = min(width, max(1, round(size[1] * scale)))
    left, upper = (width - box_width) // 2, (height - box_height) // 2
    return left, upper, left + box_width, upper + box_height


def fit_picture(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a Pillow picture cropped at the centre to the aspect of ``size`` (height, width), then resized to it.

    Examples
    --------
    >>> fit_picture(Image.new("L", (40, 20)), (8, 8)).size
    (8, 8)
    """
    box = _centre_box(picture.height, picture.width, size)
    if box != (0, 0, picture.width, picture.height):
        picture = picture.crop(box)
    if picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return picture


def _each(images: np.ndarray, size: tuple[int, int]) -> Iterable[np.ndarray]:
    for image in images:
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        yield np.asarray(fit_picture(picture, size)).reshape(*size, image.shape[2])


def convert_images(images: np.ndarray, size: tuple[int, int], channels: int) -> tuple[np.ndarray, list[str]]:
    """Return the pictures at ``size`` (height, width) with ``channels`` channels, and notes of what was done.

    Parameters
    ----------
    images : array of uint8, shape (n, height, width, 1 or 3)
    size : (int, int)
        Height and width wanted.
    channels : {1, 3}
        Channels wanted.

    Returns
    -------
    ndarray of uint8, shape (n, *size, channels)
        The input itself where nothing had to be done.
    list of str
        One line per conversion, in order.

    Examples
    --------
    >>> convert_images(np.zeros((1, 4, 4, 1), np.uint8), (4, 4), 3)[1]
    ['grey repeated in 3 channels']
    """
    notes = []
    if images.shape[3] == 3 and channels == 1:
        # Fewer channels first: resizing grey costs a third. The weights and rounding are Pillow's for mode "L".
        weights = np.array([19595, 38470, 7471], dtype=np.uint32)
        images = ((images @ weights + 0x8000) >> 16).astype(np.uint8)[..., None]
        notes.append("colour to grey")
    height, width = images.shape[1:3]
    if (height, width) != tuple(size):
        left, upper, right, lower = _centre_box(height, width, size)
        cropped = (lower - upper, right - left)
        if cropped != (height, width):
            notes.append(f"centre crop from {height}x{width} to {cropped[0]}x{cropped[1]}")
        if cropped != tuple(size):
            notes.append(f"resized from {cropped[0]}x{cropped[1]} to {size[0]}x{size[1]} (bilinear)")
        images = np.stack(list(_each(images, tuple(size))))
    if images.shape[3] == 1 and channels == 3:
        images = np.repeat(images, 3, axis=3)
        notes.append("grey repeated in 3 channels")
    return images, notes

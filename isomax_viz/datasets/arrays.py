"""Your own pictures from arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from isomax_viz._common.checks import check_finite, check_labels
from isomax_viz.datasets.images import UNLABELLED, ImageSet

__all__ = ["from_arrays"]


def _as_pictures(images: Any) -> tuple[np.ndarray, list[str]]:
    array = np.asarray(images.detach().cpu().numpy() if hasattr(images, "detach") else images)
    if array.size == 0:
        raise ValueError(f"images is empty (shape {array.shape}). Give at least one picture.")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        remedy = "Give one height x width x channels array per picture, grey or RGB."
        if array.ndim == 4 and array.shape[1] in (1, 3):
            remedy = "The channels seem to come first, as in PyTorch: pass images.transpose(0, 2, 3, 1)."
        raise ValueError(
            f"images must have shape (n, height, width) or (n, height, width, 1 or 3), but has shape "
            f"{np.shape(images)}. {remedy}"
        )
    if array.dtype == np.uint8:
        return array, []
    if array.dtype == bool:
        return array.astype(np.uint8) * 255, ["booleans to 0 and 255"]
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"images must be numbers (uint8, or float in [0, 1]), but its dtype is {array.dtype}.")
    check_finite("images", array, remedy="Drop or mend these pictures.")
    whole = np.issubdtype(array.dtype, np.integer)
    top = 255 if whole else 1
    if array.min() < 0 or array.max() > top:
        raise ValueError(
            f"images of dtype {array.dtype} must lie in [0, {top}], but range from {array.min()} to {array.max()}. "
            "Pass whole numbers in [0, 255] or floats in [0, 1], before any normalisation."
        )
    if whole:
        return array.astype(np.uint8), [f"{array.dtype} to uint8"]
    return np.rint(array * 255).astype(np.uint8), [f"{array.dtype} in [0, 1] to uint8"]


def from_arrays(images: Any, labels: Any = None, *, class_names: Any = None, name: str = "mine") -> ImageSet:
    """Return your own pictures as an ImageSet.

    Parameters
    ----------
    images : array, shape (n, height, width) or (n, height, width, 1 or 3)
        Whole numbers in [0, 255] or floats in [0, 1], not normalised. A tensor is accepted too.
    labels : array of int, shape (n,), optional
        Index of each picture's class. Leave it out for pictures without classes.
    class_names : sequence of str, optional
        By default the numbers of the classes.
    name : str
        Short name, as in tables and legends.

    Returns
    -------
    ImageSet

    Raises
    ------
    TypeError, ValueError
        If the dtype, shape, range or labels cannot be pictures; NaN is named with its place.

    Examples
    --------
    >>> from_arrays(np.linspace(0, 1, 64).reshape(1, 8, 8), name="ramp")
    ImageSet(ramp: 1 images, 8x8x1, not labelled)
    """
    pictures, notes = _as_pictures(images)
    if labels is None:
        labels, names = np.zeros(len(pictures), dtype=np.int64), UNLABELLED
    else:
        labels = check_labels("labels", labels, rows=len(pictures), classes=2**31)
        highest = max(0, int(labels.max())) + 1
        names = tuple(class_names) if class_names is not None else tuple(str(number) for number in range(highest))
    provenance = {"source": "arrays given by the user", "conversions": notes}
    return ImageSet(name, pictures.copy(), labels, names, provenance)

"""Pictures of more than 8 bits: which value is white, and the same one for all pictures of a set."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from PIL import Image

__all__ = ["Depths", "is_deep"]

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

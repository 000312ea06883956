"""Colours of figures on a dark background: as they are where they stand out from it, else lighter."""

from __future__ import annotations

import numpy as np

__all__ = ["DARK", "on_dark"]

DARK = "#1c1c1e"  # the page's own background where the reader's system is dark


def on_dark(color: str) -> str:
    """Return a colour that stands out from a dark background: mixed with white as far as it takes.

    Examples
    --------
    >>> on_dark("#E69F00"), on_dark("#4D4D4D")
    ('#e69f00', '#878787')
    """
    rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)])
    for share in np.linspace(0, 1, 41):
        mixed = np.rint(rgb + share * (255 - rgb)).astype(int)
        if _contrast(mixed, DARK) >= 4.5:  # what the accessibility guidelines ask of text
            break
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _contrast(rgb: np.ndarray, background: str) -> float:
    """Return the contrast ratio of two colours as the Web Content Accessibility Guidelines define it."""
    other = np.array([int(background[place : place + 2], 16) for place in (1, 3, 5)])
    light = []
    for color in (rgb, other):
        share = np.asarray(color) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(light) / min(light)

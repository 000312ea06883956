"""What a look is, and the colours that stay apart with the common kinds of colour blindness."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OKABE_ITO", "LineStyle", "Style"]

LineStyle = str | tuple[int, tuple[int, ...]]

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}


@dataclass(frozen=True)
class Style:
    """How a loss or a data set looks in every figure.

    Attributes
    ----------
    label : str
        Name as people write it.
    color : str
        Hexadecimal colour.
    linestyle : str or tuple
        Matplotlib line style.
    marker : str
        Matplotlib marker.
    """

    label: str
    color: str
    linestyle: LineStyle = "-"
    marker: str = "o"

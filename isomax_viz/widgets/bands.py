"""Parts of the score axis to click on: real buttons without a look of their own, laid over the picture.

The picture is one image, and ipywidgets has no clicks on images; a widget of another package would be fetched from the
internet by some front ends. Buttons work everywhere, and with the keyboard too.
"""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

__all__ = ["COUNT", "Bands", "share_of"]

COUNT = 20


def share_of(band: int) -> tuple[int, int]:
    """Return which part of the axis a band is, in percent.

    Examples
    --------
    >>> share_of(0), share_of(19)
    ((0, 5), (95, 100))
    """
    return 100 * band // COUNT, 100 * (band + 1) // COUNT


class Bands(widgets.ToggleButtons):
    """Buttons side by side over the axes of the histogram.

    Parameters
    ----------
    clicked : callable
        Called with the number of the band, from 0 at the lowest scores.

    Examples
    --------
    >>> bands = Bands(clicked=print)
    >>> bands.put((0.1, 0.2, 0.5, 0.7))
    >>> bands.layout.left, bands.layout.top, bands.layout.visibility
    ('10%', '10%', 'visible')
    >>> bands.index = 3
    3
    >>> bands.index is None  # ready for the next click, on the same band too
    True
    """

    def __init__(self, *, clicked: Callable[[int], None]) -> None:
        self._clicked = clicked
        part = "Show the images whose scores lie in this part of the axis"
        super().__init__(
            description="Pictures of a part of the axis",
            options=[str(band + 1) for band in range(COUNT)],
            value=None,
            tooltip=part,
            tooltips=[f"{part} ({band + 1} of {COUNT})" for band in range(COUNT)],
        )
        self.add_class("isomax-viz-bands")
        self.observe(self._changed, "index")

    def _changed(self, change: dict) -> None:
        if change["new"] is not None:
            self.index = None
            self._clicked(int(change["new"]))

    def put(self, place: tuple[float, float, float, float] | None) -> None:
        """Lay the buttons over the axes (left, bottom, width, height as shares of the picture); None hides them."""
        if place is None:
            self.layout.visibility = "hidden"
            return
        left, bottom, width, height = place
        parts = {"left": left, "top": 1 - bottom - height, "width": width, "height": height}
        with self.layout.hold_sync():
            for name, share in parts.items():
                setattr(self.layout, name, f"{100 * share:.5g}%")
            self.layout.visibility = "visible"

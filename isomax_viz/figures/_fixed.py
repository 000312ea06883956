"""Figures of several panels whose places are given in inches: a picture that a slider moves must stand still."""

from __future__ import annotations

from matplotlib.axes import Axes

from isomax_viz.figures._canvas import DPI, CanvasAxes, CanvasFigure

__all__ = ["add_panel", "fixed_figure"]


def fixed_figure(width: float, height: float) -> CanvasFigure:
    """Return an empty figure of that size in inches."""
    figure = CanvasFigure(figsize=(width, height), dpi=DPI)
    figure.one_note = True
    return figure


def add_panel(figure: CanvasFigure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes at that place, in inches from the bottom left; labels and title lie outside it."""
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, bottom / high, width / wide, height / high), axes_class=CanvasAxes)

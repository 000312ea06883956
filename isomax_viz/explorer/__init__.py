"""What people click: the explorer, drawn in the browser, and the teaching lab. It works without PyTorch."""

from isomax_viz.explorer.lab import (
    LabView,
    explore_alpha,
    explore_risk,
    explore_simplex,
    explore_surfaces,
    explore_temperature,
)
from isomax_viz.explorer.lesson_page import lesson
from isomax_viz.explorer.page import to_html
from isomax_viz.explorer.watch import Watch, watch
from isomax_viz.explorer.widget import Explorer, explore

__all__ = [
    "Explorer", "LabView", "Watch", "explore", "explore_alpha", "explore_risk", "explore_simplex", "explore_surfaces",
    "explore_temperature", "lesson", "to_html", "watch",
]  # fmt: skip

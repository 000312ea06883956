"""What people click: the explorer, drawn in the browser, and the teaching lab. It works without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from isomax_viz.analysis.chosen import Captures
from isomax_viz.datasets import ImageSet
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
from isomax_viz.explorer.widget import Explorer

__all__ = [
    "Explorer",
    "LabView",
    "Watch",
    "explore",
    "explore_alpha",
    "explore_risk",
    "explore_simplex",
    "explore_surfaces",
    "explore_temperature",
    "lesson",
    "to_html",
    "watch",
]


def explore(
    captures: Captures,
    *,
    images: Mapping[str, ImageSet] | None = None,
    folder: str | Path = ".",
    store: str | Path | None = None,
) -> Explorer:
    """Explore what networks said: toggle loss, score, out-of-distribution sets and view, move the threshold.

    Parameters
    ----------
    captures : Capture, list of Capture or mapping of name to Capture
        What to choose from. Choosers appear for everything in which the captures differ.
    images : mapping of str to ImageSet, optional
        Pictures of your own sets by name ("test" for the known ones); those of the package's sets are found by
        themselves.
    folder : str or Path
        Where figures, data and settings are saved.
    store : str or Path, optional
        Where the trained networks lie that can score an image of your own; by default the usual store.

    Returns
    -------
    Explorer
        A widget: the last line of a cell shows it. Running the cell again closes the former one.

    Raises
    ------
    TypeError
        If there is something else than captures.
    ValueError
        If there is none, or none of them has an out-of-distribution set.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> explore(Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.3, 0.1]]}, loss="softmax"))
    Explorer(1 captures; the controls need a running notebook)
    """
    return Explorer(captures, images=images, folder=folder, store=store)

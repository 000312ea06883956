"""Captures: the frozen numpy record of what a network said about its images."""

from __future__ import annotations

from isomax_viz.captures.capture import Capture
from isomax_viz.captures.examples import load_example
from isomax_viz.captures.files import CaptureError, DamagedCaptureError
from isomax_viz.captures.importers import from_labelled_scores, from_scores, read_scores
from isomax_viz.captures.samples import Samples

__all__ = [
    "Capture", "CaptureError", "DamagedCaptureError", "Samples", "from_labelled_scores", "from_scores", "load_example",
    "read_scores",
]  # fmt: skip

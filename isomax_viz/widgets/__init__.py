"""Widgets around figures: controls, one picture, words beside it. They compute nothing and work without PyTorch."""

from __future__ import annotations

from isomax_viz.widgets.explorer import Explorer, explore

__all__ = ["Explorer", "explore"]

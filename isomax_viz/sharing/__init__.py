"""Sharing: captures as one HTML file in which the controls still work, without a kernel and without a network."""

from __future__ import annotations

from isomax_viz.sharing.digest import VIEWS
from isomax_viz.sharing.page import to_html

__all__ = ["VIEWS", "to_html"]

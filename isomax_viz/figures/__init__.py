"""Figures: Capture or table in, Axes or Figure out; nothing is computed here but what to draw."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

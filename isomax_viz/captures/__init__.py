"""Captures: the frozen numpy record of what a network said about its images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

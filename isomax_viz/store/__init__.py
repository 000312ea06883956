"""Where results live on disk: what is there, whether it is whole, how large it is, and one table over all of it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

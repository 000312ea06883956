"""isomax_viz: explore out-of-distribution detection with isotropy-maximisation losses.

``import isomax_viz as iv`` is inert and fast: every public name, listed once in ``__init__.pyi``, is loaded when it is
first used, and PyTorch only by what trains or runs a network.
"""

from typing import Any

import lazy_loader

__version__ = "0.2.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            from isomax_viz._common.checks import need_torch

            need_torch()
        raise

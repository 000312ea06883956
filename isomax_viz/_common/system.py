"""What machine this is: where the package's own files lie, and how many processors there are."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_cores", "data_folder"]

_package = Path(__file__).parents[1]


def data_folder() -> Path:
    """Return the folder that holds ``published`` (the papers' tables), ``captures`` and ``networks``.

    Returns
    -------
    pathlib.Path
        ``_data`` inside the package if it was built into a wheel, else ``data`` of the checkout.

    Examples
    --------
    >>> (data_folder() / "published" / "tables.csv").is_file()
    True
    """
    packaged = _package / "_data"
    return packaged if packaged.exists() else _package.parent / "data"


def available_cores() -> int:
    """Return how many processors this process may use, which may be fewer than the machine has.

    Examples
    --------
    >>> 1 <= available_cores() <= os.cpu_count()
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Where the files lie that travel with the package: in a built wheel inside it, in a checkout beside it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["data_folder"]

_package = Path(__file__).parents[1]


def data_folder() -> Path:
    """Return the folder that holds ``published`` (the papers' tables) and ``captures`` (recorded examples).

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

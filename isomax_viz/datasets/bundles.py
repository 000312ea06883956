"""Bundles: zips of pictures ``<name>/<split>/<class>/<picture>`` that stand in for a paper's original archive."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from isomax_viz.datasets.archives import archive_names
from isomax_viz.datasets.fetch import data_folder

__all__ = ["bundle_digest", "bundles", "find_bundle", "has_split"]


def bundles(name: str) -> list[Path]:
    """Return the bundles of a set, in the data folder and in ``ISOMAX_VIZ_BUNDLES``."""
    folders = [data_folder(), *(Path(item) for item in [os.environ.get("ISOMAX_VIZ_BUNDLES", "")] if item)]
    return [path for path in (folder.expanduser() / f"{name}.zip" for folder in folders) if path.is_file()]


@lru_cache(maxsize=32)
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=32)
def _folders(path: Path, size: int, modified: int) -> frozenset[str]:
    parents = {name.rpartition("/")[0] for name in archive_names(path)}
    return frozenset(part for parent in parents for part in parent.split("/"))


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def bundle_digest(path: Path) -> str:
    """Return the SHA-256 of a bundle (reads it whole, once per process)."""
    return _sha256(path, *_version(path))


def has_split(path: Path, split: str) -> bool:
    """Return whether a bundle has a folder of that name (reads the list of its names only).

    Raises
    ------
    ArchiveError
        If the bundle is damaged or unsafe.
    """
    return split in _folders(path, *_version(path))


def find_bundle(name: str, split: str, decoded: Callable[[Path], Path]) -> Path | None:
    """Return the bundle of a set that has the split, if there is one.

    Parameters
    ----------
    name, split : str
        The set, and the split as the bundle names it.
    decoded : callable
        Where the pictures decoded from a bundle are kept. Listing tens of thousands of names takes longer than loading
        what was decoded before.

    Raises
    ------
    ArchiveError
        As :func:`has_split`.
    """
    for path in bundles(name):
        if decoded(path).is_file() or has_split(path, split):
            return path
    return None

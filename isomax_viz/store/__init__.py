"""Where results live on disk: what is there, whether it is whole, how large it is, and one table over all of it."""

from __future__ import annotations

from isomax_viz.store.folder import Store, StoreError, default_folder
from isomax_viz.store.table import frame, list, remove, size, verify

__all__ = ["Store", "StoreError", "default_folder", "frame", "list", "remove", "size", "verify"]

"""Decoded pictures on disk: plain ``.npy`` beside a JSON record, memory-mapped, checked at every load."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from isomax_viz._common.files import json_digest, new_entry
from isomax_viz.datasets.fetch import locked_if_possible
from isomax_viz.datasets.images import ImageSet

__all__ = ["cache_path", "load_cached", "through_cache"]

_log = logging.getLogger(__name__)

# Raise when decoding changes, so that pictures decoded by an older version are decoded again.
VERSION = 2


def cache_path(folder: Path, name: str, split: str, source: Any) -> Path:
    """Return where the pictures of one split are kept; another source or version has another name."""
    key = json_digest({"name": name, "split": split, "source": source, "version": VERSION})
    return folder / "decoded" / f"{name}-{split}-{key[:16]}.npy"


def load_cached(path: Path) -> ImageSet | None:
    """Return the pictures kept at ``path``, memory-mapped, or None if they are absent or damaged in any way."""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if record.pop("sha256") != json_digest(record):
            raise ValueError("its record was altered")
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        fingerprint = record.pop("fingerprint")
        images = ImageSet(images=pixels, **record)
        if images.fingerprint != fingerprint:
            raise ValueError("its pixels or labels were altered")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
        _log.warning("The decoded pictures at %s cannot be used (%s); decoding again.", path, error)
        return None
    return images


def _save(path: Path, images: ImageSet) -> None:
    record = vars(images) | {"labels": images.labels.tolist(), "fingerprint": images.fingerprint}
    del record["images"]  # they have a file of their own
    with new_entry(path) as file:
        np.save(file, images.images, allow_pickle=False)
    with new_entry(path.with_suffix(".json")) as file:
        file.write_text(json.dumps(record | {"sha256": json_digest(record)}), encoding="utf-8")


def through_cache(path: Path, build: Callable[[], ImageSet]) -> ImageSet:
    """Return the pictures kept at ``path``, or decode them with ``build`` and keep them there.

    A folder that cannot be written only costs the time of decoding again.
    """
    images = load_cached(path)
    if images is not None:
        return images
    with locked_if_possible(path):
        images = load_cached(path)  # another process may have decoded them in the meantime
        if images is None:
            images = build()
            try:
                _save(path, images)
            except OSError as error:
                _log.warning("The decoded pictures could not be kept at %s (%s).", path, error)
    return images

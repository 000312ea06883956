"""The manifest of an experiment in the store: its format, its checksum, and the errors of reading it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "FORMAT_VERSION", "StoreError", "digest", "not_whole", "read_manifest"]

FORMAT = "isomax_viz.run"
FORMAT_VERSION = 2  # 1 kept the history in the manifest, which had no checksum of its own; it is still read


class StoreError(RuntimeError):
    """The store can't be written, or what lies in it is damaged, foreign or from a newer version."""


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest in an experiment's folder, which has the experiment's id as its name.

    Parameters
    ----------
    path : Path
        ``.../<id>/manifest.json``.

    Raises
    ------
    StoreError
        If it is missing, damaged, foreign or from a newer version.
    """
    experiment_id = path.parent.name
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        form, version = document["format"], document["version"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"There is no experiment {experiment_id} in {path.parent.parent}. Run it first.") from error
    except OSError as error:
        raise StoreError(
            f"{path} can't be read: {error.strerror or error}. It may be whole: mend the cause and read it again."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise not_whole(path, str(error)) from error
    if form != FORMAT or not isinstance(version, int):
        raise not_whole(path, "it is not a manifest of isomax_viz")
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}; this version of isomax_viz reads up to {FORMAT_VERSION}. Update "
            "isomax_viz, or use another store (ISOMAX_VIZ_STORE)."
        )
    needed = {"experiment", "files"} | ({"sha256"} if version > 1 else {"history"})
    if not needed <= set(document):
        raise not_whole(path, "a part of it is missing")
    if document.get("id") != experiment_id:
        raise not_whole(path, f"it is the manifest of {document.get('id')!r}")
    if version > 1 and document.pop("sha256") != digest(document):
        raise not_whole(path, "its checksum does not match")
    return document


def not_whole(path: Path, reason: str) -> StoreError:
    """Return the error to raise for a file of an experiment that can't be trusted."""
    return StoreError(
        f"{path} is damaged and was not read ({reason}). Delete the folder {path.parent} and run the experiment again."
    )


def digest(document: Mapping[str, Any]) -> str:
    """Return the checksum of JSON values, whatever their layout in the file.

    Examples
    --------
    >>> digest({"seed": 0, "loss": "isomax"}) == digest({"loss": "isomax", "seed": 0})
    True
    """
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

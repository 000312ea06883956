"""The file of a capture: named arrays and JSON content in one safetensors file, with a checksum over both.

Safetensors holds arrays and text only: reading one runs no code, whatever it contains.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CaptureError", "DamagedCaptureError", "damaged", "read_capture", "write_capture"]

FORMAT = "isomax_viz.capture"
FORMAT_VERSION = 1


class CaptureError(ValueError):
    """A capture file is damaged, foreign, or written by a newer version."""


class DamagedCaptureError(CaptureError):
    """A capture file is damaged; what it held can be recorded again."""


def write_capture(path: Path, arrays: Mapping[str, np.ndarray], content: Mapping[str, Any]) -> Path:
    """Write arrays and JSON content atomically; the name appears only once the file is complete.

    Raises
    ------
    OSError
        If the place cannot be written; the message names it and what to do.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    document = json.dumps(content, default=_plain)
    header = {
        "format": FORMAT,
        "version": str(FORMAT_VERSION),
        "content": document,
        "sha256": _digest(arrays, document),
    }
    payload = save(arrays, metadata=header)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(payload)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OSError(
            f"The capture could not be written to {path}: {error.strerror or error}. Choose a folder that you may "
            "write to (for experiments: set ISOMAX_VIZ_STORE) and that has free space."
        ) from error
    return path


def read_capture(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the content of a file, verifying its checksum.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CaptureError
        If the file is damaged, not a capture, or written by a newer version.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"There is no capture at {path}. Write one with capture.save(path).")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            _check_header(path, header)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if header["sha256"] != _digest(arrays, header["content"]):
            raise damaged(path, "its checksum does not match")
        return arrays, json.loads(header["content"])
    except (CaptureError, PermissionError):
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error


def _check_header(path: Path, header: Mapping[str, str]) -> None:
    if header.get("format") != FORMAT:
        raise CaptureError(f"{path} is a safetensors file, but not a capture. Write captures with capture.save(path).")
    version = header.get("version", "")
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        raise CaptureError(
            f"{path} has capture format {version!r}; this version of isomax_viz reads up to {FORMAT_VERSION}. "
            "Update isomax_viz to open it."
        )


def damaged(path: Path, reason: str) -> DamagedCaptureError:
    """Return the error to raise for a file that can't be trusted."""
    return DamagedCaptureError(
        f"{path} is damaged and was not read ({reason}). Delete it and record it again (for an experiment: "
        "Experiment.run() trains or records what is missing)."
    )


def _digest(arrays: Mapping[str, np.ndarray], document: str) -> str:
    digest = hashlib.sha256(document.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype.str}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Turn what json does not know (numpy numbers, tuples in models, paths) into plain values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"meta must hold JSON values only, but holds {value!r} of type {type(value).__name__}.")

"""The file of a capture: named arrays and JSON content in one safetensors file, with checksums over both.

Safetensors holds arrays and text only: reading one runs no code, whatever it contains.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isomax_viz._common.checks import sealed
from isomax_viz._common.files import is_lfs_pointer, new_entry
from isomax_viz.captures.samples import Samples

__all__ = [
    "CaptureError", "DamagedCaptureError", "damaged", "narrowed", "pack", "read_capture", "unpack", "write_capture",
]  # fmt: skip

FORMAT = "isomax_viz.capture"
FORMAT_VERSION = 1


@dataclass
class _Content:
    """What stands in a file beside the arrays."""

    meta: dict[str, Any]
    history: dict[str, list[Any]] | None
    ood: list[str]
    scores: dict[str, list[str]] = field(default_factory=dict)


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
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        document = json.dumps(content, default=_plain)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"meta must hold JSON values only, but {error}.") from error
    header = {
        "format": FORMAT,
        "version": str(FORMAT_VERSION),
        "content": document,
        "sha256": _digest(arrays, document),
        "head_sha256": _digest(arrays, document, values=False),
    }
    remedy = "Choose a folder that you may write to (for experiments: set ISOMAX_VIZ_STORE) and that has free space."
    with new_entry(path, remedy=remedy) as file:
        try:
            save_file(arrays, file, metadata=header)  # from where the arrays lie, without a copy
        except SafetensorError as error:  # it hides the system's word in a text
            word = re.search(r"([^:]+) \(os error (\d+)\)", str(error))
            raise (OSError(int(word[2]), word[1].strip()) if word else OSError(str(error))) from error
    return path


def read_capture(path: Path, *, mmap: bool = False) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the content of a file, verifying its checksum.

    Parameters
    ----------
    path : Path
        Written by :func:`write_capture`.
    mmap : bool
        Leave the arrays on the disk until they are used, but for those at half precision, which are widened here. The
        checksum of the content and of the arrays' names, shapes and dtypes is verified; that of their values is not,
        since it would read them all.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If the system can't read it, which does not mean that it is damaged.
    CaptureError
        If the file is damaged, not a capture, or written by a newer version.
    """
    from pydantic import TypeAdapter  # nobody who only draws waits for it
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise FileNotFoundError(f"There is no capture at {path}. Write one with capture.save(path).")
        with safe_open(path, framework="numpy") as file:  # checks that the header is sound and the file complete
            _check_header(path, file.metadata() or {})
        header, arrays = _mapped(path)
        document = header["content"]
        if header["head_sha256" if mmap else "sha256"] != _digest(arrays, document, values=not mmap):
            raise damaged(path, "its checksum does not match")
        TypeAdapter(_Content).validate_json(document, strict=True)
        for name, array in arrays.items():
            # Sealed, so that nobody need copy them.
            arrays[name] = sealed(array.astype(_WIDER.get(array.dtype, array.dtype), copy=not mmap))
        return arrays, json.loads(document)
    except (CaptureError, FileNotFoundError):
        raise
    except OSError as error:
        raise OSError(
            f"{path} can't be read: {error.strerror or error}. It may be whole: mend the cause and read it again."
        ) from error
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        with path.open("rb") as start:
            if is_lfs_pointer(start.read(99)):
                raise CaptureError(f"{path} is a Git LFS pointer, not the capture. Fetch it: git lfs pull") from None
        raise damaged(path, " ".join(str(error).split())[:300]) from error


def narrowed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays at half precision, whole numbers in two bytes; reading a file widens them again.

    Score columns stay as they are: what tells samples apart may begin at the fourth digit, as with ODIN.

    Raises
    ------
    ValueError
        If a value is too large for float16.

    Examples
    --------
    >>> narrowed({"logits": np.array([1.0001], dtype=np.float32), "labels": np.array([-1])})
    {'logits': array([1.], dtype=float16), 'labels': array([-1], dtype=int16)}
    """
    found = dict(arrays)
    for name, array in arrays.items():
        if not name.rpartition("/")[2].startswith("score"):
            limits: Any = np.iinfo(np.int16) if np.issubdtype(array.dtype, np.integer) else np.finfo(np.float16)
            reached = np.abs(array).max() if array.size else 0
            if reached > limits.max:
                holds = f"dtype='float16' holds values up to {limits.max:,}, but {name} reaches {reached:,.6g}"
                raise ValueError(f"{holds}. Use dtype='float32'.")
            found[name] = array.astype(limits.dtype)
    return found


# What narrowed() makes, back to what everybody else computes with.
_WIDER = {np.dtype(np.float16): np.float32, np.dtype(np.int16): np.int64}
_DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "F16": np.float16, "I16": np.int16}


def _mapped(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return header and arrays from one opened file: another process may put a new one under its name meanwhile."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
        header = entries.pop("__metadata__")
        data = np.empty(0, dtype=np.uint8)
        if any(entry["data_offsets"][1] for entry in entries.values()):  # an empty file part can't be mapped
            data = np.asarray(np.memmap(file, dtype=np.uint8, mode="r", offset=8 + length))
    return header, {
        name: data[slice(*entry["data_offsets"])].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in entries.items()
    }


def _check_header(path: Path, header: Mapping[str, str]) -> None:
    if header.get("format") != FORMAT:
        raise CaptureError(f"{path} is a safetensors file, but not a capture. Write captures with capture.save(path).")
    version = header.get("version", "")
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        reads = f"this version of isomax_viz reads up to {FORMAT_VERSION}. Update isomax_viz to open it."
        raise CaptureError(f"{path} has capture format {version!r}; {reads}")


def damaged(path: Path, reason: str) -> DamagedCaptureError:
    """Return the error to raise for a file that can't be trusted."""
    return DamagedCaptureError(
        f"{path} is damaged and was not read ({reason}). A capture: delete it and record it again "
        "(Experiment.run() trains or records what is missing). Arrays of other files: iv.Capture.from_arrays."
    )


def _digest(arrays: Mapping[str, np.ndarray], document: str, *, values: bool = True) -> str:
    digest = hashlib.sha256(document.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        if values:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Turn what json does not know (numpy numbers, tuples in models, paths) into plain values."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"meta must hold JSON values only, but holds {value!r} of type {type(value).__name__}.")


_ARRAYS = ("logits", "labels", "features", "distances", "predictions")


def pack(
    test: Samples, ood: Mapping[str, Samples], train: Samples | None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return arrays by name, and what the content of the file must say to find them again.

    Examples
    --------
    >>> test = Samples(logits=[[3.0, 0.0]], labels=[0])
    >>> arrays, content = pack(test, {"mine": Samples(logits=[[0.1, 0.0]], labels=[-1])}, None)
    >>> [*arrays], content
    (['test/logits', 'test/labels', 'test/predictions', 'ood0/logits', 'ood0/labels', 'ood0/predictions'], \
{'ood': ['mine']})
    """
    groups = {"test": test} | {f"ood{number}": samples for number, samples in enumerate(ood.values())}
    if train is not None:
        groups["train"] = train
    arrays: dict[str, np.ndarray] = {}
    for group, samples in groups.items():
        named = {name: getattr(samples, name) for name in _ARRAYS}
        named |= {f"score{number}": column for number, column in enumerate(samples.extra_scores.values())}
        arrays |= {f"{group}/{name}": array for name, array in named.items() if array is not None}
    content: dict[str, Any] = {"ood": list(ood)}
    columns = {group: list(samples.extra_scores) for group, samples in groups.items()}
    if any(columns.values()):
        content["scores"] = columns
    return arrays, content


def unpack(arrays: Mapping[str, np.ndarray], content: Mapping[str, Any], *, checked: bool = True) -> dict[str, Any]:
    """Return ``test``, ``ood`` and ``train`` from what :func:`pack` gave.

    Parameters
    ----------
    arrays, content
        As read from the file.
    checked : bool
        Whether the values are looked at; it would read all of a file that is only mapped.

    Raises
    ------
    KeyError, ValueError, TypeError, AttributeError
        If an array is missing or impossible.
    """
    groups: dict[str, dict[str, Any]] = {}
    for key, array in arrays.items():
        if "/" in key:
            group, name = key.split("/")
            groups.setdefault(group, {"logits": None})[name] = array
    for group, names in content.get("scores", {}).items():
        found = groups[group]
        found["extra_scores"] = {name: found.pop(f"score{number}") for number, name in enumerate(names)}
    build = Samples if checked else Samples._unread
    return {
        "test": build(**groups["test"]),
        "ood": {name: build(**groups[f"ood{number}"]) for number, name in enumerate(content["ood"])},
        "train": build(**groups["train"]) if "train" in groups else None,
    }

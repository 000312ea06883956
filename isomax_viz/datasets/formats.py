"""The original file formats: CIFAR batches, SVHN .mat, MNIST idx; bytes in, uint8 pictures and labels out.

CIFAR's batches are pickles. They are read by an unpickler that can build arrays, lists, dictionaries, strings and
numbers and nothing else, so that even a forged file that passes the checksum cannot run code.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from isomax_viz._common.checks import missing_package
from isomax_viz.datasets.archives import ArchiveError, read_members

__all__ = ["read_cifar", "read_idx", "read_svhn"]

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no picture file needs")
        # NumPy 2 moved the function; the files name the old place.
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickle(path: Path, name: str, content: bytes) -> dict:
    try:
        value = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    # A damaged pickle can fail in nearly any way.
    except Exception as error:
        raise ArchiveError(f"{name} in {path} cannot be read as a CIFAR batch: {error}.") from error
    if not isinstance(value, dict):
        raise ArchiveError(f"{name} in {path} cannot be read as a CIFAR batch: it holds no dictionary.")
    return value


def read_cifar(path: Path, batches: tuple[str, ...], labels_key: str, names_key: str) -> tuple[np.ndarray, list, list]:
    """Return pictures (n, 32, 32, 3), labels and class names from the Python version of CIFAR10 or CIFAR100.

    Parameters
    ----------
    path : Path
        The ``.tar.gz`` file.
    batches : tuple of str
        File names of the batches, in order.
    labels_key, names_key : str
        ``"labels"`` and ``"label_names"``, or ``"fine_labels"`` and ``"fine_label_names"``.

    Raises
    ------
    ArchiveError
        If the archive is damaged or lacks a batch.
    """
    meta = "batches.meta" if labels_key == "labels" else "meta"
    wanted = {*batches, meta}
    found = {}
    for name, content in read_members(path, lambda name: name.rsplit("/", 1)[-1] in wanted):
        short = name.rsplit("/", 1)[-1]
        found[short] = _unpickle(path, short, content)
    missing = sorted(wanted - set(found))
    if missing:
        raise ArchiveError(f"{path} lacks {', '.join(missing)}. Delete it and fetch it again.")
    try:
        images = np.concatenate([np.asarray(found[batch]["data"]) for batch in batches])
        labels = [int(label) for batch in batches for label in found[batch][labels_key]]
        names = [str(name) for name in found[meta][names_key]]
        images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    except (KeyError, ValueError, TypeError) as error:
        raise ArchiveError(f"{path} has CIFAR batches of an unknown form: {error!r}.") from error
    return np.ascontiguousarray(images), labels, names


def read_svhn(path: Path) -> tuple[np.ndarray, np.ndarray, list]:
    """Return pictures (n, 32, 32, 3), labels and class names from one ``_32x32.mat`` file of SVHN.

    The file calls the digit 0 class 10; here it is class 0, as in torchvision.

    Raises
    ------
    ArchiveError
        If the file is damaged.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise missing_package("scipy", "read SVHN's .mat files") from error
    try:
        content = loadmat(path, variable_names=["X", "y"])
        images = content["X"].transpose(3, 0, 1, 2)
        labels = content["y"].reshape(-1).astype(np.int64) % 10
    # loadmat meets damage with errors of many kinds.
    except Exception as error:
        raise ArchiveError(f"{path} is damaged or truncated ({error!r}). Delete it and fetch it again.") from error
    return np.ascontiguousarray(images), labels, [str(digit) for digit in range(10)]


def read_idx(path: Path) -> np.ndarray:
    """Return the array in a gzipped idx file of bytes (the format of MNIST).

    Raises
    ------
    ArchiveError
        If the file is damaged.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
        zeros, kind, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        if zeros != 0 or kind != 8:
            raise ValueError("no idx file of bytes")
        return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise ArchiveError(f"{path} is damaged or truncated ({error}). Delete it and fetch it again.") from error

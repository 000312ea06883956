"""Small picture files and archives, written by the tests, and the way to the real ones."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def tar_bytes(members, mode: str = "w:gz") -> bytes:
    """Return a tar of (name, content) pairs; a ready TarInfo may stand for both."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for item in members:
            if isinstance(item, tarfile.TarInfo):
                archive.addfile(item)
                continue
            name, content = item
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip_bytes(members) -> bytes:
    """Return a zip of (name or ZipInfo, content) pairs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def encoded(image: np.ndarray, kind: str = "PNG", **options) -> bytes:
    """Return the bytes of a picture file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def random_images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Return random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def shared_bundles() -> Path:
    """Return the folder of real bundles; without it skip, but fail where they are promised."""
    root = Path(os.environ.get("ISOMAX_VIZ_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    folder = root / "data"
    if not (folder / "cifar10.zip").is_file():
        reason = f"the real picture bundles are not at {folder}; ISOMAX_VIZ_SHARED names another place"
        (pytest.fail if os.environ.get("ISOMAX_VIZ_REQUIRE_SHARED") else pytest.skip)(reason)
    return folder


NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def batch(images: np.ndarray, **labels) -> bytes:
    """Return a CIFAR batch: rows of 3072 bytes, red, green and blue plane after each other."""
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return pickle.dumps({"data": rows, **labels}, protocol=2)


def cifar10_files(train: np.ndarray, test: np.ndarray) -> dict[str, bytes]:
    folder = "cifar-10-batches-py/"
    files = {
        f"{folder}data_batch_{number + 1}": batch(part, labels=[number, 9])
        for number, part in enumerate(np.split(train, 5))
    }
    files[folder + "test_batch"] = batch(test, labels=[3] * len(test))
    files[folder + "batches.meta"] = pickle.dumps({"label_names": NAMES, "num_vis": 3072}, protocol=2)
    return files


def idx_bytes(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes())


class Malice:
    """Runs a command when it is unpickled by pickle.load."""

    def __reduce__(self):
        return os.system, ("echo harm",)

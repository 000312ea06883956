"""One reader per original archive: paths in, pictures, labels, class names and notes out.

What is damaged, or not what it should be, fails in nearly any way: :mod:`isomax_viz.datasets.papers` words it.
"""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from isomax_viz.datasets.archives import archive_names, read_members
from isomax_viz.datasets.decode import decode_all, is_named_as_picture
from isomax_viz.datasets.images import UNLABELLED

__all__ = ["DIGITS", "Decoded", "cifar10", "cifar100", "flat_pictures", "fooling", "idx", "svhn", "tinyimagenet"]

# Pictures, labels, class names, notes of conversions.
Decoded = tuple[np.ndarray, np.ndarray, tuple[str, ...], list[str]]

DIGITS = tuple(str(digit) for digit in range(10))

_ALLOWED = {("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")  # NumPy 2 moved the function; the files name the old place
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no picture file needs")
        return super().find_class(module, name)


def _read_cifar(path: Path, batches: tuple[str, ...], labels_key: str, names_key: str) -> Decoded:
    meta = "batches.meta" if labels_key == "labels" else "meta"
    found = {
        name.rsplit("/", 1)[-1]: _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        for name, content in read_members(path, lambda name: name.rsplit("/", 1)[-1] in (*batches, meta))
    }
    images = np.concatenate([np.asarray(found[batch]["data"]) for batch in batches])
    labels = [int(label) for batch in batches for label in found[batch][labels_key]]
    names = [str(name) for name in found[meta][names_key]]
    images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.array(labels), tuple(names), []


def svhn(paths: list[Path], split: str) -> Decoded:
    """Read one of SVHN's ``_32x32.mat`` files; its class 10, the digit 0, is class 0 here, as in torchvision."""
    from scipy.io import loadmat

    content = loadmat(paths[0], variable_names=["X", "y"])
    labels = content["y"].reshape(-1).astype(np.int64) % 10
    return np.ascontiguousarray(content["X"].transpose(3, 0, 1, 2)), labels, DIGITS, []


def _read_idx(path: Path) -> np.ndarray:
    """Return the array in a gzipped idx file of bytes (the format of MNIST)."""
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + shape.nbytes).reshape(shape)


def cifar10(paths: list[Path], split: str) -> Decoded:
    """Read CIFAR10's Python archive."""
    batches = tuple(f"data_batch_{number}" for number in range(1, 6)) if split == "train" else ("test_batch",)
    return _read_cifar(paths[0], batches, "labels", "label_names")


def cifar100(paths: list[Path], split: str) -> Decoded:
    """Read CIFAR100's Python archive, with its 100 fine classes."""
    return _read_cifar(paths[0], (split,), "fine_labels", "fine_label_names")


def idx(paths: list[Path], split: str) -> Decoded:
    """Read the idx files of MNIST and of Fashion-MNIST, which do not name their classes."""
    images, labels = (_read_idx(path) for path in paths)
    return images[..., None], labels, (), []


def _sorted_pictures(path: Path, wanted: Callable[[str], bool]) -> list[tuple[str, bytes]]:
    """Return names and contents of the pictures in a tar, by name as the libraries list them."""
    return sorted(read_members(path, lambda name: is_named_as_picture(name) and wanted(name)))


def _decoded(path: Path, files: Iterable[tuple[str, bytes]], count: int, side: int) -> tuple[np.ndarray, list[str]]:
    return decode_all(((f"{path}: {name}", content) for name, content in files), count, (side, side), 3)


def flat_pictures(paths: list[Path], split: str) -> Decoded:
    """Read one folder of 32x32 colour pictures without classes (TinyImageNet and LSUN as resized by the ODIN paper)."""
    found = _sorted_pictures(paths[0], lambda name: True)
    images, notes = _decoded(paths[0], found, len(found), 32)
    return images, np.zeros(len(images), dtype=np.int64), UNLABELLED, notes


def fooling(paths: list[Path], split: str) -> Decoded:
    """Read the fooling pictures; the classes are the ten runs of the evolution.

    The originals are larger (one would need gigabytes for all); 64x64 is the largest size at which the papers use them.
    """
    found = _sorted_pictures(paths[0], lambda name: "/map_gen_5000/" in name and name.endswith(".png"))
    runs = [name.split("/map_gen_5000/")[0].rsplit("/", 1)[-1] for name, _ in found]
    names, labels = np.unique(runs, return_inverse=True)
    images, notes = _decoded(paths[0], found, len(found), 64)
    return images, labels, tuple(names.tolist()), notes


def _readable(words: str, identifiers: list[str]) -> tuple[str, ...]:
    """Return a readable name per WordNet identifier; the identifier stays where two would be named alike."""
    known = dict(line.split("\t", 1) for line in words.splitlines() if "\t" in line)
    names = [known.get(item, item).split(",")[0].strip() for item in identifiers]
    pairs = zip(names, identifiers, strict=True)
    return tuple(name if names.count(name) == 1 else f"{name} ({item})" for name, item in pairs)


def tinyimagenet(paths: list[Path], split: str) -> Decoded:
    """Read TinyImageNet; its labelled validation pictures are the test split."""
    path = paths[0]
    folder = "train" if split == "train" else "val"
    names = [name for name in archive_names(path) if f"/{folder}/" in name and is_named_as_picture(name)]
    lists = ("wnids.txt", "words.txt", "val_annotations.txt")
    texts = {
        name.rsplit("/", 1)[-1]: content.decode()
        for name, content in read_members(path, lambda name: name.endswith(lists))
    }
    identifiers = sorted(texts["wnids.txt"].split())
    if split == "train":
        owners = [name.split("/train/")[1].split("/")[0] for name in names]
    else:
        owner = dict(line.split("\t")[:2] for line in texts["val_annotations.txt"].splitlines() if line)
        owners = [owner[name.rsplit("/", 1)[-1]] for name in names]
    labels = np.array([identifiers.index(item) for item in owners], dtype=np.int64)
    wanted = set(names)
    images, notes = _decoded(path, read_members(path, wanted.__contains__), len(names), 64)
    return images, labels, _readable(texts.get("words.txt", ""), identifiers), notes

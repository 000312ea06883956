"""One reader per original archive: paths in, pictures, labels, class names and notes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from isomax_viz.datasets.archives import ArchiveError, archive_names, read_members
from isomax_viz.datasets.decode import PICTURE_SUFFIXES, decode_all
from isomax_viz.datasets.formats import read_cifar, read_idx, read_svhn
from isomax_viz.datasets.images import UNLABELLED

__all__ = [
    "DIGITS",
    "FASHION",
    "Decoded",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "flat_pictures",
    "fooling",
    "mnist",
    "svhn",
    "tinyimagenet",
]

# Pictures, labels, class names, notes of conversions.
Decoded = tuple[np.ndarray, np.ndarray, tuple[str, ...], list[str]]

DIGITS = tuple(str(digit) for digit in range(10))
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def cifar10(paths: list[Path], split: str) -> Decoded:
    """Read CIFAR10's Python archive."""
    batches = tuple(f"data_batch_{number}" for number in range(1, 6)) if split == "train" else ("test_batch",)
    images, labels, names = read_cifar(paths[0], batches, "labels", "label_names")
    return images, np.array(labels), tuple(names), []


def cifar100(paths: list[Path], split: str) -> Decoded:
    """Read CIFAR100's Python archive, with its 100 fine classes."""
    images, labels, names = read_cifar(paths[0], (split,), "fine_labels", "fine_label_names")
    return images, np.array(labels), tuple(names), []


def svhn(paths: list[Path], split: str) -> Decoded:
    """Read one of SVHN's .mat files."""
    images, labels, names = read_svhn(paths[0])
    return images, labels, tuple(names), []


def _mnist_like(paths: list[Path], class_names: tuple[str, ...]) -> Decoded:
    images, labels = (read_idx(path) for path in paths)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ArchiveError(f"{paths[0]} and {paths[1].name} do not fit: shapes {images.shape} and {labels.shape}.")
    return images[..., None], labels, class_names, []


def mnist(paths: list[Path], split: str) -> Decoded:
    """Read MNIST's idx files."""
    return _mnist_like(paths, DIGITS)


def fashion_mnist(paths: list[Path], split: str) -> Decoded:
    """Read Fashion-MNIST's idx files."""
    return _mnist_like(paths, FASHION)


def _is_picture(name: str) -> bool:
    short = name.rsplit("/", 1)[-1]
    return short.lower().endswith(PICTURE_SUFFIXES) and not short.startswith(".")


def _sorted_pictures(path: Path, wanted: Callable[[str], bool]) -> list[tuple[str, bytes]]:
    """Return names and contents of the pictures in a tar, by name as the libraries list them."""
    found = sorted(read_members(path, lambda name: _is_picture(name) and wanted(name)))
    if not found:
        raise ArchiveError(f"{path} holds no pictures. Delete it and fetch it again.")
    return found


def flat_pictures(paths: list[Path], split: str) -> Decoded:
    """Read one folder of 32x32 colour pictures without classes (TinyImageNet and LSUN as resized by the ODIN paper)."""
    found = _sorted_pictures(paths[0], lambda name: True)
    images, notes = decode_all(((f"{paths[0]}: {name}", content) for name, content in found), len(found), (32, 32), 3)
    return images, np.zeros(len(images), dtype=np.int64), UNLABELLED, notes


def fooling(paths: list[Path], split: str) -> Decoded:
    """Read the fooling pictures; the classes are the ten runs of the evolution.

    The originals are larger (one would need gigabytes for all); 64x64 is the largest size at which the papers use them.
    """
    found = _sorted_pictures(paths[0], lambda name: "/map_gen_5000/" in name and name.endswith(".png"))
    runs = [name.split("/map_gen_5000/")[0].rsplit("/", 1)[-1] for name, _ in found]
    names = tuple(sorted(set(runs)))
    images, notes = decode_all(((f"{paths[0]}: {name}", content) for name, content in found), len(found), (64, 64), 3)
    return images, np.array([names.index(run) for run in runs]), names, notes


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
    names = [name for name in archive_names(path) if f"/{folder}/" in name and _is_picture(name)]
    lists = ("wnids.txt", "words.txt", "val_annotations.txt")
    texts = {
        name.rsplit("/", 1)[-1]: content.decode()
        for name, content in read_members(path, lambda name: name.endswith(lists))
    }
    try:
        identifiers = sorted(texts["wnids.txt"].split())
        if split == "train":
            owners = [name.split("/train/")[1].split("/")[0] for name in names]
        else:
            owner = dict(line.split("\t")[:2] for line in texts["val_annotations.txt"].splitlines() if line)
            owners = [owner[name.rsplit("/", 1)[-1]] for name in names]
        labels = np.array([identifiers.index(item) for item in owners], dtype=np.int64)
    except (KeyError, ValueError, IndexError) as error:
        raise ArchiveError(f"{path} is not laid out as TinyImageNet: {error!r}.") from error
    wanted = set(names)
    files = ((f"{path}: {name}", content) for name, content in read_members(path, wanted.__contains__))
    images, notes = decode_all(files, len(names), (64, 64), 3)
    return images, labels, _readable(texts.get("words.txt", ""), identifiers), notes

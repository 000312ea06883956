"""Your own pictures: a folder or zip in ImageFolder layout, of any size and mode."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from isomax_viz._common.checks import check_choice, check_finite, check_labels, check_number
from isomax_viz.datasets.archives import archive_names, read_members
from isomax_viz.datasets.decode import PICTURE_SUFFIXES, decode_all, look_at
from isomax_viz.datasets.images import UNLABELLED, ImageSet

__all__ = ["FolderError", "available_memory", "from_arrays", "from_folder", "read_layout"]

_log = logging.getLogger(__name__)
_LAYOUT = "Expected is root/class/picture or root/split/class/picture, as torchvision's ImageFolder has it"


class FolderError(ValueError):
    """A folder or zip is not in ImageFolder layout."""


@dataclass(frozen=True)
class Layout:
    """What a folder or zip holds: relative paths in reading order, their labels and the class names."""

    root: Path
    paths: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    ignored: int

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield where each picture lies and its bytes, in the order of ``paths``."""
        if self.root.is_dir():
            for path in self.paths:
                yield str(self.root / path), (self.root / path).read_bytes()
            return
        # The archive's own order may differ from the sorted one, but is the only one that reads it in a single pass.
        wanted = set(self.paths)
        # Names are compared in their plain form: "./cat/1.png" is "cat/1.png".
        for name, content in read_members(self.root, lambda name: str(PurePosixPath(name)) in wanted):
            yield f"{self.root}: {name}", content


def _hidden(path: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _listing(root: Path) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Return files and folders below ``root``, relative to it, in the order in which they will be read."""
    if root.is_dir():
        found = sorted(root.rglob("*"))
        files = [PurePosixPath(path.relative_to(root).as_posix()) for path in found if path.is_file()]
        folders = [PurePosixPath(path.relative_to(root).as_posix()) for path in found if path.is_dir()]
    elif root.is_file() and root.name.lower().endswith(".zip"):
        names = archive_names(root)
        files = [PurePosixPath(name) for name in names if not name.endswith("/")]
        folders = [PurePosixPath(name) for name in names if name.endswith("/")]
    else:
        what = "is neither a folder nor a zip file" if root.exists() else "does not exist"
        raise FolderError(f"path must be a folder or a zip file, but {root} {what}. {_LAYOUT}.")
    return files, [folder for folder in folders if not _hidden(folder)]


def _base(root: Path, pictures: list[PurePosixPath], split: str | None) -> tuple[PurePosixPath, list[PurePosixPath]]:
    """Return the folder whose subfolders are the classes, and the pictures below it."""
    bare = [path for path in pictures if len(path.parts) < 2]
    if bare:
        raise FolderError(
            f"{root} has pictures without a class folder, such as {bare[0]}. {_LAYOUT}; pictures without classes can "
            "be passed as arrays: isomax_viz.datasets.from_arrays(images)."
        )
    bases = sorted({path.parent.parent for path in pictures})
    if split is not None:
        found = sorted({base.name for base in bases if base.name})
        check_choice("split", split, found, remedy=f"These are the splits in {root}.")
        bases = [base for base in bases if base.name == split]
    if len(bases) > 1:
        names = ", ".join(repr(base.name or ".") for base in bases[:5]) + (", ..." if len(bases) > 5 else "")
        raise FolderError(f"{root} holds several splits: {names}. Choose one with split=... {_LAYOUT}.")
    return bases[0], [path for path in pictures if path.parent.parent == bases[0]]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def _counted(folders: Sequence[str]) -> str:
    return f"{len(folders)} class folder{'s' if len(folders) > 1 else ''}"


def _check_filled(root: Path, empty: list[str]) -> None:
    if empty:
        raise FolderError(
            f"{root} has {_counted(empty)} without pictures: {_listed(empty)}. Fill or remove them. If this is a test "
            "set, pass class_names=train.class_names instead: its classes are then numbered as in training, and may be "
            "empty."
        )


def read_layout(root: Path, split: str | None = None, class_names: tuple[str, ...] | None = None) -> Layout:
    """Return what a folder or zip in ImageFolder layout holds, without reading the pictures.

    Raises
    ------
    FolderError
        If there are no pictures, no class folders, several splits and none chosen, a class folder that is not among
        ``class_names``, or, where these are not given, one without pictures.
    """
    files, folders = _listing(root)
    files = [path for path in files if not _hidden(path)]
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        raise FolderError(f"{root} holds no pictures ({', '.join(PICTURE_SUFFIXES)}). {_LAYOUT}.")
    base, chosen = _base(root, pictures, split)
    classes = {path.parent.name for path in chosen}
    found = classes | {folder.name for folder in folders if folder.parent == base}
    if class_names is None:
        _check_filled(root, sorted(found - classes))
        class_names = tuple(sorted(classes))
    unknown = sorted(found - set(class_names))
    if unknown:
        raise FolderError(
            f"{root} has {_counted(unknown)} not in class_names: {_listed(unknown)}. class_names has "
            f"{_listed(class_names)}; add, rename or remove the folder{'s' if len(unknown) > 1 else ''}."
        )
    number = {name: index for index, name in enumerate(class_names)}
    labels = np.array([number[path.parent.name] for path in chosen], dtype=np.int64)
    return Layout(root, tuple(str(path) for path in chosen), labels, class_names, len(files) - len(pictures))


def _common(layout: Layout, size: Any, channels: int | None) -> tuple[tuple[int, int], int]:
    """Return the size and channels to bring all to: as asked, else the most frequent size, and colour if any has it."""
    if size is not None and channels is not None:
        return size, channels
    sizes: Counter[tuple[int, int]] = Counter()
    colours = set()
    for where, content in layout.contents():
        found, colour = look_at(where, content)
        sizes[found] += 1
        colours.add(colour)
    most = max(sizes.values())
    # Of two equally frequent sizes the larger loses less; of many, as photographs have, one must not decide for all.
    frequent = sorted((item for item in sizes if sizes[item] == most), key=lambda item: (item[0] * item[1], item))
    return size or frequent[len(frequent) // 2], channels or max(colours)


def available_memory() -> int | None:
    """Return how many bytes of memory are free, or None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return None


def _check_memory(count: int, size: tuple[int, int], channels: int) -> None:
    available, needed = available_memory(), count * size[0] * size[1] * channels
    if available is None or needed <= available:
        return
    side = max(1, min(224, math.isqrt(available // (2 * count * channels))))
    raise ValueError(
        f"{count:,} pictures of {size[0]}x{size[1]}x{channels} would take {needed / 2**30:.1f} GiB, but "
        f"{available / 2**30:.1f} GiB are free; pass size=({side}, {side}) or read fewer."
    )


def _checked_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2:
        raise ValueError(f"size must be one number or (height, width), but is {size!r}.")
    return tuple(int(check_number("size", side, at_least=1, whole=True)) for side in pair)


def _checked_names(class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    if class_names is None:
        return None
    if isinstance(class_names, str):
        raise TypeError(f"class_names must be a sequence of names, but is the text {class_names!r}.")
    names = tuple(str(name) for name in class_names)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"class_names must name each class once, but is {_listed(names) or 'empty'}.")
    return names


def from_folder(
    path_or_zip: str | Path,
    *,
    name: str | None = None,
    split: str | None = None,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    class_names: Sequence[str] | None = None,
) -> ImageSet:
    """Return your own pictures from a folder or zip file in ImageFolder layout.

    Parameters
    ----------
    path_or_zip : str or Path
        ``root/class/picture`` or ``root/split/class/picture``; PNG, JPEG, WebP, BMP, GIF (first frame), TIFF, PGM, PPM.
        A zip file is read where it lies, never unpacked.
    name : str, optional
        Name of the set; by default that of the folder or file.
    split : str, optional
        Which split to read where there are several.
    size : int or (int, int), optional
        Height and width to bring all pictures to; by default the most frequent size (see the notes). Other aspects are
        cropped at the centre.
    channels : {1, 3}, optional
        Grey or colour; by default colour as soon as one picture is.
    class_names : sequence of str, optional
        The classes in the order of their numbers, as ``train.class_names`` for a test set: classes without pictures
        are allowed then, folders of other names are not. By default the class folders in alphabetical order, none of
        them empty.

    Returns
    -------
    ImageSet
        The provenance counts what was converted and ignored; the same goes to the log.

    Raises
    ------
    FolderError
        If the layout is another one, a class folder is empty or not among ``class_names``.
    PictureError
        If a picture cannot be read; the message names it.
    ValueError
        If the pictures would not fit into the memory.

    Notes
    -----
    Of several equally frequent sizes, the one of median area is taken. TIFFs of floats
    or 32 bits do not say which value is white: the largest value of the whole set chooses 1, 255 or 65535, and the
    provenance says which. Training and test pictures are two sets here: compare their provenance.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp()) / "pets"
    >>> for kind in ("cat", "dog"):
    ...     (root / kind).mkdir(parents=True)
    ...     Image.new("RGB", (32, 32)).save(root / kind / "1.png")
    >>> from_folder(root)
    ImageSet(pets: 2 images, 32x32x3, 2 classes)
    """
    root = Path(path_or_zip).expanduser()
    size = _checked_size(size)
    if channels is not None and channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), but is {channels!r}.")
    layout = read_layout(root, split, _checked_names(class_names))
    size, channels = _common(layout, size, channels)
    _check_memory(len(layout.paths), size, channels)
    images, notes = decode_all(layout.contents(), len(layout.paths), size, channels)
    name = name or root.name.removesuffix(".zip")
    for note in notes:
        _log.info("%s: %s", name, note)
    provenance = {
        "source": f"pictures in {root.name}" + (f", split {split}" if split else ""),
        "conversions": notes,
        "ignored": f"{layout.ignored} files that are no pictures",
    }
    return ImageSet(name, images, layout.labels, layout.class_names, provenance)


def _as_pictures(images: Any) -> tuple[np.ndarray, list[str]]:
    array = np.asarray(images.detach().cpu().numpy() if hasattr(images, "detach") else images)
    if array.size == 0:
        raise ValueError(f"images is empty (shape {array.shape}). Give at least one picture.")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        remedy = "Give one height x width x channels array per picture, grey or RGB."
        if array.ndim == 4 and array.shape[1] in (1, 3):
            remedy = "The channels seem to come first, as in PyTorch: pass images.transpose(0, 2, 3, 1)."
        raise ValueError(
            f"images must have shape (n, height, width) or (n, height, width, 1 or 3), but has shape "
            f"{np.shape(images)}. {remedy}"
        )
    if array.dtype == np.uint8:
        return array, []
    if array.dtype == bool:
        return array.astype(np.uint8) * 255, ["booleans to 0 and 255"]
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"images must be numbers (uint8, or float in [0, 1]), but its dtype is {array.dtype}.")
    check_finite("images", array, remedy="Drop or mend these pictures.")
    whole = np.issubdtype(array.dtype, np.integer)
    top = 255 if whole else 1
    if array.min() < 0 or array.max() > top:
        raise ValueError(
            f"images of dtype {array.dtype} must lie in [0, {top}], but range from {array.min()} to {array.max()}. "
            "Pass whole numbers in [0, 255] or floats in [0, 1], before any normalisation."
        )
    if whole:
        return array.astype(np.uint8), [f"{array.dtype} to uint8"]
    return np.rint(array * 255).astype(np.uint8), [f"{array.dtype} in [0, 1] to uint8"]


def from_arrays(images: Any, labels: Any = None, *, class_names: Any = None, name: str = "mine") -> ImageSet:
    """Return your own pictures as an ImageSet.

    Parameters
    ----------
    images : array, shape (n, height, width) or (n, height, width, 1 or 3)
        Whole numbers in [0, 255] or floats in [0, 1], not normalised. A tensor is accepted too.
    labels : array of int, shape (n,), optional
        Index of each picture's class. Leave it out for pictures without classes.
    class_names : sequence of str, optional
        By default the numbers of the classes.
    name : str
        Short name, as in tables and legends.

    Returns
    -------
    ImageSet

    Raises
    ------
    TypeError, ValueError
        If the dtype, shape, range or labels cannot be pictures; NaN is named with its place.

    Examples
    --------
    >>> from_arrays(np.linspace(0, 1, 64).reshape(1, 8, 8), name="ramp")
    ImageSet(ramp: 1 images, 8x8x1, not labelled)
    """
    pictures, notes = _as_pictures(images)
    if labels is None:
        labels, names = np.zeros(len(pictures), dtype=np.int64), UNLABELLED
    else:
        labels = check_labels("labels", labels, rows=len(pictures), classes=2**31)
        highest = max(0, int(labels.max())) + 1
        names = tuple(class_names) if class_names is not None else tuple(str(number) for number in range(highest))
    provenance = {"source": "arrays given by the user", "conversions": notes}
    return ImageSet(name, pictures.copy(), labels, names, provenance)

"""Your own pictures: a folder or zip in ImageFolder layout, of any size and mode."""

from __future__ import annotations

import logging
import math
import os
import posixpath
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from isomax_viz._common.checks import as_numeric, check_choice, check_finite, check_labels, check_number
from isomax_viz._common.system import available_memory
from isomax_viz.datasets.archives import archive_names, read_members
from isomax_viz.datasets.decode import PICTURE_SUFFIXES, decode_all, is_named_as_picture, is_picture, read_headers
from isomax_viz.datasets.images import UNLABELLED, ImageSet

__all__ = ["FolderError", "from_arrays", "from_folder", "read_layout"]

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
    ignored: str

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield where each picture lies and its bytes, in the order of ``paths``."""
        if self.root.is_dir():
            for path in self.paths:
                yield str(self.root / path), (self.root / path).read_bytes()
            return
        # The archive's own order may differ from the sorted one, but is the only one that reads it in a single pass.
        for name, content in read_members(self.root, set(self.paths).__contains__):
            yield f"{self.root}: {name}", content


def _is_hidden(path: str) -> bool:
    # Folders and files that macOS, Synology and version control put beside pictures.
    return any(part.startswith((".", "__MACOSX", "@eaDir")) for part in path.split("/"))


@dataclass(frozen=True)
class _Listing:
    """The pictures and folders below a root, relative to it, in reading order, and how many other files there are."""

    pictures: list[PurePosixPath]
    folders: list[PurePosixPath]
    others: int
    broken: int = 0


def _walk(root: Path) -> _Listing:
    """List a folder as torchvision does: linked folders are followed."""
    pictures, folders, others, broken = [], [], 0, 0
    for here, names, files in os.walk(root, followlinks=True):
        place, real = PurePosixPath(Path(here).relative_to(root).as_posix()), Path(here).resolve()
        # A link to a folder that holds it would never end.
        names[:] = [n for n in names if not _is_hidden(n) and not real.is_relative_to(Path(here, n).resolve())]
        folders += [place / name for name in names]
        for name in (name for name in files if not _is_hidden(name)):
            path = Path(here, name)
            if not path.is_file():
                broken += 1
            elif is_named_as_picture(name) or (not path.suffix and is_picture(_head(path))):
                pictures.append(place / name)
            else:
                others += 1
    return _Listing(pictures, folders, others, broken)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _list_zip(root: Path) -> _Listing:
    names = [name for name in archive_names(root) if not _is_hidden(name)]
    files = [name for name in names if not name.endswith("/")]
    nameless = {name for name in files if not PurePosixPath(name).suffix}
    unnamed = {name for name, content in read_members(root, nameless.__contains__) if is_picture(content[:16])}
    pictures = [PurePosixPath(name) for name in files if is_named_as_picture(name) or name in unnamed]
    folders = [PurePosixPath(name) for name in names if name.endswith("/")]
    return _Listing(pictures, folders, len(files) - len(pictures))


# What reads files of arrays.
_READERS = {".npz": "np.load(path)['images']", ".npy": "np.load(path)"}
_READERS |= dict.fromkeys((".pt", ".pth"), "torch.load(path, weights_only=True)")


def _listing(root: Path) -> _Listing:
    if root.is_dir():
        return _walk(root)
    if root.is_file() and root.suffix.lower() == ".zip":
        return _list_zip(root)
    remedy = f"{_LAYOUT}."
    if not root.exists():
        what = "does not exist"
    elif root.suffix.lower() in _READERS:
        what = "holds arrays"
        remedy = f"Pass the pictures in it: iv.datasets.from_arrays({_READERS[root.suffix.lower()]})."
    elif root.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
        what, remedy = "is a tar archive", "Unpack it and pass the folder."
    else:
        what = "is neither a folder nor a zip file"
    raise FolderError(f"path must be a folder or a zip file, but {root} {what}. {remedy}")


_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


def _below(base: PurePosixPath, pictures: Iterable[PurePosixPath]) -> dict[str, set[str]]:
    """Return the folders in ``base`` that hold pictures, each with its own such folders ("" for its own pictures)."""
    found: dict[str, set[str]] = {}
    for path in pictures:
        if path.is_relative_to(base):
            first, *others = path.relative_to(base).parts
            if others:
                found.setdefault(first, set()).add(others[0] if len(others) > 1 else "")
    return found


def _are_splits(folders: dict[str, set[str]]) -> bool:
    """Return whether folders are splits rather than classes: by their names, or as they hold the same classes."""
    if len(folders) < 2 or any("" in inner for inner in folders.values()):
        return False
    return {name.lower() for name in folders} <= _SPLITS or len(set.intersection(*folders.values())) > 1


def _base(root: Path, pictures: list[PurePosixPath], split: str | None) -> PurePosixPath:
    """Return the folder whose subfolders are the classes."""
    parents = {path.parent for path in pictures}
    base = PurePosixPath(posixpath.commonpath(map(str, parents)))
    if base in parents:  # a single class
        base = base.parent
    if split is not None:
        levels = {level: _below(level, pictures) for level in (*reversed(base.parents), base)}
        splits = {name: level / name for level, found in levels.items() for name in found if "" not in found[name]}
        check_choice("split", split, sorted(splits), remedy=f"These are the splits in {root}.")
        return splits[split]
    folders = _below(base, pictures)
    if _are_splits(folders):
        raise FolderError(
            f"{root} holds several splits: {_listed([repr(name) for name in sorted(folders)])}. Choose one with "
            f"split=... {_LAYOUT}."
        )
    return base


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def _composed(name: str) -> str:
    # macOS writes accents as characters of their own; what an old Linux wrote may be no letter at all.
    return unicodedata.normalize("NFC", name).encode(errors="backslashreplace").decode()


def _warn_of_numbers(names: tuple[str, ...]) -> None:
    if not all(name.isdecimal() for name in names):
        return
    moved = [place for place, name in enumerate(sorted(names, key=int)) if name != names[place]]
    if moved:
        warnings.warn(
            f"The class folders are numbers and were sorted as text, as torchvision does: label {moved[0]} is the "
            f"folder {names[moved[0]]!r}. Say which order a network was or will be trained with: "
            "class_names=sorted(names, key=int) for that of the numbers, class_names=sorted(names) for this one.",
            stacklevel=3,
        )


def read_layout(root: Path, split: str | None = None, class_names: tuple[str, ...] | None = None) -> Layout:
    """Return what a folder or zip in ImageFolder layout holds, without reading the pictures.

    Raises
    ------
    FolderError
        If there are no pictures, no class folders, several splits and none chosen, a class folder that is not among
        ``class_names``, or, where these are not given, one without pictures.
    """
    listing = _listing(root)
    if not listing.pictures:
        raise FolderError(f"{root} holds no pictures ({', '.join(PICTURE_SUFFIXES)}). {_LAYOUT}.")
    base = _base(root, listing.pictures, split)
    chosen = [path for path in listing.pictures if path.is_relative_to(base)]
    bare = [path for path in chosen if path.parent == base]
    if bare:
        raise FolderError(
            f"{root} has pictures without a class folder, such as {bare[0]}. {_LAYOUT}. Move them into one folder "
            "below it, such as 'all'; arrays are taken by iv.datasets.from_arrays(images)."
        )
    if root.is_dir():  # torchvision's order: class by class, the pictures of a folder before its folders
        chosen.sort(key=lambda path: (path.relative_to(base).parts[0], str(path.parent), path.name))
    owners = [_composed(path.relative_to(base).parts[0]) for path in chosen]
    classes = set(owners)
    found = classes | {_composed(folder.name) for folder in listing.folders if folder.parent == base}
    names = tuple(sorted(classes)) if class_names is None else class_names
    strange = sorted(found - set(names))
    if strange:
        what, remedy = "not in class_names", f"class_names has {_listed(names)}; add, rename or remove the folder."
        if class_names is None:
            what = "without pictures"
            remedy = (
                "Fill or remove them. If this is a test set, pass class_names=train.class_names instead: its classes "
                "are then numbered as in training, and may be empty."
            )
        folders = "1 class folder" if len(strange) == 1 else f"{len(strange)} class folders"
        raise FolderError(f"{root} has {folders} {what}: {_listed(strange)}. {remedy}")
    number = {name: index for index, name in enumerate(names)}
    labels = np.array([number[owner] for owner in owners], dtype=np.int64)
    ignored = f"{listing.others} files that are no pictures" + f", {listing.broken} broken links" * bool(listing.broken)
    return Layout(root, tuple(str(path) for path in chosen), labels, names, ignored)


def _common(layout: Layout, size: Any, channels: int | None) -> tuple[tuple[int, int], int]:
    """Return the size and channels to bring all to: as asked, else the most frequent size, and colour if any has it."""
    if size is not None and channels is not None:
        return size, channels
    headers = read_headers(layout.contents())
    sizes = Counter(found for found, _ in headers)
    most = max(sizes.values())
    # Of two equally frequent sizes the larger loses less; of many, as photographs have, one must not decide for all.
    frequent = sorted((item for item in sizes if sizes[item] == most), key=lambda item: (item[0] * item[1], item))
    return size or frequent[len(frequent) // 2], channels or max(colours for _, colours in headers)


def _check_memory(count: int, size: tuple[int, int], channels: int) -> None:
    available, needed = available_memory(), count * size[0] * size[1] * channels
    if needed <= available:
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
    height, width = (int(check_number("size", side, at_least=1, whole=True)) for side in pair)
    return height, width


def _checked_names(class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    if class_names is None:
        return None
    if isinstance(class_names, str):
        raise TypeError(f"class_names must be a sequence of names, but is the text {class_names!r}.")
    names = tuple(_composed(str(name)) for name in class_names)
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
        ``root/class/picture`` or ``root/split/class/picture``; PNG, JPEG, WebP, BMP, GIF (first frame), TIFF, PGM, PPM,
        AVIF, JPEG 2000. Pictures in folders below that of a class belong to the class, and linked folders are followed,
        as torchvision does. A zip file is read where it lies, never unpacked.
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
        If pictures cannot be read; the message names them. TIFFs of floats or of 32 bits are among these: they do not
        say which value is white.
    ValueError
        If the pictures would not fit into the memory.

    Warns
    -----
    UserWarning
        If class folders are numbers whose order as text, which is torchvision's, is not that of the numbers.

    Notes
    -----
    Of several equally frequent sizes, the one of median area is taken.

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
    if class_names is None:
        _warn_of_numbers(layout.class_names)
    size, channels = _common(layout, size, channels)
    _check_memory(len(layout.paths), size, channels)
    images, notes = decode_all(layout.contents(), len(layout.paths), size, channels)
    name = name or _composed(root.name.removesuffix(".zip"))
    for note in notes:
        _log.info("%s: %s", name, note)
    provenance = {
        "source": f"pictures in {root.name}" + (f", split {split}" if split else ""),
        "conversions": notes,
        "ignored": layout.ignored,
    }
    return ImageSet(name, images, layout.labels, layout.class_names, provenance)


def _as_pictures(images: Any) -> tuple[np.ndarray, list[str]]:
    array = as_numeric("images", images, kinds="biuf")
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
    check_finite("images", array, remedy="Drop or mend these pictures.")
    whole = np.issubdtype(array.dtype, np.integer)
    top = 255 if whole else 1
    if array.min(initial=0) < 0 or array.max(initial=0) > top:
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
        labels = check_labels("labels", labels, rows=len(pictures), classes=2**20)  # each gets a name
        names = _checked_names(class_names) or tuple(map(str, range(labels.max(initial=0) + 1)))
    provenance = {"source": "arrays given by the user", "conversions": notes}
    return ImageSet(name, pictures.copy(), labels, names, provenance)

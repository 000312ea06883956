"""Read pictures out of zip and tar files without unpacking them, and find the user's own bundles of pictures.

Nothing is ever written to disk, so no archive can write outside its folder. One that tries (a path with ``..``, an
absolute path, a link) is refused all the same: it is not what it claims to be.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from unicodedata import normalize

from isomax_viz._common.files import is_lfs_pointer
from isomax_viz.datasets.fetch import data_folder

__all__ = ["ArchiveError", "archive_names", "bundles", "has_split", "read_members"]

# Far above any file that the sets hold (the largest is a CIFAR batch of 150 MB), far below what would fill a memory.
_LARGEST_MEMBER = 2**30

# From this size on, what was packed a hundred times as small is no set of pictures: photographs hardly pack at all.
_SUSPICIOUS, _PACKED = 2**26, 100


class ArchiveError(ValueError):
    """An archive is damaged, truncated or unsafe."""


def _check_member(path: Path, name: str, *, link: bool, size: int) -> None:
    # The first test is for speed: archives hold tens of thousands of harmless names.
    if link or name.startswith("/") or "\\" in name or ":" in name or ".." in name:
        windows = PureWindowsPath(name)
        if link or windows.drive or windows.root or ".." in windows.parts:
            what = "a link" if link else "a path outside the archive's folder"
            raise ArchiveError(f"{path} holds {name!r}, {what}. It was not read; get it from its original source.")
    if size > _LARGEST_MEMBER:
        raise ArchiveError(f"{path} holds {name!r} of {size:,} bytes, more than the {_LARGEST_MEMBER:,} accepted.")


def _check_total(path: Path, size: int) -> None:
    packed = path.stat().st_size
    if size > max(_SUSPICIOUS, _PACKED * packed):
        raise ArchiveError(
            f"{path} holds at least {size:,} bytes, packed into {packed:,}: it would only fill the memory. It was not "
            "read; if it is pictures, unpack it and pass the folder."
        )


def _zip_entries(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    for item in archive.infolist():
        _check_member(path, item.filename, link=stat.S_ISLNK(item.external_attr >> 16), size=item.file_size)
    _check_total(path, sum(item.file_size for item in archive.infolist()))
    # Windows programs may write "\\" between folders, and macOS accents apart; of a name twice, the last counts.
    names = (normalize("NFC", item.filename.replace("\\", "/").removeprefix("./")) for item in archive.infolist())
    return dict(zip(names, archive.infolist(), strict=True))


def _read_zip(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name, item in _zip_entries(path, archive).items():
            if not name.endswith("/") and wanted(name):
                yield name, archive.read(item)


def _read_tar(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    # "r|*" reads the stream once, in its own order.
    total = 0
    with tarfile.open(path, "r|*") as archive:
        for item in archive:
            _check_member(path, item.name, link=item.issym() or item.islnk(), size=item.size)
            total += item.size
            _check_total(path, total)
            if item.isfile() and wanted(item.name):
                yield item.name, archive.extractfile(item).read()  # type: ignore[union-attr]  # files have a content


def read_members(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files in an archive, in the archive's order.

    Parameters
    ----------
    path : Path
        Zip or tar file; tar may be compressed.
    wanted : callable
        Which names to read; the others are only checked.

    Raises
    ------
    ArchiveError
        If the archive is damaged or truncated, or a member is a link, lies outside the folder or is far too large.
    """
    reader = _read_zip if path.name.lower().endswith(".zip") else _read_tar
    with _damage_named(path):
        yield from reader(path, wanted)


def archive_names(path: Path) -> list[str]:
    """Return the names in a zip archive, folders with a closing slash, after the same checks.

    Raises
    ------
    ArchiveError
        As :func:`read_members`.
    """
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        return list(_zip_entries(path, archive))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ArchiveError, MemoryError):
        raise
    # Damage shows as an error of nearly any kind. Of the system's own, bzip2's has no number, and to seek to where no
    # file can be is an invalid argument.
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ArchiveError:
    with path.open("rb") as file:
        if is_lfs_pointer(file.read(99)):
            return ArchiveError(f"{path} is a Git LFS pointer, not the archive itself. Fetch it with: git lfs pull")
    if isinstance(error, NotImplementedError):  # Deflate64 is what Windows makes of large folders
        return ArchiveError(
            f"{path} uses a compression that Python cannot read, such as Deflate64 ({error}). Unpack it and pass the "
            "folder, or pack it anew."
        )
    if isinstance(error, RuntimeError):
        return ArchiveError(f"{path} is locked with a password. Unpack it and pass the folder.")
    return ArchiveError(f"{path} is damaged or truncated ({error}). Delete it and fetch it again.")


def bundles(name: str) -> list[Path]:
    """Return the bundles of a set, in the data folder and in ``ISOMAX_VIZ_BUNDLES``."""
    folders = [data_folder(), *(Path(item) for item in [os.environ.get("ISOMAX_VIZ_BUNDLES", "")] if item)]
    return [path for path in (folder.expanduser() / f"{name}.zip" for folder in folders) if path.is_file()]


def has_split(path: Path, split: str) -> bool:
    """Return whether a bundle has a folder of that name (reads the list of its names only).

    Raises
    ------
    ArchiveError
        If the bundle is damaged or unsafe.
    """
    return any(split in name.split("/")[:-1] for name in archive_names(path))

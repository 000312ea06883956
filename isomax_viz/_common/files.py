"""Files that are there whole or not at all, whatever dies in between: hidden names, the disk's word, locks, digests."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from pandas.api.types import is_numeric_dtype

__all__ = [
    "csv_text", "delete", "discard", "file_digest", "is_lfs_pointer", "json_digest", "locked", "make_folder",
    "new_entry", "short_name", "sweep", "write_text",
]  # fmt: skip

logger = logging.getLogger(__name__)

# Windows renames nothing that somebody has open: another process that reads it, or a virus scanner for a moment.
_PATIENCE_S = (0.01, 0.1, 0.5, 1.0, 2.0) if sys.platform == "win32" else ()
# What systems say that can't flush a folder, as opposed to those that tried and failed.
_CANT_FLUSH_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EISDIR)
# A file system takes names of 255 bytes; a hidden name is longer than its own by some forty.
_LONGEST = 200
_MACHINE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


@contextmanager
def new_entry(path: Path, *, remedy: str = "") -> Iterator[Path]:
    """Yield where to write a new file or folder; when the block ends well it is on the disk, and then named ``path``.

    What is written lies in a hidden folder of its own beside ``path``, so that whatever a library writes beside it (a
    download, a temporary file) goes the same way. A former file stays until the new one is whole; a former folder must
    be discarded first. Folders above are made.

    Raises
    ------
    OSError
        If the place can't be written, is full, or the disk could not take what was written. With a ``remedy``, its
        words name the place and end with that.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new" / "page.html"
    >>> with new_entry(path) as page:
    ...     _ = page.write_text("<p>")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('<p>', 1)
    """
    hidden = _hidden(path)
    try:
        make_folder(path.parent)
        sweep(path, only_of_the_dead=True)
        hidden.mkdir()
        content = hidden / path.name
        yield content
        if content.is_file():  # some libraries write for the owner only, whatever the umask says
            content.chmod(hidden.stat().st_mode & 0o666)
        _flush(content)
        _rename(content, path)
        _flush_folder(path.parent)
    except OSError as error:
        if not remedy:
            raise
        raise OSError(f"{path} could not be written: {error.strerror or error}. {remedy}") from error
    finally:
        with suppress(OSError):
            delete(hidden)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing, so that a power cut does not lose them again.

    Raises
    ------
    OSError
        If it can't be made; a link that leads nowhere is called that.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:  # from None: its words would stand for the reason
        if path.is_dir():  # another process was faster
            return
        if path.is_symlink():
            raise FileNotFoundError(errno.ENOENT, f"it is a link to {os.readlink(path)}, which is not there") from None
        raise NotADirectoryError(errno.ENOTDIR, f"{path} is a file, not a folder") from None
    _flush_folder(path.parent)


def _hidden(path: Path) -> Path:
    """Return a name beside ``path`` that no other process and no other thread will choose."""
    return path.with_name(f".{short_name(path.name)}.{_MACHINE}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def short_name(name: str) -> str:
    """Return the name of a file, cut where no file system would take it; what was cut still tells it from others.

    Examples
    --------
    >>> short_name("entropy"), len(short_name("long" * 100))
    ('entropy', 113)
    """
    if len(os.fsencode(name)) <= _LONGEST:
        return name
    return f"{name[:48]}-{hashlib.sha256(os.fsencode(name)).hexdigest()}"


def csv_text(table: pd.DataFrame, **options: Any) -> str:
    """Return a table as CSV in which no name is a formula: spreadsheets run what begins with ``= + - @``.

    Such texts get an apostrophe in front, by which spreadsheets know a text. Numbers stay as they are.

    Examples
    --------
    >>> csv_text(pd.DataFrame({"ood": ["=cmd()", "letters"], "AUROC": [-0.5, 0.5]})).splitlines()
    ['ood,AUROC', "'=cmd(),-0.5", 'letters,0.5']
    """
    texts = [name for name in table if not is_numeric_dtype(table[name])]
    safe = table.assign(**{name: table[name].map(_no_formula) for name in texts}).rename(columns=_no_formula)
    return safe.to_csv(index=False, lineterminator="\n", **options)


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def is_lfs_pointer(content: bytes) -> bool:
    """Return whether this is what Git LFS puts in the place of a file that it has not fetched.

    Examples
    --------
    >>> is_lfs_pointer(b"version https://git-lfs.github.com/spec/v1"), is_lfs_pointer(b"GIF89a")
    (True, False)
    """
    return content.startswith(b"version https://git-lfs")


def sweep(*paths: Path, only_of_the_dead: bool = False) -> None:
    """Delete what killed processes left half-written of these files and folders.

    Parameters
    ----------
    *paths : Path
        Whoever holds the lock of a path knows that nobody is writing it.
    only_of_the_dead : bool
        For want of a lock: only what processes of this machine left that are no longer there.
    """
    for path in paths:
        pattern = re.compile(rf"\.{re.escape(short_name(path.name))}\.([0-9a-f]{{8}})\.(\d{{1,9}})\.[0-9a-f]{{8}}\.tmp")
        for item in path.parent.iterdir() if path.parent.is_dir() else ():
            found = pattern.fullmatch(item.name)
            if found and not (only_of_the_dead and (found[1] != _MACHINE or psutil.pid_exists(int(found[2])))):
                logger.info("Deleting %s, left behind by a process that was stopped.", item)
                with suppress(OSError):
                    delete(item)


def _flush(path: Path) -> None:
    """Wait until a file, or a folder with all that it holds, is on the disk.

    A rename may reach the disk before the content does: after a power cut the name would stand for an empty file.
    """
    if path.is_dir():
        for item in path.iterdir():
            _flush(item)
        _flush_folder(path)
    else:
        with path.open("r+b") as file:
            os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    if sys.platform == "win32":  # opens no folders
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _CANT_FLUSH_FOLDERS:
            raise
    finally:
        os.close(folder)


def _rename(path: Path, new: Path) -> None:
    for pause_s in _PATIENCE_S:
        try:
            path.replace(new)
            return
        except PermissionError:
            time.sleep(pause_s)
    path.replace(new)


def discard(path: Path) -> None:
    """Delete a folder, if it is there, so that it is whole or gone at any moment: it is renamed first."""
    if path.exists() or path.is_symlink():
        hidden = _hidden(path)
        _rename(path, hidden)
        delete(hidden)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder with all it holds; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, remedy: str, encoding: str = "utf-8") -> None:
    """Write a text file and make the folders that it lies in; a former file stays until the new one is whole.

    Parameters
    ----------
    path : Path
    text : str
    remedy : str
        What to do if the place cannot be written.
    encoding : str

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with new_entry(path, remedy=remedy) as file:
        file.write_text(text, encoding=encoding, newline="\n")


@contextmanager
def locked(path: Path, *, waiting: str = "") -> Iterator[None]:
    """Keep other processes out while the block runs.

    Parameters
    ----------
    path : Path
        The lock's own file; it stays.
    waiting : str
        What to log if another process holds it.

    Raises
    ------
    OSError
        If the lock can't be had: its folder is somebody else's, or on a file system without locks.
    """
    from filelock import FileLock, Timeout

    make_folder(path.parent)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if waiting:
            logger.warning("%s", waiting)
        lock.acquire()
    except NotImplementedError as error:
        raise OSError(errno.ENOLCK, str(error)) from error
    try:
        yield
    finally:
        lock.release()


def file_digest(path: Path, kind: str = "sha256") -> str:
    """Return the checksum of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def json_digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of JSON values, whatever their layout in the file.

    Examples
    --------
    >>> json_digest({"seed": 0, "loss": "isomax"}) == json_digest({"loss": "isomax", "seed": 0})
    True
    """
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

"""Files that are there whole or not at all: a hidden name nobody else has, the disk's word, then the rename."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["delete", "discard", "hidden_name", "is_leftover", "put_in_place", "settle", "write_text"]

# Windows renames nothing that somebody has open: another process that reads it, or a virus scanner for a moment.
_PATIENCE_S = (0.01, 0.1, 0.5, 1.0, 2.0) if sys.platform == "win32" else ()


def hidden_name(path: Path) -> Path:
    """Return a name beside ``path`` that no other process and no other thread will choose.

    Examples
    --------
    >>> one, other = hidden_name(Path("a/b.json")), hidden_name(Path("a/b.json"))
    >>> one.parent == Path("a"), one == other, is_leftover(one.name, of="b.json")
    (True, False, True)
    """
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def is_leftover(name: str, *, of: str) -> bool:
    """Return whether this is a hidden name of ``of``; if nobody is writing, a killed process left it behind."""
    return re.fullmatch(rf"\.{re.escape(of)}\.\d+(\.[0-9a-f]+)?\.tmp", name) is not None


def settle(path: Path) -> None:
    """Wait until a file is on the disk.

    A rename may reach the disk before the content does: after a power cut the name would stand for an empty file.
    """
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def put_in_place(hidden: Path, path: Path) -> None:
    """Rename a complete file or folder, and wait until the disk knows the new name."""
    _rename(hidden, path)
    with suppress(OSError):  # some systems cannot open a folder; the name is then written a little later
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
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
        hidden = hidden_name(path)
        _rename(path, hidden)
        delete(hidden)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder with all it holds; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, remedy: str) -> None:
    """Write a file as UTF-8 and make the folders that it lies in; a former file stays until the new one is whole.

    Parameters
    ----------
    path : Path
    text : str
    remedy : str
        What to do if the place cannot be written.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "new" / "page.html"
    ...     write_text(path, "<p>", remedy="Choose another path.")
    ...     path.read_text(), len(list(path.parent.iterdir()))
    ('<p>', 1)
    """
    hidden = hidden_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_text(text, encoding="utf-8")
        settle(hidden)
        put_in_place(hidden, path)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror or error}. {remedy}") from error
    finally:
        with suppress(OSError):
            hidden.unlink()

"""Checked downloads into one folder; without a network, one message that says what to put where.

The checksums are the MD5 sums that torchvision and pytorch-ood record for the same files. MD5 guards against damage,
not against an attacker; nothing in a downloaded file is ever executed (see :mod:`isomax_viz.datasets.originals`).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from isomax_viz._common.checks import missing_package
from isomax_viz._common.files import delete, hidden_name, is_leftover, put_in_place, settle

__all__ = ["DownloadError", "RemoteFile", "data_folder", "fetch", "is_ready", "locked", "sweep"]

_log = logging.getLogger(__name__)
_TIMEOUT = 30  # seconds without an answer


class DownloadError(OSError):
    """A file is not there and could not be fetched."""


@dataclass(frozen=True)
class RemoteFile:
    """A file with its homes and checksum.

    Attributes
    ----------
    name : str
        File name in the data folder.
    urls : tuple of str
        Where it can be had; tried in order.
    md5 : str
        Checksum, hexadecimal.
    """

    name: str
    urls: tuple[str, ...]
    md5: str


def data_folder() -> Path:
    """Return the folder of downloads: ``ISOMAX_VIZ_DATA``, else ``data/downloads`` of the checkout.

    Where the package is installed without a checkout around it, the user's cache folder takes its place.

    Examples
    --------
    >>> data_folder().is_absolute()
    True
    """
    chosen = os.environ.get("ISOMAX_VIZ_DATA")
    if chosen:
        return Path(chosen).expanduser().absolute()
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout / "data" / "downloads"
    import pooch

    return Path(pooch.os_cache("isomax_viz")).absolute()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def is_ready(file: RemoteFile) -> bool:
    """Return whether the file lies in the data folder, readable and with the right checksum (reads it whole)."""
    path = data_folder() / file.name
    try:
        return path.is_file() and _md5(path) == file.md5
    except OSError:
        return False


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Keep other processes out while a file is made, and yield True.

    Where the lock cannot be had, because the folder or the lock is somebody else's, yield False: files then still
    appear whole, at worst twice.
    """
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"))
        lock.acquire()
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def sweep(*paths: Path) -> None:
    """Delete what killed processes left half-written; whoever holds the lock knows that nobody is writing it."""
    for path in paths:
        for item in path.parent.iterdir():
            if is_leftover(item.name, of=path.name):
                _log.info("Deleting %s, left behind by a process that was stopped.", item)
                with suppress(OSError):
                    delete(item)


def _explain(file: RemoteFile, path: Path, reasons: list[str]) -> DownloadError:
    found = ""
    try:
        if path.is_file():
            found = f"The file there has another checksum ({_md5(path)}): truncated or altered, it was left alone. "
    except OSError as error:
        found = f"The file there cannot be read ({type(error).__name__}): ask its owner for the right to read it. "
    return DownloadError(
        f"{file.name} is needed but could not be downloaded ({'; '.join(reasons)}). {found}To go on without a network, "
        f"fetch it elsewhere from {' or '.join(file.urls)}, check that its MD5 is {file.md5}, and put it at {path} "
        f"(the environment variable ISOMAX_VIZ_DATA chooses another folder)."
    )


def fetch(file: RemoteFile) -> Path:
    """Return the path of a file, downloading it first if it is absent or its checksum is wrong.

    A download goes to a temporary file beside its place and gets its name only once it is complete and its checksum is
    right, so an interrupted one is simply started again.

    Raises
    ------
    DownloadError
        If no home answers with the right file. The message names the file, its checksum and where to put it by hand.
    """
    path = data_folder() / file.name
    with locked(path) as alone:
        if is_ready(file):
            return path
        try:
            import pooch
            from tqdm.auto import tqdm
        except ImportError as error:
            raise missing_package("pooch", f"download {file.name}", install="pooch tqdm") from error

        pooch.get_logger().setLevel("WARNING")
        if alone:
            sweep(path)
        reasons = []
        for url in file.urls:
            _log.info("Downloading %s from %s", file.name, url)
            try:
                with tqdm(total=0, unit="B", unit_scale=True, leave=False, desc=file.name) as bar:
                    load = pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT)
                    _retrieve(path, partial(pooch.retrieve, url, f"md5:{file.md5}", downloader=load))
                return path
            # requests' errors are OSErrors; a wrong checksum is a ValueError.
            except (OSError, ValueError) as error:
                reasons.append(f"{url}: {_short(error)}")
    raise _explain(file, path, reasons)


def _retrieve(path: Path, load: Callable[..., str]) -> None:
    """Download into a folder of its own, so that a killed process leaves nothing behind that nobody would know."""
    folder = hidden_name(path)
    try:
        folder.mkdir()
        content = Path(load(fname=path.name, path=folder))
        settle(content)
        # pooch's files are for their owner only; the folder was made as the umask says.
        content.chmod(folder.stat().st_mode & 0o666)
        put_in_place(content, path)
    finally:
        with suppress(OSError):
            delete(folder)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "does not match the known hash" in text:
        return "what it sent has the wrong checksum"
    return f"{type(error).__name__}" + (f" {text[:120]}" if text else "")

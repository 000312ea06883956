"""Checked downloads into one folder; without a network, one message that says what to put where.

The checksums are the MD5 sums that torchvision and pytorch-ood record for the same files. MD5 guards against damage,
not against an attacker; nothing in a downloaded file is ever executed (see :mod:`isomax_viz.datasets.formats`).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isomax_viz._checks import missing_package

__all__ = ["DownloadError", "RemoteFile", "data_folder", "fetch", "is_ready"]

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
    """Return whether the file lies in the data folder with the right checksum (reads it whole)."""
    path = data_folder() / file.name
    return path.is_file() and _md5(path) == file.md5


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out while a file is made; where the folder cannot be written there is nothing to guard."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"))
        lock.acquire()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _explain(file: RemoteFile, path: Path, reasons: list[str]) -> DownloadError:
    found = ""
    if path.is_file():
        found = f"The file there has another checksum ({_md5(path)}): it is truncated or altered, and was left alone. "
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
    with locked(path):
        if is_ready(file):
            return path
        try:
            import pooch
            from tqdm.auto import tqdm
        except ImportError as error:
            raise missing_package("pooch", f"download {file.name}", install="pooch tqdm") from error

        pooch.get_logger().setLevel("WARNING")
        reasons = []
        for url in file.urls:
            _log.info("Downloading %s from %s", file.name, url)
            try:
                with tqdm(total=0, unit="B", unit_scale=True, leave=False, desc=file.name) as bar:
                    load = pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT)
                    pooch.retrieve(url, f"md5:{file.md5}", fname=path.name, path=path.parent, downloader=load)
                return path
            # requests' errors are OSErrors; a wrong checksum is a ValueError.
            except (OSError, ValueError) as error:
                reasons.append(f"{url}: {_short(error)}")
    raise _explain(file, path, reasons)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "does not match the known hash" in text:
        return "what it sent has the wrong checksum"
    return f"{type(error).__name__}" + (f" {text[:120]}" if text else "")

"""Checked downloads into one folder; without a network, one message that says what to put where.

The checksums are the MD5 sums that torchvision and pytorch-ood record for the same files, and SHA-256 in their place
where it is known. MD5 guards against damage, not against an attacker; nothing in a downloaded file is ever executed
(see :mod:`isomax_viz.datasets.originals`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from isomax_viz._common.files import file_digest, locked, new_entry

__all__ = ["DownloadError", "RemoteFile", "data_folder", "fetch", "is_ready", "locked_if_possible"]

_log = logging.getLogger(__name__)
_TIMEOUT = 30  # seconds without an answer
# MD5 -> SHA-256 of the same file, as TensorFlow Datasets, Keras and others record it.
_SHA256 = {
    "c58f30108f718f92721af3b95e74349a": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",  # CIFAR10
    "eb9058c3a382ffc7106e4002c42a8d85": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",  # CIFAR100
    "e26dedcc434d2e4c54c9b2d4a06d8373": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",  # SVHN
    "eb5a983be6a315427106f1b164d9cef3": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    "f68b3c2dcbeaaa9fbdd348bbdeb94873": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",  # MNIST
    "d53e105ee54ea40749a09fcbcd1e9432": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "9fb629c4189551a2d022fa330f9573f3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "ec29112dd5afa0611ce80d1b7f02629c": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",  # Fashion
    "25c81989df183df01b3e8a0aad5dffbe": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "bef4ecab320f06d8554ea6380940ec79": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "bb300cfdad3c16e7a12a480ee83cd310": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    "90528d7ca1a48142e341f4ef8d21d0de": "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",  # Tiny
}


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

    @property
    def checksum(self) -> tuple[str, str]:
        """Kind and value of the strongest checksum that is known of the file."""
        return ("sha256", _SHA256[self.md5]) if self.md5 in _SHA256 else ("md5", self.md5)


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


def is_ready(file: RemoteFile) -> bool:
    """Return whether the file lies in the data folder, readable and with the right checksum (reads it whole)."""
    path, (kind, value) = data_folder() / file.name, file.checksum
    try:
        return path.is_file() and file_digest(path, kind) == value
    except OSError:
        return False


@contextmanager
def locked_if_possible(path: Path) -> Iterator[None]:
    """Keep other processes out while a file is made.

    Where the lock cannot be had, because the folder or the lock is somebody else's, files still appear whole, at worst
    twice.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(locked(path.with_name(path.name + ".lock")))
        yield


def _explain(file: RemoteFile, path: Path, reasons: list[str]) -> DownloadError:
    found, (kind, value) = "", file.checksum
    try:
        if path.is_file():
            digest = file_digest(path, kind)
            found = f"The file there has another checksum ({digest}): truncated or altered, it was left alone. "
    except OSError as error:
        found = f"The file there cannot be read ({type(error).__name__}): ask its owner for the right to read it. "
    return DownloadError(
        f"{file.name} is needed but could not be downloaded ({'; '.join(reasons)}). {found}To go on without a network, "
        f"fetch it elsewhere from {' or '.join(file.urls)}, check that its {kind.upper()} is {value}, and put it at "
        f"{path} (the environment variable ISOMAX_VIZ_DATA chooses another folder)."
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
    with locked_if_possible(path):
        if is_ready(file):
            return path
        import pooch
        from tqdm.auto import tqdm

        pooch.get_logger().setLevel("WARNING")
        reasons = []
        for url in file.urls:
            _log.info("Downloading %s from %s", file.name, url)
            try:
                with tqdm(total=0, unit="B", unit_scale=True, leave=False, desc=file.name) as bar:
                    load = pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT)
                    with new_entry(path) as place:
                        known = ":".join(file.checksum)
                        pooch.retrieve(url, known, downloader=load, fname=place.name, path=place.parent)
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

"""Where results live on disk: one folder per experiment, complete or absent, with a lock and checksums.

A folder holds ``manifest.json`` (the experiment, its history, versions, device, duration, sizes and checksums),
``network.safetensors`` (the weights) and ``capture.safetensors`` (what the network said; it carries its own checksum).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isomax_viz.captures import Capture

__all__ = ["Store", "StoreError", "default_folder"]

logger = logging.getLogger(__name__)

FORMAT = "isomax_viz.run"
FORMAT_VERSION = 1
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")


class StoreError(RuntimeError):
    """The store can't be written, or what lies in it is damaged, foreign or from a newer version."""


def default_folder() -> Path:
    """Return the folder of the store: ``ISOMAX_VIZ_STORE`` if set, else ``runs/``.

    ``runs/`` stands at the top of the repository where the package is used from a checkout (notebooks run in a folder
    of their own and must find the same store), and in the working folder otherwise.
    """
    chosen = os.environ.get("ISOMAX_VIZ_STORE")
    if chosen:
        return Path(chosen).expanduser()
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "runs"


class Store:
    """Trained networks and captures on disk, by experiment id.

    Parameters
    ----------
    folder : str or Path, optional
        See :func:`default_folder`.

    Examples
    --------
    >>> import tempfile
    >>> Store(tempfile.mkdtemp()).ids()
    []
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder).expanduser()

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, {len(self.ids())} experiments)"

    def path(self, experiment_id: str) -> Path:
        """Return the folder of an experiment; it need not exist.

        Raises
        ------
        ValueError
            If the id could lead out of the store.
        """
        if not _SAFE_NAME.fullmatch(experiment_id):
            raise ValueError(
                f"{experiment_id!r} is no experiment id: letters, digits and . _ + = - only, starting with a letter or "
                "digit. Take it from Experiment(...).id."
            )
        return self.folder / experiment_id

    def ids(self) -> list[str]:
        """Return the ids of all complete experiments, sorted."""
        if not self.folder.is_dir():
            return []
        return sorted(item.parent.name for item in self.folder.glob("*/manifest.json") if item.parent.name[0] != ".")

    def __contains__(self, experiment_id: str) -> bool:
        return (self.path(experiment_id) / "manifest.json").is_file()

    def checkpoint_path(self, experiment_id: str) -> Path:
        """Return where the state of an unfinished training is kept."""
        return self.folder / ".unfinished" / f"{self.path(experiment_id).name}.safetensors"

    @contextmanager
    def lock(self, experiment_id: str) -> Iterator[None]:
        """Hold the lock of an experiment, so that two notebooks asking for it train it once.

        Raises
        ------
        StoreError
            If the store can't be written.
        """
        from filelock import FileLock, Timeout

        target = self.path(experiment_id)
        with self._explained():
            (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".locks" / f"{target.name}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                logger.warning("%s is being computed by another process; waiting for it.", experiment_id)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"The store {self.folder} can't be written: {error.strerror or error}. Choose a folder that you may "
                "write to and that has free space: set ISOMAX_VIZ_STORE, or pass store=... to Experiment.run()."
            ) from error

    def write(
        self, experiment_id: str, *, manifest: Mapping[str, Any], weights: Mapping[str, Any], capture: Capture
    ) -> None:
        """Write a finished experiment under a temporary name, then rename it: it is there whole or not at all.

        Parameters
        ----------
        experiment_id : str
            Its id.
        manifest : mapping
            The experiment, history, versions and so on; JSON values.
        weights : mapping of str to ndarray
            The network's state.
        capture : Capture
            What the network said.
        """
        from safetensors.numpy import save_file

        target = self.path(experiment_id)
        temporary = self.folder / f".{target.name}.{os.getpid()}.tmp"
        try:
            with self._explained():
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
                network = temporary / "network.safetensors"
                save_file(dict(weights), network)
                capture.save(temporary / "capture.safetensors")
                files = {network.name: {"bytes": network.stat().st_size, "sha256": _sha256(network)}}
                head = {"format": FORMAT, "version": FORMAT_VERSION, "id": experiment_id}
                document = {**head, **manifest, "files": files}
                (temporary / "manifest.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
                if target.exists():  # an incomplete or damaged one; a whole one is never written twice
                    shutil.rmtree(target)
                temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def manifest(self, experiment_id: str) -> dict[str, Any]:
        """Return the manifest of an experiment.

        Raises
        ------
        StoreError
            If it is missing, damaged, foreign or from a newer version.
        """
        path = self.path(experiment_id) / "manifest.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            form, version = document["format"], document["version"]
            complete = form != FORMAT or {"experiment", "history", "files"} <= set(document)
        except FileNotFoundError as error:
            raise StoreError(f"There is no experiment {experiment_id} in {self.folder}. Run it first.") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(path, str(error)) from error
        if form != FORMAT or not isinstance(version, int):
            raise self._damaged(path, "it is not a manifest of isomax_viz")
        if not complete and version <= FORMAT_VERSION:
            raise self._damaged(path, "a part of it is missing")
        if version > FORMAT_VERSION:
            raise StoreError(
                f"{path} has format version {version}; this version of isomax_viz reads up to {FORMAT_VERSION}. Update "
                "isomax_viz, or use another store (ISOMAX_VIZ_STORE)."
            )
        return document

    def capture(self, experiment_id: str) -> Capture:
        """Return the stored capture; see :meth:`isomax_viz.Capture.load` for what it raises."""
        return Capture.load(self.path(experiment_id) / "capture.safetensors")

    def replace_capture(self, experiment_id: str, capture: Capture) -> None:
        """Put another capture in the place of the stored one, atomically."""
        with self._explained():
            capture.save(self.path(experiment_id) / "capture.safetensors")

    def weights(self, experiment_id: str) -> dict[str, Any]:
        """Return the network's state as arrays, after comparing the file with the manifest's checksum.

        Raises
        ------
        StoreError
            If the file is missing or its checksum differs.
        """
        from safetensors.numpy import load_file

        path = self.path(experiment_id) / "network.safetensors"
        expected = self.manifest(experiment_id)["files"][path.name]["sha256"]
        if not path.is_file() or _sha256(path) != expected:
            raise self._damaged(path, "its checksum does not match the manifest's")
        return load_file(path)

    def remove(self, experiment_id: str) -> None:
        """Delete an experiment; nothing happens if it is not there."""
        with self._explained():
            shutil.rmtree(self.path(experiment_id), ignore_errors=False) if experiment_id in self else None

    def _damaged(self, path: Path, reason: str) -> StoreError:
        return StoreError(
            f"{path} is damaged and was not read ({reason}). Delete the folder {path.parent} and run the experiment "
            "again."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

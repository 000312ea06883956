"""The folder of the store: one folder per experiment, whole or absent, with a lock and checksums.

A folder holds

``manifest.json``
    The experiment, its protocol, versions, device, duration, accuracy, and size and checksum of the two files that
    never change. It carries a checksum of its own and is small: a thousand of them are listed in under a second.
``history.json``
    One row per epoch and split.
``network.safetensors``
    The weights.
``capture.safetensors``
    What the network said. It changes when out-of-distribution sets join, so it carries its own checksum: two files that
    had to change together could be parted by a power cut.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isomax_viz._common.files import discard, file_digest, json_digest, locked, new_entry, sweep
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.files import damaged

__all__ = ["FORMAT", "FORMAT_VERSION", "Store", "StoreError", "default_folder", "not_whole"]

logger = logging.getLogger(__name__)

FORMAT = "isomax_viz.run"
FORMAT_VERSION = 2


class StoreError(RuntimeError):
    """The store can't be written, or what lies in it is damaged, foreign or from a newer version."""


def not_whole(path: Path, reason: str) -> StoreError:
    """Return the error to raise for a file of an experiment that can't be trusted."""
    return StoreError(
        f"{path} is damaged and was not read ({reason}). Delete the folder {path.parent} and run the experiment again."
    )


_UNCHANGING = ("network.safetensors", "history.json")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,199}")


def default_folder() -> Path:
    """Return the folder of the store: ``ISOMAX_VIZ_STORE`` if set, else ``runs/``.

    ``runs/`` stands at the top of the repository where the package is used from a checkout (notebooks run in a folder
    of their own and must find the same store), and in the working folder otherwise.
    """
    chosen = os.environ.get("ISOMAX_VIZ_STORE")
    if chosen:
        return Path(chosen).expanduser()
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "runs"


class Store:
    """Trained networks and captures on disk, by experiment id.

    Parameters
    ----------
    folder : str, Path or Store, optional
        See :func:`default_folder`.

    Examples
    --------
    >>> import tempfile
    >>> Store(tempfile.mkdtemp()).ids()
    []
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder).expanduser()

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, {len(self.ids())} experiments)"

    def path(self, experiment_id: str) -> Path:
        """Return the folder of an experiment; it need not exist.

        Raises
        ------
        ValueError
            If the id could lead out of the store.
        """
        if not self.is_id(experiment_id):
            raise ValueError(
                f"{experiment_id!r} is no experiment id: up to 200 letters, digits and . _ + = -, starting with a "
                "letter or digit. Take it from Experiment(...).id."
            )
        return self.folder / experiment_id

    @staticmethod
    def is_id(name: str) -> bool:
        """Return whether this can be an experiment's id, and so the name of a folder inside the store."""
        return _SAFE_NAME.fullmatch(name) is not None

    def ids(self) -> list[str]:
        """Return the ids of all complete experiments, and of those that can't be looked into, sorted.

        Raises
        ------
        StoreError
            If the store can't be read.
        """
        try:
            names = [item.name for item in os.scandir(self.folder)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(
                f"The store {self.folder} can't be read: {error.strerror}. Ask its owner for the right to, or choose "
                "another: set ISOMAX_VIZ_STORE, or pass store=... to Experiment.run()."
            ) from error
        return sorted(name for name in names if self.is_id(name) and name in self)

    def __contains__(self, experiment_id: str) -> bool:
        try:
            return (self.path(experiment_id) / "manifest.json").is_file()
        except PermissionError:  # another user's; to read it will say so
            return True

    def checkpoint_path(self, experiment_id: str) -> Path:
        """Return where the state of an unfinished training is kept."""
        return self.folder / ".unfinished" / f"{self.path(experiment_id).name}.safetensors"

    def lock_path(self, experiment_id: str) -> Path:
        """Return the file of an experiment's lock, which is there since somebody first began to compute it."""
        return self.folder / ".locks" / f"{self.path(experiment_id).name}.lock"

    @contextmanager
    def lock(self, experiment_id: str) -> Iterator[None]:
        """Hold the lock of an experiment, so that two notebooks asking for it train it once.

        Raises
        ------
        StoreError
            If the store can't be written.
        """
        with ExitStack() as stack:
            with self._explained():
                words = f"{experiment_id} is being computed by another process; waiting for it."
                stack.enter_context(locked(self.lock_path(experiment_id), waiting=words))
                # Whoever holds the lock knows that nobody is writing it.
                target, unfinished = self.path(experiment_id), self.checkpoint_path(experiment_id)
                sweep(target, unfinished, *(target / name for name in (*_UNCHANGING, "capture.safetensors")))
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
            words = getattr(reason, "strerror", None) or reason
            raise StoreError(
                f"The store {self.folder} can't be written: {words}. Choose a folder that you may write to and that "
                "has free space: set ISOMAX_VIZ_STORE, or pass store=... to Experiment.run()."
            ) from error

    def write(self, experiment_id: str, *, manifest: Mapping[str, Any], weights: bytes, capture: Capture) -> None:
        """Write a finished experiment under a temporary name, then rename it: it is there whole or not at all.

        Parameters
        ----------
        experiment_id : str
            Its id; hold its :meth:`lock`.
        manifest : mapping
            The experiment, history, versions and so on; JSON values.
        weights : bytes
            The network's state as a safetensors document.
        capture : Capture
            What the network said.
        """
        target = self.path(experiment_id)
        with self._explained(), new_entry(target) as folder:
            folder.mkdir()
            (folder / "network.safetensors").write_bytes(weights)
            capture.save(folder / "capture.safetensors")
            (folder / "history.json").write_text(json.dumps(manifest["history"]), encoding="utf-8")
            document = {"format": FORMAT, "version": FORMAT_VERSION, "id": experiment_id}
            document |= {"created": datetime.now(UTC).isoformat(timespec="seconds")}
            document |= {name: value for name, value in manifest.items() if name != "history"}
            document |= {"entropic_scale": capture.meta.get("entropic_scale"), "accuracy": capture.test.accuracy}
            paths = [folder / name for name in _UNCHANGING]
            document["files"] = {p.name: {"bytes": p.stat().st_size, "sha256": file_digest(p)} for p in paths}
            document["sha256"] = json_digest(document)
            (folder / "manifest.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            discard(target)  # an incomplete or damaged one; a whole one is never written twice

    def head(self, experiment_id: str) -> dict[str, Any]:
        """Return the manifest without reading the history, which may be long.

        Raises
        ------
        StoreError
            If it is missing, damaged, foreign or from a newer version.
        """
        from isomax_viz.store.manifest import Manifest  # pydantic, for which nobody waits who has no store

        path = self.path(experiment_id) / "manifest.json"
        try:
            text = path.read_text(encoding="utf-8")
            document = json.loads(text)
            version = document["version"]
            if document["format"] != FORMAT or version < FORMAT_VERSION:
                raise ValueError("it is not a manifest of isomax_viz, or older than its first release")
            if version > FORMAT_VERSION:
                raise StoreError(
                    f"{path} has format version {version}; this version of isomax_viz reads up to {FORMAT_VERSION}. "
                    "Update isomax_viz, or use another store (ISOMAX_VIZ_STORE)."
                )
            if document["id"] != experiment_id:
                raise ValueError(f"it is the manifest of {document['id']!r:.80}")
            Manifest.model_validate_json(text, strict=True)
            if document.pop("sha256") != json_digest(document):
                raise ValueError("its checksum does not match")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreError(f"There is no experiment {experiment_id} in {self.folder}. Run it first.") from error
        except OSError as error:
            raise StoreError(
                f"{path} can't be read: {error.strerror or error}. It may be whole: mend the cause and read it again."
            ) from error
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise not_whole(path, " ".join(str(error).split())[:300]) from error
        return document

    def manifest(self, experiment_id: str) -> dict[str, Any]:
        """Return the manifest of an experiment, with its history.

        Raises
        ------
        StoreError
            If it is missing, damaged, foreign or from a newer version.
        """
        document = self.head(experiment_id)
        path = self.whole_file(experiment_id, "history.json", document)
        try:
            document["history"] = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise not_whole(path, str(error)) from error
        return document

    def capture(self, experiment_id: str, *, mmap: bool = False) -> Capture:
        """Return the stored capture; see :meth:`isomax_viz.Capture.load` for ``mmap`` and for what it raises."""
        path = self.path(experiment_id) / "capture.safetensors"
        capture = Capture.load(path, mmap=mmap)
        if capture.meta.get("id", experiment_id) != experiment_id:
            raise damaged(path, f"it is the capture of {capture.meta['id']}")
        return capture

    def replace_capture(self, experiment_id: str, capture: Capture) -> None:
        """Put another capture in the place of the stored one, atomically; hold the experiment's :meth:`lock`."""
        with self._explained():
            capture.save(self.path(experiment_id) / "capture.safetensors")

    def weights(self, experiment_id: str) -> bytes:
        """Return the network's state as a safetensors document, after comparing it with the manifest's checksum.

        Raises
        ------
        StoreError
            If the file is missing or its checksum differs.
        """
        return self.whole_file(experiment_id, "network.safetensors", self.head(experiment_id)).read_bytes()

    def whole_file(self, experiment_id: str, name: str, manifest: Mapping[str, Any]) -> Path:
        """Return the path of a file that never changes, after comparing it with the manifest's checksum.

        Raises
        ------
        StoreError
            If the file is missing or its checksum differs.
        """
        path = self.path(experiment_id) / name
        if not path.is_file() or file_digest(path) != manifest["files"].get(name, {}).get("sha256"):
            raise not_whole(path, "its checksum does not match the manifest's")
        return path

    def remove(self, experiment_id: str) -> None:
        """Delete an experiment and the state of its unfinished training; nothing happens if there is neither."""
        with self._explained():
            discard(self.path(experiment_id))
            self.checkpoint_path(experiment_id).unlink(missing_ok=True)

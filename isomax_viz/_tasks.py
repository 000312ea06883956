"""Tasks: what a worker of a sweep is told, what it does, and what it answers."""

from __future__ import annotations

import logging
import pickle
import secrets
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import isomax_viz
from isomax_viz.experiments import Experiment

__all__ = ["OWN", "Outcome", "Task", "WorkerError", "run_one", "work"]

logger = logging.getLogger(__name__)

OWN = (
    "A loss or backbone of your own must stand at the top level of a module (a .py file) that the workers can import, "
    "not in a notebook."
)
# A training seeds PyTorch's global random numbers; two at once in one process would share them.
_one_at_a_time = threading.Lock()


class WorkerError(RuntimeError):
    """A worker died, was cancelled, or put its result where this process can't read it."""


@dataclass(frozen=True)
class Task:
    """What the workers of a sweep are told beside the experiment itself.

    Each sweep has a ``call`` of its own: Dask takes equal arguments for the same task, and would answer a second sweep
    with the failure of the first.
    """

    ood: Any
    folder: Path
    device: str | torch.device | None
    threads: int | None = None
    call: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class Outcome:
    """What a worker answers. The result itself travels through the store."""

    id: str | None = None
    host: str | None = None
    folder: Path | None = None
    version: str | None = None
    error: Exception | None = None

    def why_unseen(self, experiment_id: str, folder: Path) -> str:
        """Return why a result that a worker says it stored is not found here."""
        if self.id != experiment_id:
            return (
                f"The worker on {self.host} calls the experiment {self.id}, here it is {experiment_id}: its isomax_viz "
                f"({self.version} there, {isomax_viz.__version__} here) or your own loss or backbone is another "
                "version. Make them the same."
            )
        return (
            f"The worker on {self.host} finished it and wrote it to {self.folder} there, but it is not in {folder} as "
            f"{socket.gethostname()} sees it. Choose a folder that all machines share, with store=... or "
            "ISOMAX_VIZ_STORE."
        )


def work(experiment: bytes, task: bytes) -> Outcome:
    """Run one experiment in a worker; what it raises is part of the answer.

    An error as an answer is the same for every executor, and needs no care that it survives the way back.

    Parameters
    ----------
    experiment, task : bytes
        Pickled.
    """
    try:
        # What the executor brings from the process that started the sweep, as it brings this very function: never from
        # the store, nor from any file of ours. JSON would not do, since it imports no class of the user's own.
        experiment, task = pickle.loads(experiment), pickle.loads(task)
    except Exception as error:  # noqa: BLE001 - whatever the import of the user's own modules raises
        return Outcome(error=WorkerError(f"the worker on {socket.gethostname()} can't load it ({error}). {OWN}"))
    with _alone(), _threads(task.threads):
        error = run_one(experiment, task)
    error = None if error is None else _portable(error)
    return Outcome(experiment.id, socket.gethostname(), task.folder, isomax_viz.__version__, error)


def run_one(experiment: Experiment, task: Task) -> Exception | None:
    """Run one experiment in this process and return what it raised, None if all went well."""
    try:
        experiment.run(task.ood, store=task.folder, device=task.device, progress=False)
    except Exception as error:  # noqa: BLE001 - one experiment's failure must not end the others
        _let_go(error)
        return error
    return None


def _let_go(error: BaseException | None) -> None:
    """Free what a failed call held, such as a network on the GPU that the next one needs; the traceback stays."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


@contextmanager
def _alone() -> Iterator[None]:
    if not _one_at_a_time.acquire(blocking=False):
        logger.warning("One process was given several experiments; they take turns. Give each worker one thread.")
        _one_at_a_time.acquire()
    try:
        yield
    finally:
        _one_at_a_time.release()


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _portable(error: Exception) -> Exception:
    """Return the error with its traceback as text, which is all that remains of it in another process."""
    text = "".join(traceback.format_exception(error))
    try:
        error = pickle.loads(pickle.dumps(error))  # a copy of our own object, made the way that it will travel
    except Exception:  # noqa: BLE001 - whatever it is that an error can't be copied for
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"Where it ran:\n{text}")
    return error

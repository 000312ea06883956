"""Where a sweep's experiments run: in this process, or on the workers of an executor."""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import loky
import torch

import isomax_viz
from isomax_viz._common.checks import check_number
from isomax_viz._common.system import available_cores, live_as_long_as
from isomax_viz.experiments.experiment import Experiment, Sets
from isomax_viz.learning.training.hardware import choose_device, limited_threads

__all__ = ["Outcome", "Processes", "Submits", "Task", "WorkerError", "checked", "run", "run_one", "work"]

logger = logging.getLogger(__name__)

_OWN = (
    "A loss or backbone of your own must stand at the top level of a module (a .py file) that the workers can import, "
    "not in a notebook, nor in the script that starts the sweep."
)
# A training seeds PyTorch's global random numbers; two at once in one process would share them.
_one_at_a_time = threading.Lock()


class WorkerError(RuntimeError):
    """A worker died, was cancelled, or put its result where this process can't read it."""


class Submits(Protocol):
    """What a sweep runs on: any ``concurrent.futures.Executor``, or one with no more than its ``submit`` (submitit)."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any) -> Any:
        """Return what will hold the result of a function, with the methods ``done``, ``result`` and ``cancel``."""


@dataclass(frozen=True)
class Task:
    """What the workers of a sweep are told beside the experiment itself.

    Each sweep has a ``call`` of its own: Dask takes equal arguments for the same task, and would answer a second sweep
    with the failure of the first.
    """

    ood: Sets
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
                f"The worker on {self.host} calls the experiment {self.id}, here it is {experiment_id}: isomax_viz is "
                f"another ({self.version} there, {isomax_viz.__version__} here), or your code. Make them the same."
            )
        return (
            f"The worker on {self.host} finished it and wrote it to {self.folder} there, but it is not in {folder} as "
            f"{socket.gethostname()} sees it. Choose a folder that all machines share (store=..., ISOMAX_VIZ_STORE)."
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
        # the store, nor from any file of ours. JSON would not do: it holds neither classes of the user's own nor the
        # pictures of a set.
        known, asked = pickle.loads(experiment), pickle.loads(task)
    except Exception as error:  # noqa: BLE001 - whatever the import of the user's own modules raises
        return Outcome(error=WorkerError(f"the worker on {socket.gethostname()} can't load it ({error}). {_OWN}"))
    if _one_at_a_time.locked():
        logger.warning("One process was given several experiments; they take turns. Give each worker one thread.")
    with _one_at_a_time, limited_threads(asked.threads):
        raised = run_one(known, asked)
    raised = None if raised is None else _portable(raised)
    return Outcome(known.id, socket.gethostname(), asked.folder, isomax_viz.__version__, raised)


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


def _portable(error: Exception) -> Exception:
    """Return the error with its traceback as text, which is all that remains of it in another process."""
    text = "".join(traceback.format_exception(error))
    try:
        error = pickle.loads(pickle.dumps(error))  # a copy of our own object, made the way that it will travel
    except Exception:  # noqa: BLE001 - whatever it is that an error can't be copied for
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"Where it ran:\n{text}")
    return error


class Processes(ThreadPoolExecutor):
    """Run tasks in processes of this machine; one whose process is killed is tried once more, in a new process.

    Each process is a pool of one: loky's pool drops everything else it does when one of its processes dies. Leaving the
    ``with`` block waits for all tasks; leaving it by an error or Ctrl-C stops them at once.

    Parameters
    ----------
    workers : int
        How many processes.
    environments : sequence of mapping
        Environment variables of the workers, in turn: ``[{"CUDA_VISIBLE_DEVICES": "0"}, ...]``.

    Examples
    --------
    >>> with Processes(2) as pool:
    ...     list(pool.map(abs, [-1, 2, -3]))
    [1, 2, 3]
    """

    def __init__(self, workers: int, *, environments: Sequence[Mapping[str, str]] = ({},)) -> None:
        super().__init__(workers, thread_name_prefix="isomax_viz-worker")
        self._is_stopping, self._restarting = False, threading.Lock()
        self._environments = [dict(environments[number % len(environments)]) for number in range(workers)]
        self._pools = [self._pool(number) for number in range(workers)]
        self._free: SimpleQueue[int] = SimpleQueue()
        for number in range(workers):
            self._free.put(number)

    def _pool(self, number: int) -> loky.ProcessPoolExecutor:
        options = {"initializer": live_as_long_as, "initargs": (os.getpid(),), "env": self._environments[number]}
        return loky.ProcessPoolExecutor(1, **options)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Return the future result of a function, which is called in a process of its own."""
        return super().submit(self._call, fn, *args, **kwargs)

    def _call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        number = self._free.get()
        try:
            for is_last in (False, True):
                try:
                    return self._pools[number].submit(fn, *args, **kwargs).result()
                except BrokenExecutor:
                    with self._restarting:
                        if not self._is_stopping:
                            self._pools[number] = self._pool(number)
                    if is_last:
                        raise
        finally:
            self._free.put(number)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the tasks end, then the processes; see :meth:`concurrent.futures.Executor.shutdown`."""
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        for pool in self._pools:
            pool.shutdown(wait=wait)

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if kind is not None:  # stop the processes, whatever they are doing, and drop what has not begun
            with self._restarting:
                self._is_stopping = True
            super().shutdown(wait=False, cancel_futures=True)
            for pool in self._pools:
                pool.shutdown(kill_workers=True)
        self.shutdown()


_KINDS = (
    "the number of processes to start, or an executor whose workers are processes: client.get_executor() of Dask, "
    "submitit.AutoExecutor(...), ProcessPoolExecutor(..., mp_context=multiprocessing.get_context('spawn'))"
)


def checked(executor: int | Submits | None) -> int | Submits | None:
    """Return what a sweep can run on, or say why it can't.

    Raises
    ------
    TypeError
        If it is no executor.
    ValueError
        If its workers are threads or forks of this process.

    Examples
    --------
    >>> checked("fast")
    Traceback (most recent call last):
        ...
    TypeError: executor must be the number of processes to start, or an executor whose workers are processes: ... but
    is 'fast'.
    """
    if executor is None:
        return None
    if isinstance(executor, (int, float)):
        return check_number("executor", executor, at_least=1, whole=True)
    if hasattr(executor, "get_executor"):  # a Dask client, whose own `submit` is another
        return executor.get_executor()
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor must be {_KINDS}; but is {executor!r:.80}.")
    if isinstance(executor, ThreadPoolExecutor):
        raise ValueError(
            "executor runs threads, and trainings in one process would share PyTorch's random numbers and change each "
            f"other's results. Give {_KINDS}."
        )
    # Private, but there is no other way to ask; without it the test is left out, no more.
    context = getattr(executor, "_mp_context", None)
    if isinstance(executor, ProcessPoolExecutor) and context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "executor forks this process, and neither PyTorch's threads nor CUDA survive that. Pass the number of "
            "processes instead, or ProcessPoolExecutor(..., mp_context=multiprocessing.get_context('spawn'))."
        )
    return executor


def run(
    experiments: Sequence[Experiment], executor: int | Submits | None, task: Task
) -> Generator[tuple[Experiment, Outcome], None, None]:
    """Run experiments and give each with its outcome, as they finish.

    When the caller stops listening (by an error or Ctrl-C), what has not begun is cancelled.
    """
    if not experiments:
        return
    if executor is None:
        for experiment in experiments:
            yield experiment, Outcome(experiment.id, error=run_one(experiment, task))
    elif isinstance(executor, int):
        workers = min(executor, len(experiments))
        with Processes(workers, environments=_environments(task.device)) as processes:
            yield from _answers(experiments, processes, replace(task, threads=_share(workers)))
    elif isinstance(executor, ProcessPoolExecutor):
        workers = getattr(executor, "_max_workers", 1)
        yield from _answers(experiments, executor, replace(task, threads=_share(workers)))
    else:
        yield from _answers(experiments, executor, task)


def _share(workers: int) -> int | None:
    """Return how many threads each of several processes on this machine may use; None leaves it as it is."""
    return None if "OMP_NUM_THREADS" in os.environ else max(1, available_cores() // workers)


def _environments(device: str | torch.device | None) -> list[dict[str, str]]:
    """Return the workers' environment variables: a GPU for each where there are several and none was chosen."""
    chosen = choose_device(device)
    if chosen.type != "cuda" or chosen.index is not None or torch.cuda.device_count() < 2:
        return [{}]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    return [{"CUDA_VISIBLE_DEVICES": name} for name in visible.split(",")]


def _answers(experiments: Sequence[Experiment], executor: Submits, task: Task) -> Iterator[tuple[Experiment, Outcome]]:
    pending: dict[Any, Experiment] = {}
    told = pickle.dumps(task)  # once: it may hold pictures
    try:
        # In submitit, what is submitted within a batch becomes one job array.
        with getattr(executor, "batch", nullcontext)():
            for experiment in experiments:
                pending[_submit(executor, experiment, told)] = experiment
        since = time.monotonic()
        while pending:
            ready = [answer for answer in pending if answer.done()]
            for answer in ready:
                yield pending.pop(answer), _outcome(answer)
                since = time.monotonic()
            if not ready:
                # Asking costs a call to the scheduler in some executors, so long trainings are asked about seldom.
                time.sleep(min(1.0, max(0.01, (time.monotonic() - since) / 10)))
    finally:
        for answer in pending:
            with suppress(Exception):  # one that refuses, such as a job of a batch that was never sent
                answer.cancel()


def _submit(executor: Submits, experiment: Experiment, task: bytes) -> Any:
    try:
        # Pickled here and not by the executor: what can't be unpickled there would kill a worker of a pool.
        described = pickle.dumps(experiment)
    except Exception as error:  # noqa: BLE001 - whatever pickle meets in objects of the user's own
        return _failed(WorkerError(f"it can't be sent to a worker ({error}). {_OWN}"))
    try:
        return executor.submit(work, described, task)
    except Exception as error:  # noqa: BLE001 - such as a pool that broke while others were being submitted
        return _failed(error)


def _failed(error: Exception) -> Future:
    future: Future = Future()
    future.set_exception(error)
    return future


def _outcome(answer: Any) -> Outcome:
    try:
        return answer.result()
    except WorkerError as error:
        return Outcome(error=error)
    except Exception as error:  # noqa: BLE001 - each kind of executor has errors of its own, such as Dask's KilledWorker
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, BrokenExecutor):
            reason = "its worker process died: killed from outside, or for want of memory. Fewer workers need less."
        elif isinstance(error, CancelledError):
            reason = "it was cancelled: the executor was shut down, or lost its workers."
        failure = WorkerError(reason)
        failure.__cause__ = error
        return Outcome(error=failure)

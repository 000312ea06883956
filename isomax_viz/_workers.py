"""Where a sweep's experiments run: in this process, or on the workers of an executor."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from isomax_viz._common.checks import check_number
from isomax_viz._processes import Processes, available_cores
from isomax_viz._tasks import OWN, Outcome, Task, WorkerError, run_one, work
from isomax_viz.experiments import Experiment
from isomax_viz.learning.training.hardware import choose_device

__all__ = ["Outcome", "Task", "WorkerError", "checked", "run"]

_KINDS = (
    "the number of processes to start, or an executor whose workers are processes: client.get_executor() of Dask, "
    "submitit.AutoExecutor(...), ProcessPoolExecutor(..., mp_context=multiprocessing.get_context('spawn'))"
)


def checked(executor: Any) -> Any:
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
    if hasattr(executor, "get_executor"):  # a Dask client, where its executor is meant
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


def run(experiments: Sequence[Experiment], executor: Any, task: Task) -> Iterator[tuple[Experiment, Outcome]]:
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
            yield from _submitted(experiments, processes, replace(task, threads=_share(workers)))
    elif isinstance(executor, ProcessPoolExecutor):
        workers = getattr(executor, "_max_workers", 1)
        yield from _submitted(experiments, executor, replace(task, threads=_share(workers)))
    else:
        yield from _submitted(experiments, executor, task)


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


def _submitted(
    experiments: Sequence[Experiment], executor: Executor, task: Task
) -> Iterator[tuple[Experiment, Outcome]]:
    pending: list[tuple[Experiment, Any]] = []
    told = pickle.dumps(task)  # once: it may hold pictures
    try:
        # In submitit, what is submitted within a batch becomes one job array.
        with getattr(executor, "batch", nullcontext)():
            for experiment in experiments:
                pending.append((experiment, _submit(executor, experiment, told)))
        since = time.monotonic()
        while pending:
            ready, waiting = [], []
            for pair in pending:
                (ready if pair[1].done() else waiting).append(pair)
            pending = waiting
            for experiment, future in ready:
                yield experiment, _outcome(future)
                since = time.monotonic()
            if not ready:
                # Asking costs a call to the scheduler in some executors, so long trainings are asked about seldom.
                time.sleep(min(1.0, max(0.01, (time.monotonic() - since) / 10)))
    finally:
        for _, future in pending:
            with suppress(Exception):  # one that refuses, such as a job of a batch that was never sent
                future.cancel()


@dataclass(frozen=True)
class _Refused:
    """What could not even be submitted, in the form of a future."""

    error: Exception

    def done(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False

    def result(self) -> Outcome:
        raise self.error


def _submit(executor: Executor, experiment: Experiment, task: bytes) -> Any:
    try:
        # Pickled here and not by the executor: what can't be unpickled there would kill a worker of a pool.
        described = pickle.dumps(experiment)
    except Exception as error:  # noqa: BLE001 - whatever pickle meets in objects of the user's own
        return _Refused(WorkerError(f"it can't be sent to a worker ({error}). {OWN}"))
    try:
        return executor.submit(work, described, task)
    except Exception as error:  # noqa: BLE001 - such as a pool that broke while others were being submitted
        return _Refused(error)


def _outcome(future: Any) -> Outcome:
    try:
        return future.result()
    except WorkerError as error:
        return Outcome(error=error)
    except BrokenExecutor as error:
        reason = "its worker process died: killed from outside, or for want of memory. Fewer workers need less."
        cause = error
    except CancelledError as error:
        reason, cause = "it was cancelled: the executor was shut down, or lost its workers.", error
    except Exception as error:  # noqa: BLE001 - each kind of executor has errors of its own, such as Dask's KilledWorker
        reason, cause = f"{type(error).__name__}: {error}", error
    failure = WorkerError(reason)
    failure.__cause__ = cause
    return Outcome(error=failure)

"""Some worker processes on this machine, each on its own: one that dies takes nothing but its own task with it.

The standard library's pool with several workers gives up all of its tasks when one worker dies, which is how a machine
short of memory ends a night of trainings. Here every worker is a pool of one.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from queue import SimpleQueue
from typing import Any

__all__ = ["Processes", "available_cores"]


def available_cores() -> int:
    """Return how many processors this process may use, which may be fewer than the machine has.

    Examples
    --------
    >>> 1 <= available_cores() <= os.cpu_count()
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(Executor):
    """Run tasks in processes of this machine; one whose process is killed is tried once more, in a new process.

    Leaving the ``with`` block waits for all tasks; leaving it by an error or Ctrl-C stops them at once.

    Parameters
    ----------
    workers : int
        How many processes.
    environments : sequence of mapping
        Environment variables of the workers, in turn: ``[{"CUDA_VISIBLE_DEVICES": "0"}, ...]``.

    Raises
    ------
    RuntimeError
        If new processes can't be started from here.

    Examples
    --------
    >>> with Processes(2) as pool:
    ...     list(pool.map(abs, [-1, 2, -3]))
    [1, 2, 3]
    """

    def __init__(self, workers: int, *, environments: Sequence[Mapping[str, str]] = ({},)) -> None:
        self._is_stopping = False
        self._restarting = threading.Lock()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="isomax_viz-worker")
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        self._workers = [_Worker(environments[number % len(environments)]) for number in range(workers)]
        try:
            for worker in self._workers:
                worker.begin()
            for worker in self._workers:  # a second loop, so that they start side by side
                worker.wait_until_ready()
        except BrokenProcessPool as error:
            self.stop()
            raise RuntimeError(
                "New processes can't be started from here. A script must start them below "
                "`if __name__ == '__main__':`, because each of them imports the script first."
            ) from error
        for worker in self._workers:
            self._free.put(worker)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Return the future result of a function, which is called in a process of its own."""
        return self._threads.submit(self._call, fn, *args, **kwargs)

    def _call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        worker = self._free.get()
        try:
            for is_last in (False, True):
                try:
                    return worker.pool.submit(fn, *args, **kwargs).result()
                except BrokenProcessPool:
                    with self._restarting:
                        if self._is_stopping:
                            raise
                        worker.restart()
                    if is_last:
                        raise
        finally:
            self._free.put(worker)

    def stop(self) -> None:
        """Stop the processes at once, whatever they are doing, and drop what has not begun."""
        with self._restarting:
            self._is_stopping = True
            self._threads.shutdown(wait=False, cancel_futures=True)
            for worker in self._workers:
                worker.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the tasks end, then the processes; see :meth:`concurrent.futures.Executor.shutdown`."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        for worker in self._workers:
            worker.pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> bool:
        if kind is not None:
            self.stop()
        self.shutdown()
        return False


class _Worker:
    """One process, in a pool of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._pid: int | None = None

    def begin(self) -> None:
        # "spawn", because neither the threads of PyTorch nor CUDA survive a fork.
        self.pool = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_prepare, initargs=(self._environment,)
        )
        self._first = self.pool.submit(os.getpid)

    def wait_until_ready(self) -> None:
        self._pid = self._first.result()

    def restart(self) -> None:
        self.pool.shutdown(wait=False)
        self.begin()
        self.wait_until_ready()

    def kill(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self._pid is not None:
            try:
                os.kill(self._pid, signal.SIGTERM)
            except OSError:  # it is gone already; each system has an error of its own for that
                pass


def _prepare(environment: Mapping[str, str]) -> None:
    """Make a new process ready; runs in it, before its first task."""
    os.environ.update(environment)
    # Ctrl-C reaches every process of the terminal; the one that was asked decides what becomes of the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)  # killed, it could not say goodbye, and its workers would wait for it for ever

"""Sweeps: many experiments, in this process or on the workers of any executor; what is finished is never lost.

The store is the meeting point. A worker puts its result there and answers with the experiment's id alone, so captures
do not travel through the executor, and a sweep that was stopped goes on with what is missing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from isomax_viz.captures.capture import Capture
from isomax_viz.captures.files import CaptureError
from isomax_viz.datasets import ImageSet
from isomax_viz.experiments import run as running
from isomax_viz.experiments import workers as _workers
from isomax_viz.experiments.experiment import Experiment, Sets
from isomax_viz.experiments.workers import Outcome, Submits, Task, WorkerError
from isomax_viz.store.folder import Store, StoreError

if TYPE_CHECKING:
    import torch

__all__ = ["Failure", "SweepError", "WorkerError", "sweep"]

# How many failures the message of a sweep spells out.
_SPELLED_OUT = 20
# A network file system may show a new folder some seconds late.
_PATIENCE_S = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Failure:
    """One experiment of a sweep that has no result, and why."""

    experiment: Experiment
    error: Exception

    def __str__(self) -> str:
        return f"{self.experiment}: {type(self.error).__name__}: {self.error}"


class SweepError(RuntimeError):
    """Some experiments of a sweep failed; the others are finished and in the store.

    Attributes
    ----------
    captures : list of Capture
        Of the experiments that are finished, in their order.
    failures : list of Failure
        The others, each with its ``experiment`` and ``error``, in their order.
    """

    def __init__(self, failures: Sequence[Failure], captures: Sequence[Capture], folder: Path) -> None:
        self.failures, self.captures = list(failures), list(captures)
        lines = [str(failure) for failure in failures[:_SPELLED_OUT]]
        if len(failures) > _SPELLED_OUT:
            lines.append(f"... and {len(failures) - _SPELLED_OUT} more: see the error's .failures")
        total = len(failures) + len(captures)
        super().__init__(
            f"{len(failures)} of {total} experiments failed. What is finished ({len(captures)}) is kept in {folder} "
            "and in the error's .captures; the same call again runs only what is missing.\n  " + "\n  ".join(lines)
        )


def sweep(
    experiments: Iterable[Experiment] | Experiment,
    executor: int | Submits | None = None,
    *,
    ood: Sets = None,
    store: Store | str | Path | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> list[Capture]:
    """Run many experiments and return their captures; what is in the store already is read.

    Parameters
    ----------
    experiments : iterable of Experiment
        For instance from :meth:`isomax_viz.Experiment.grid`. Equal ones run once.
    executor : int or Executor, optional
        Where to run them. By default in this process, one after another. A number starts so many processes on this
        machine, which share its cores, and its GPUs if there are several. Otherwise anything with the interface of
        ``concurrent.futures.Executor`` that has processes of its own: a Dask cluster's ``client.get_executor()``, a
        submitit executor, a ``ProcessPoolExecutor`` that does not fork. Workers must see the store's folder.
    ood : iterable of str or ImageSet, optional
        Out-of-distribution sets that each capture shall hold; by default those of its data set.
    store : Store, str or Path, optional
        By default :func:`isomax_viz.store.folder.default_folder`, as this process sees it.
    device : str or torch.device, optional
        Where each worker computes; by default the best it has.
    progress : bool
        Show one progress bar over all experiments.

    Returns
    -------
    list of Capture
        In the order of the experiments.

    Raises
    ------
    SweepError
        At the end, if experiments failed; it names them and holds the captures of the others.
    TypeError, ValueError
        If ``experiments``, ``ood`` or ``executor`` can't be used; before anything runs.
    KeyboardInterrupt
        On Ctrl-C: what has not begun is cancelled, what is finished stays in the store, and a training that was cut off
        goes on where it was when it is run again.

    Examples
    --------
    >>> import tempfile
    >>> experiments = Experiment.grid(loss=["softmax", "isomax"], preset="smoke", examples_per_class=10)
    >>> sweep(experiments, ood="uniform", store=tempfile.mkdtemp(), progress=False)
    [Capture(SoftMax · digits · ...), Capture(IsoMax · digits · ...)]
    """
    listed = _as_list(experiments)
    chosen = _workers.checked(executor)
    store = Store(Store(store).folder.absolute())
    ood = ood if ood is None or isinstance(ood, (str, ImageSet)) else list(ood)
    unique = {experiment.id: experiment for experiment in listed}
    results = {key: _read(experiment, ood, store) for key, experiment in unique.items()}
    missing = [unique[key] for key, result in results.items() if result is None]
    task = Task(ood, store.folder, device)
    bar = tqdm(total=len(unique), initial=len(unique) - len(missing), desc="sweep", unit="experiment", leave=False,
               disable=not progress)  # fmt: skip
    with bar, closing(_workers.run(missing, chosen, task)) as outcomes:
        for experiment, outcome in outcomes:
            results[experiment.id] = _result(experiment, outcome, ood, store)
            bar.update()
    failures = [Failure(unique[key], result) for key, result in results.items() if isinstance(result, Exception)]
    captures = [found for e in listed if isinstance(found := results[e.id], Capture)]
    if failures:
        raise SweepError(failures, captures, store.folder) from failures[0].error
    return captures


def _as_list(experiments: Iterable[Experiment] | Experiment) -> list[Experiment]:
    if isinstance(experiments, Experiment):
        return [experiments]
    listed = list(experiments) if isinstance(experiments, Iterable) else [experiments]
    for item in listed:
        if not isinstance(item, Experiment):
            remedy = "Build one with iv.Experiment.grid(loss=[...])."
            raise TypeError(f"experiments must be a list of Experiment, but holds {item!r:.80}. {remedy}")
    if not listed:
        raise ValueError("experiments is empty. Give at least one Experiment, as iv.Experiment.grid(loss='isomax').")
    return listed


def _read(experiment: Experiment, ood: Sets, store: Store) -> Capture | Exception | None:
    """Return what the store has; what can't be read (a newer format, no permission) fails this experiment alone."""
    try:
        return running.finished(experiment, ood, store=store)
    except (StoreError, CaptureError, OSError) as error:
        return error


def _result(experiment: Experiment, outcome: Outcome, ood: Sets, store: Store) -> Capture | Exception:
    """Return what a worker put into the store, or why there is nothing."""
    if outcome.error is not None and not isinstance(outcome.error, WorkerError):
        return outcome.error
    elsewhere = outcome.host not in (None, socket.gethostname())
    for pause_s in (0.0, *(_PATIENCE_S if elsewhere else ())):
        time.sleep(pause_s)
        # Also after the death of a worker: it may have finished this one, and died of another.
        found = _read(experiment, ood, store)
        if found is not None:
            return found
    return outcome.error or WorkerError(outcome.why_unseen(experiment.id, store.folder))

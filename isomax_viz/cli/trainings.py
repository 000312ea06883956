"""The commands that train: ``train`` and ``sweep``."""

from __future__ import annotations

import argparse
import ast
import logging
import sys
import time
import typing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isomax_viz._common.checks import missing_package, need_torch
from isomax_viz.cli.output import UsageError, add_command, add_shared, show, table_text
from isomax_viz.experiments.experiment import SETTINGS, Experiment, types_of

if TYPE_CHECKING:
    from isomax_viz.captures.capture import Capture

__all__ = ["add_commands"]

logger = logging.getLogger(__name__)

# How long a scheduler started a moment ago may take to write its file.
_SCHEDULER_FILE_S = 60


_METAVARS = {str: "NAME", int: "N", float: "X", bool: "yes|no"}


def _add_setting(group: Any, name: str, *, several: str | None) -> None:
    """Add the option of a setting; which values it accepts is the experiment's to judge."""
    field, kind = Experiment.model_fields[name], types_of(name)[0]
    words: dict[str, Any] = {"none": field.default} if field.default in (None, ()) else {}
    words |= {"yes": True, "no": False} if kind is bool else {}

    def read(text: str) -> Any:
        if text in words or kind is str:
            return words.get(text, text)
        with suppress(ValueError, SyntaxError):
            value, pair = ast.literal_eval(text), typing.get_origin(kind) is tuple
            if pair or not isinstance(value, (tuple, list)):  # else they would be several experiments
                return (value,) if pair and not isinstance(value, tuple) else value
        return text

    usual = "no" if field.default is False else "none" if field.default in (None, ()) else field.default
    option, text = f"--{name.replace('_', '-')}", f"{SETTINGS[name].words} ({usual})"
    metavar = _METAVARS.get(kind, "A,B")
    group.add_argument(option, type=read, nargs=several, metavar=metavar, help=text, default=argparse.SUPPRESS)


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    train, sweep = add_command(commands, "train", _train), add_command(commands, "sweep", _sweep)
    for parser, several in ((train, None), (sweep, "+")):
        parser.usage = "%(prog)s [--SETTING VALUE ...] [options]"
        group = parser.add_argument_group("the experiments (give several values)" if several else "the experiment")
        for name in SETTINGS:
            _add_setting(group, name, several=several)
        parser.add_argument("--ood", nargs="+", metavar="NAME", help="out-of-distribution sets (those of the data set)")
        parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (the best there is)")
        add_shared(parser, "store", "json", "quiet")
    where = sweep.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (1)")
    where.add_argument("--dask", metavar="SCHEDULER", help="address or scheduler file (.json) of a Dask cluster")
    sweep.add_argument("--dry-run", action="store_true", help="list the experiments and train nothing")


def _experiments(options: argparse.Namespace) -> list[Experiment]:
    given = {name: getattr(options, name) for name in SETTINGS if hasattr(options, name)}
    try:
        return Experiment.grid(**given)
    except ValueError as error:
        raise UsageError(error) from None


def _train(options: argparse.Namespace) -> None:
    """Train one network, or read it from the store, and print its metrics.

    train --loss isomax+ --seed 3
    train --loss isomax --entropic-scale 3 --epochs 10 --ood letters patches --json
    train --data cifar10 --backbone densenet_bc100 --preset paper --device cuda:1
    """
    from isomax_viz.analysis import tables
    from isomax_viz.cli.results import METRICS

    (experiment,) = _experiments(options)
    capture = experiment.run(options.ood, device=options.device, progress=not options.quiet)
    found, told = tables.evaluate(capture), _described(experiment, capture)
    table = table_text(found[["score", "ood", "n_id", "n_ood", *METRICS]], percent=METRICS)
    lines = [experiment.title, told["folder"], f"accuracy {capture.test.accuracy:.1%}", table]
    show(options, told | {"metrics": found}, *lines)


def _sweep(options: argparse.Namespace) -> int:
    """Train all combinations of some settings, several at a time; what is stored is read.

    sweep --loss softmax isomax --seed 0 1 2 --workers 2
    sweep --loss isomax --entropic-scale 1 3 10 30 --seed 0 1 --dry-run
    sweep --loss isomax+ --seed 0 1 2 3 --dask tcp://scheduler:8786
    """
    from isomax_viz.store.folder import Store

    experiments = _experiments(options)
    if options.dry_run:
        stored = set(Store().ids())
        rows = [{"id": e.id, "stored": e.id in stored, "experiment": e.model_dump(mode="json")} for e in experiments]
        show(options, rows, *(f"{'stored ' if e.id in stored else 'missing'} {e}" for e in experiments))
        return 0
    need_torch()
    from isomax_viz.experiments.sweep import Failure, SweepError, sweep

    failures: list[Failure] = []
    with _executor(options) as executor:
        try:
            captures = sweep(experiments, executor, ood=options.ood, device=options.device, progress=not options.quiet)
        except SweepError as error:
            captures, failures = error.captures, error.failures
            print(f"isomax_viz: {error}", file=sys.stderr)
    broken = {f.experiment.id: f"{type(f.error).__name__}: {f.error}" for f in failures}
    done = list(zip((e for e in experiments if e.id not in broken), captures, strict=True))
    lines = [f"accuracy {capture.test.accuracy:6.1%}  {experiment}" for experiment, capture in done]
    lines.append(f"{len(done)} of {len(experiments)} are in {Store().folder}")
    failed = [{"id": name, "error": error} for name, error in broken.items()]
    show(options, {"finished": [_described(*pair) for pair in done], "failed": failed}, *lines)
    return 1 if failures else 0


@contextmanager
def _executor(options: argparse.Namespace) -> Iterator[Any]:
    if options.dask is None:
        if options.workers < 1:
            raise UsageError(f"--workers must be at least 1, but is {options.workers}")
        yield None if options.workers == 1 else options.workers
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise missing_package("dask", "run on a Dask cluster", install='"dask[distributed]"') from None
    by_file = options.dask.endswith(".json")
    if by_file:
        _wait_for(Path(options.dask))
    with Client(**{"scheduler_file" if by_file else "address": options.dask}) as client:
        if not client.scheduler_info()["workers"]:
            logger.warning("The cluster at %s has no workers yet; waiting for them.", client.scheduler.address)
        yield client.get_executor()


def _wait_for(file: Path) -> None:
    """Wait for a scheduler that was started a moment ago; Dask itself would wait for ever."""
    end = time.monotonic() + _SCHEDULER_FILE_S
    while not file.exists():
        if time.monotonic() > end:
            raise FileNotFoundError(f"There is no {file}. Start a scheduler: dask scheduler --scheduler-file {file}")
        time.sleep(0.05)


def _described(experiment: Experiment, capture: Capture) -> dict[str, Any]:
    from isomax_viz.store.folder import Store

    return {
        "id": experiment.id,
        "experiment": experiment.model_dump(mode="json"),
        "folder": str(Store().path(experiment.id)),
        "accuracy": float(capture.test.accuracy),
    }

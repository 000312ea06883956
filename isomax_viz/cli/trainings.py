"""The commands that train: ``train`` and ``sweep``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isomax_viz._common.checks import missing_package
from isomax_viz.cli.output import UsageError, add_command, add_json, add_quiet, add_store, print_json
from isomax_viz.experiments.experiment import SETTINGS, Experiment, types_of

if TYPE_CHECKING:
    from isomax_viz.captures.capture import Capture

__all__ = ["add_commands"]

logger = logging.getLogger(__name__)

# How long a scheduler started a moment ago may take to write its file.
_SCHEDULER_FILE_S = 60


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"must be yes or no, but is {text!r}")
    return text == "yes"


def _numbers(kind: type[int] | type[float]) -> Callable[[str], tuple[float, ...]]:
    return lambda text: tuple(kind(part) for part in text.split(","))


# How the text of a setting of some type is read, and what it is called in the help and in messages.
_READERS: dict[Any, tuple[Callable[[str], Any], str, str]] = {
    str: (str, "NAME", "name"),
    int: (int, "N", "whole number"),
    float: (float, "X", "number"),
    bool: (_yes_or_no, "yes|no", "word"),
    tuple[int, ...]: (_numbers(int), "A,B", "list of whole numbers (such as 8,9)"),
    tuple[float, float]: (_numbers(float), "A,B", "pair of numbers (such as -25,-7)"),
}


def _add_setting(group: Any, name: str, *, several: str | None) -> None:
    """Add the option of a setting; which values it accepts is the experiment's to judge."""
    field, kinds = Experiment.model_fields[name], types_of(name)
    read, metavar, words = _READERS[kinds[0]]
    may_be_none = field.default in (None, ())

    def reader(text: str) -> Any:
        return field.default if may_be_none and text == "none" else read(text)

    reader.__name__ = f"{words} or none" if may_be_none else words
    usual = "none" if may_be_none else "no" if field.default is False else field.default
    text = f"{SETTINGS[name].words} ({usual})"
    option = f"--{name.replace('_', '-')}"
    group.add_argument(option, type=reader, nargs=several, metavar=metavar, help=text, default=argparse.SUPPRESS)


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    train = add_command(
        commands,
        "train",
        _train,
        text="train one network, or read it from the store, and print its metrics",
        examples="""
train --loss isomax+ --seed 3
train --loss isomax --entropic-scale 3 --epochs 10 --ood letters patches --json
train --data cifar10 --backbone densenet_bc100 --preset paper --device cuda:1""",
    )
    sweep = add_command(
        commands,
        "sweep",
        _sweep,
        text="train all combinations of some settings, several at a time; what is stored is read",
        examples="""
sweep --loss softmax isomax --seed 0 1 2 --workers 2
sweep --loss isomax --entropic-scale 1 3 10 30 --seed 0 1 --dry-run
sweep --loss isomax+ --seed 0 1 2 3 --dask tcp://scheduler:8786""",
    )
    for parser, several in ((train, None), (sweep, "+")):
        group = parser.add_argument_group(
            "the experiment" if several is None else "the experiments (give several values)"
        )
        for name in SETTINGS:
            _add_setting(group, name, several=several)
        parser.add_argument("--ood", nargs="+", metavar="NAME", help="out-of-distribution sets (those of the data set)")
        parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (the best there is)")
        add_store(parser)
        add_json(parser)
        add_quiet(parser)
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
    from isomax_viz.analysis import tables
    from isomax_viz.cli.output import print_table, records
    from isomax_viz.cli.results import METRICS

    (experiment,) = _experiments(options)
    capture = experiment.run(options.ood, device=options.device, progress=not options.quiet)
    found = tables.evaluate(capture)
    if options.json:
        print_json(_described(experiment, capture) | {"metrics": records(found)})
        return
    print(f"{experiment.title}\n{_place(experiment)}\naccuracy {capture.test.accuracy:.1%}")
    print_table(found[["score", "ood", "n_id", "n_ood", *METRICS]], percent=METRICS)


def _sweep(options: argparse.Namespace) -> int:
    from isomax_viz.experiments.sweep import SweepError, sweep
    from isomax_viz.store.folder import Store

    experiments = _experiments(options)
    if options.dry_run:
        stored = set(Store().ids())
        rows = [{"id": e.id, "stored": e.id in stored, "experiment": e.model_dump(mode="json")} for e in experiments]
        if options.json:
            print_json(rows)
        else:
            for experiment, row in zip(experiments, rows, strict=True):
                print(f"{'stored ' if row['stored'] else 'missing'} {experiment}")
        return 0
    failures = []
    with _executor(options) as executor:
        try:
            captures = sweep(experiments, executor, ood=options.ood, device=options.device, progress=not options.quiet)
        except SweepError as error:
            captures, failures = error.captures, error.failures
            print(f"isomax_viz: {error}", file=sys.stderr)
    failed = {failure.experiment.id for failure in failures}
    done = [experiment for experiment in experiments if experiment.id not in failed]
    if options.json:
        rows = [_described(experiment, capture) for experiment, capture in zip(done, captures, strict=True)]
        broken = [{"id": f.experiment.id, "error": f"{type(f.error).__name__}: {f.error}"} for f in failures]
        print_json({"finished": rows, "failed": broken})
    else:
        for experiment, capture in zip(done, captures, strict=True):
            print(f"accuracy {capture.test.accuracy:6.1%}  {experiment}")
        print(f"{len(done)} of {len(experiments)} are in {Store().folder}")
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


def _place(experiment: Experiment) -> str:
    from isomax_viz.store.folder import Store

    return str(Store().path(experiment.id))


def _described(experiment: Experiment, capture: Capture) -> dict[str, Any]:
    return {
        "id": experiment.id,
        "experiment": experiment.model_dump(mode="json"),
        "folder": _place(experiment),
        "accuracy": float(capture.test.accuracy),
    }

"""The commands that train: ``train`` and ``sweep``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isomax_viz._common.checks import missing_package
from isomax_viz.cli.output import UsageError, add_command, add_json, add_quiet, add_store, print_json

if TYPE_CHECKING:  # they need PyTorch, which neither --help nor the other commands wait for
    from isomax_viz import Capture, Experiment

__all__ = ["SETTINGS", "add_commands"]

logger = logging.getLogger(__name__)

# How long a scheduler started a moment ago may take to write its file.
_SCHEDULER_FILE_S = 60


def _whole_or_none(text: str) -> int | None:
    return None if text == "none" else int(text)


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"must be yes or no, but is {text!r}")
    return text == "yes"


def _classes(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(int(part) for part in text.split(","))


def _margins(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


_margins.__name__ = "pair of numbers (such as -25,-7)"
_whole_or_none.__name__, _classes.__name__ = "whole number or none", "list of classes (such as 8,9)"

# Every setting of an experiment: how its text is read, what it is called in the help, what it means. The values that a
# setting accepts are the experiment's to judge.
SETTINGS: dict[str, tuple[Any, str, str]] = {
    "data": (str, "NAME", "data set to train on (digits)"),
    "backbone": (str, "NAME", "network below the last layer (small_cnn)"),
    "loss": (str, "NAME", "softmax, isomax, isomax+, isomax2, dismax, ... (isomax+)"),
    "entropic_scale": (float, "X", "entropic scale of IsoMax, IsoMax+ and DisMax (10)"),
    "seed": (int, "N", "initial weights, shuffling, augmentation (0)"),
    "preset": (str, "NAME", "training protocol: smoke, teaching, quick, paper (teaching)"),
    "epochs": (_whole_or_none, "N", "another number of epochs than the preset's"),
    "held_out_classes": (_classes, "A,B", "classes to train without; they become the OOD set 'unseen'"),
    "examples_per_class": (_whole_or_none, "N", "train with so many pictures of each class (all)"),
    "select": (str, "WHICH", "epoch whose network is kept: last, best_validation, best_test (last)"),
    "validation": (float, "X", "share of the training pictures held out for watching (0)"),
    "scales_learning_rate": (float, "X", "learning rate of IsoMax2's scales and tilts, as a factor (0.1)"),
    "scales_weight_decay": (_yes_or_no, "yes|no", "whether IsoMax2's scales and tilts decay (no)"),
    "precision": (str, "NAME", "while training: auto, float32, bfloat16 (auto)"),
    "distance": (str, "NAME", "d of the DisMax frame (euclidean)"),
    "training_function": (str, "NAME", "g of the DisMax frame (scaled)"),
    "detection_function": (str, "NAME", "h of the DisMax frame (identity)"),
    "similarity": (str, "NAME", "h of Generalized ODIN: cosine, euclidean, inner (cosine)"),
    "temperature": (float, "X", "temperature of logit normalisation (0.04)"),
    "outliers": (str, "NAME", "train with extra data: oe, acet, energy"),
    "outlier_data": (str, "NAME", "what the extra data is (noise)"),
    "outlier_weight": (float, "X", "weight of the outliers' term (the method's paper's)"),
    "energy_margins": (_margins, "A,B", "energies that known pictures are below and outliers above (-25,-7)"),
    "adversarial_radius": (float, "X", "by how much ACET may change a pixel (0.3)"),
    "adversarial_steps": (int, "N", "ACET's steps of gradient ascent per batch"),
}


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
        for name, (read, metavar, text) in SETTINGS.items():
            option = f"--{name.replace('_', '-')}"
            group.add_argument(option, type=read, nargs=several, metavar=metavar, help=text, default=argparse.SUPPRESS)
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
    from isomax_viz.experiments.sweep import grid

    given = {name: getattr(options, name) for name in SETTINGS if hasattr(options, name)}
    try:
        return grid(**given)
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
    from isomax_viz.experiments.sweep import SweepError, in_short, sweep
    from isomax_viz.store.folder import Store

    experiments = _experiments(options)
    if options.dry_run:
        stored = set(Store().ids())
        rows = [{"id": e.id, "stored": e.id in stored, "experiment": e.model_dump(mode="json")} for e in experiments]
        if options.json:
            print_json(rows)
        else:
            for experiment, row in zip(experiments, rows, strict=True):
                print(f"{'stored ' if row['stored'] else 'missing'} {in_short(experiment)}")
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
            print(f"accuracy {capture.test.accuracy:6.1%}  {in_short(experiment)}")
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

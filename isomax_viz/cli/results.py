"""The command that reads results: ``evaluate``. It works without PyTorch."""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import sys
from pathlib import Path
from typing import Any

from isomax_viz._common.files import csv_text
from isomax_viz.analysis import metrics
from isomax_viz.analysis.tables import DEFAULT_SCORES
from isomax_viz.cli.output import add_command, add_shared, show, table_text
from isomax_viz.store import table as store
from isomax_viz.store.table import OF_TRAINING

__all__ = ["METRICS", "add_commands"]

METRICS = tuple(metrics.METRICS)


def add_commands(commands: Any) -> None:
    """Add the command of this module to the parser."""
    parser = add_command(commands, "evaluate", _evaluate)
    parser.add_argument("which", nargs="*", metavar="ID|FILE", help="ids, with * and ?; files (all that is stored)")
    parser.add_argument("--scores", nargs="+", metavar="NAME", help="mps, es, mds, max_logit, energy, ... (mps es mds)")
    parser.add_argument("--ood", nargs="+", metavar="NAME", help="out-of-distribution sets (all of each capture)")
    form = parser.add_mutually_exclusive_group()
    add_shared(form, "json")
    form.add_argument("--csv", action="store_true", help="print CSV, for spreadsheets")
    add_shared(parser, "store")


def _evaluate(options: argparse.Namespace) -> int:
    """Print a table of detection metrics of stored captures, or of files.

    evaluate
    evaluate 'digits-*-isomax+-*' --scores mps es mds energy --ood letters
    evaluate my_capture.safetensors --csv > metrics.csv
    """
    wanted = _wanted(options.which)
    table = store.frame(wanted, scores=options.scores or DEFAULT_SCORES, ood=options.ood)
    left_out = table.attrs["left_out"]
    if len(left_out) == len(wanted):
        raise ValueError("None of these captures can be read.")
    if table.empty:
        raise ValueError("None of these captures has an out-of-distribution set. Record one: train --ood letters")
    table = table.drop(columns=list(OF_TRAINING))
    if options.csv:
        print(csv_text(table), end="")  # the output adds what Windows wants
    else:
        told_apart = not table.duplicated(["data", "backbone", "loss", "entropic_scale", "seed", "score", "ood"]).any()
        shown = table.drop(columns="id") if told_apart else table
        show(options, table, table_text(shown, percent=("accuracy", *METRICS)))
    if left_out:
        print(f"isomax_viz: {len(left_out)} of {len(wanted)} captures are left out of the table", file=sys.stderr)
    return int(bool(left_out))


def _wanted(which: list[str]) -> list[str]:
    """Return the ids and files that are meant, each once."""
    found = store.Store()
    ids = found.ids()
    if not which and not ids:
        raise FileNotFoundError(f"There is nothing in {found.folder}. Train something: python -m isomax_viz train")
    wanted: dict[str, None] = {}
    for item in which or ids:
        matching = [item] if Path(item).is_file() else fnmatch.filter(ids, item)
        if not matching:
            near = difflib.get_close_matches(item, ids, n=1, cutoff=0.3)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise FileNotFoundError(f"{item} is neither a file nor one of the {len(ids)} ids in {found.folder}.{hint}")
        wanted |= dict.fromkeys(matching)
    return list(wanted)

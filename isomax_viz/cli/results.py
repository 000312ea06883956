"""The command that reads results: ``evaluate``. It works without PyTorch."""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from isomax_viz._common.checks import check_known
from isomax_viz._common.files import csv_text
from isomax_viz.analysis import metrics
from isomax_viz.analysis.tables import DEFAULT_SCORES, evaluate
from isomax_viz.captures.capture import Capture
from isomax_viz.cli.output import add_command, add_shared, show, table_text
from isomax_viz.store.folder import Store
from isomax_viz.store.table import UNREADABLE

__all__ = ["METRICS", "add_commands"]

METRICS = tuple(metrics.METRICS)


def add_commands(commands: Any) -> None:
    """Add the command of this module to the parser."""
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        text="print a table of detection metrics of stored captures, or of files",
        examples=[
            "evaluate",
            "evaluate 'digits-*-isomax+-*' --scores mps es mds energy --ood letters",
            "evaluate my_capture.safetensors --csv > metrics.csv",
        ],
    )
    parser.add_argument("which", nargs="*", metavar="ID|FILE", help="ids, with * and ?; files (all that is stored)")
    parser.add_argument("--scores", nargs="+", metavar="NAME", help="mps, es, mds, max_logit, energy, ... (mps es mds)")
    parser.add_argument("--ood", nargs="+", metavar="NAME", help="out-of-distribution sets (all of each capture)")
    form = parser.add_mutually_exclusive_group()
    add_shared(form, "json")
    form.add_argument("--csv", action="store_true", help="print CSV, for spreadsheets")
    add_shared(parser, "store")


def _evaluate(options: argparse.Namespace) -> int:
    parts, sets, left_out = [], set(), 0
    wanted, store = _wanted(options.which), Store()
    for name in wanted:  # one at a time: many would not fit into memory together
        try:
            capture = _read(name, store)
        except UNREADABLE as error:
            print(f"isomax_viz: {name} is left out of the table: {error}", file=sys.stderr)
            left_out += 1
            continue
        sets |= set(capture.ood)
        chosen = [key for key in capture.ood if options.ood is None or key in options.ood]
        if chosen:
            part = evaluate(capture, scores=options.scores or DEFAULT_SCORES, ood=chosen)
            part.insert(0, "id", name)
            parts.append(part)
    if left_out == len(wanted):
        raise ValueError("None of these captures can be read.")
    check_known("--ood", options.ood or [], sorted(sets))
    if not parts:
        raise ValueError("None of these captures has an out-of-distribution set. Record one: train --ood letters")
    _print(pd.concat(parts, ignore_index=True), options)
    if left_out:
        print(f"isomax_viz: {left_out} of {len(wanted)} captures are left out of the table, see above", file=sys.stderr)
    return int(left_out > 0)


def _read(name: str, store: Store) -> Capture:
    """Return the capture of a file or an id; an experiment whose manifest is damaged is none, as in store.frame."""
    if Path(name).is_file():
        return Capture.load(name)
    store.head(name)
    return store.capture(name)


def _print(table: pd.DataFrame, options: argparse.Namespace) -> None:
    if options.csv:
        print(csv_text(table), end="")  # the output adds what Windows wants
        return
    told_apart = not table.duplicated(["data", "backbone", "loss", "entropic_scale", "seed", "score", "ood"]).any()
    shown = table.drop(columns="id") if told_apart else table
    show(options, table, table_text(shown, percent=("accuracy", *METRICS)))


def _wanted(which: list[str]) -> list[str]:
    """Return the ids and files that are meant, each once."""
    store = Store()
    ids = store.ids()
    if not which and not ids:
        raise FileNotFoundError(f"There is nothing in {store.folder}. Train something: python -m isomax_viz train")
    wanted: dict[str, None] = {}
    for item in which or ids:
        matching = [item] if Path(item).is_file() else fnmatch.filter(ids, item)
        if not matching:
            near = difflib.get_close_matches(item, ids, n=1, cutoff=0.3)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise FileNotFoundError(f"{item} is neither a file nor one of the {len(ids)} ids in {store.folder}.{hint}")
        wanted |= dict.fromkeys(matching)
    return list(wanted)

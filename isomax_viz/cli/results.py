"""The command that reads results: ``evaluate``. It works without PyTorch."""

from __future__ import annotations

import argparse
import difflib
import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from isomax_viz import metrics
from isomax_viz._checks import check_known
from isomax_viz.captures import Capture
from isomax_viz.cli.output import add_command, add_json, add_store, print_json, print_table, records
from isomax_viz.store import Store
from isomax_viz.tables import DEFAULT_SCORES, evaluate

__all__ = ["METRICS", "add_commands"]

METRICS = tuple(metrics.METRICS)


def add_commands(commands: Any) -> None:
    """Add the command of this module to the parser."""
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        text="print a table of detection metrics of stored captures, or of files",
        examples="""
evaluate
evaluate 'digits-*-isomax+-*' --scores mps es mds energy --ood letters
evaluate my_capture.safetensors --csv > metrics.csv""",
    )
    parser.add_argument("which", nargs="*", metavar="ID|FILE", help="ids, with * and ?; files (all that is stored)")
    parser.add_argument("--scores", nargs="+", metavar="NAME", help="mps, es, mds, max_logit, energy, ... (mps es mds)")
    parser.add_argument("--ood", nargs="+", metavar="NAME", help="out-of-distribution sets (all of each capture)")
    form = parser.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument("--csv", action="store_true", help="print CSV, for spreadsheets")
    add_store(parser)


def _evaluate(options: argparse.Namespace) -> None:
    parts, sets = [], set()
    for name, capture in _captures(options.which):
        sets |= set(capture.ood)
        chosen = [key for key in capture.ood if options.ood is None or key in options.ood]
        if chosen:
            part = evaluate(capture, scores=options.scores or DEFAULT_SCORES, ood=chosen)
            part.insert(0, "id", name)
            parts.append(part)
    check_known("--ood", options.ood or [], sorted(sets))
    if not parts:
        raise ValueError("None of these captures has an out-of-distribution set. Record one: train --ood letters")
    table = pd.concat(parts, ignore_index=True)
    if options.json:
        print_json(records(table))
    elif options.csv:
        print(table.to_csv(index=False, lineterminator="\n"), end="")  # the output adds what Windows wants
    else:
        told_apart = not table.duplicated(["data", "backbone", "loss", "entropic_scale", "seed", "score", "ood"]).any()
        print_table(table.drop(columns="id") if told_apart else table, percent=("accuracy", *METRICS))


def _captures(which: list[str]) -> Iterator[tuple[str, Capture]]:
    """Give each capture with its id or file, one at a time: many would not fit into memory together."""
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
    for item in wanted:
        yield item, Capture.load(item) if Path(item).is_file() else store.capture(item)

"""What the commands have in common: options, tables for people, JSON for programs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["UsageError", "add_command", "add_json", "add_quiet", "add_store", "print_json", "print_table", "records"]


class UsageError(Exception):
    """The command was called wrongly, in a way that only shows while it runs; exit code 2."""


def add_command(commands: Any, name: str, function: Any, *, text: str, examples: str) -> argparse.ArgumentParser:
    """Add a command with its help and examples.

    Parameters
    ----------
    commands : object
        From ``add_subparsers()``.
    name : str
        What the user types.
    function : callable
        ``function(options) -> exit code or None``.
    text : str
        One line, for the list of commands.
    examples : str
        Lines for the end of the command's own help.
    """
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  python -m isomax_viz {line}" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=function, parser=parser)
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add ``--store``, which holds for the command and the processes it starts."""
    parser.add_argument("--store", type=Path, metavar="FOLDER", help="where results lie (ISOMAX_VIZ_STORE, or runs/)")


def add_json(parser: Any) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, warnings only")


def print_json(value: Any) -> None:
    """Print a value as JSON, in ASCII so that any terminal and any pipe can carry it."""
    print(json.dumps(value, indent=1, allow_nan=False))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON values; what is missing or infinite, for which JSON has no word, is null.

    Examples
    --------
    >>> records(pd.DataFrame({"loss": ["isomax"], "AUROC": [float("nan")]}))
    [{'loss': 'isomax', 'AUROC': None}]
    """
    return [{name: _json_value(value) for name, value in row.items()} for row in table.to_dict("records")]


def _json_value(value: Any) -> Any:
    if pd.isna(value) or value in (np.inf, -np.inf):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def print_table(table: pd.DataFrame, *, percent: tuple[str, ...] = (), file: Any = None) -> None:
    """Print a table for people: what is the same in all rows once, above; fractions in percent.

    Examples
    --------
    >>> table = pd.DataFrame({"data": ["digits"] * 2, "seed": [0, 1], "AUROC": [0.5, 1.0]})
    >>> print_table(table, percent=("AUROC",))
    data digits
     seed  AUROC
        0  50.0%
        1 100.0%
    """
    file = sys.stdout if file is None else file
    table = table.dropna(axis="columns", how="all").copy()
    same = [
        name for name in table.columns if name not in percent and len(table) > 1 and table[name].nunique(False) == 1
    ]
    if same:
        print(" · ".join(f"{name} {table[name].iloc[0]}" for name in same), file=file)
    for name in table.select_dtypes(["object", "string"]):
        table[name] = table[name].where(table[name].notna(), "-")
    formatters = {name: _percent for name in percent if name in table}
    print(table.drop(columns=same).to_string(index=False, formatters=formatters, na_rep="-"), file=file)


def _percent(share: float) -> str:
    return "-" if pd.isna(share) else f"{share:.1%}"

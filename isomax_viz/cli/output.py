"""What the commands have in common: options, tables for people, JSON for programs."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["UsageError", "add_command", "add_shared", "json_text", "show", "table_text"]

# Options of several commands. --store holds for the command and the processes that it starts.
_SHARED: dict[str, dict[str, Any]] = {
    "store": {"type": Path, "metavar": "FOLDER", "help": "where results lie (ISOMAX_VIZ_STORE, or runs/)"},
    "json": {"action": "store_true", "help": "print JSON, for programs"},
    "quiet": {"action": "store_true", "help": "no progress bar, warnings only"},
}


class UsageError(Exception):
    """The command was called wrongly, in a way that only shows while it runs; exit code 2."""


def add_command(
    commands: Any, name: str, function: Callable[..., int | None] | None, *, words: str = ""
) -> argparse.ArgumentParser:
    """Add a command; its help is what the docstring of its function says.

    Parameters
    ----------
    commands : object
        From ``add_subparsers()``.
    name : str
        What the user types.
    function : callable or None
        ``function(options) -> exit code or None``; None where the command has commands of its own.
    words : str
        In place of a docstring: a sentence, an empty line, and an example a line.
    """
    said, *examples = inspect.cleandoc(words or function.__doc__ or name).splitlines()  # python -OO drops docstrings
    parser = commands.add_parser(
        name,
        help=said[0].lower() + said[1:].rstrip("."),
        description=said,
        epilog="\n  python -m isomax_viz ".join(["examples:", *examples[1:]]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=function, parser=parser)
    return parser


def add_shared(parser: Any, *names: str) -> None:
    """Add options that several commands have: "store", "json", "quiet"."""
    for name in names:
        parser.add_argument(*(["-q"] if name == "quiet" else []), f"--{name}", **_SHARED[name])


def show(options: argparse.Namespace, value: Any, *lines: str) -> None:
    """Print lines for people, or with ``--json`` the value for programs."""
    print(json_text(value) if options.json else "\n".join(lines))


def json_text(value: Any) -> str:
    """Return a value, which may be or hold tables, as JSON, in ASCII so that any terminal and any pipe can carry it.

    What is missing or infinite in a table, for which JSON has no word, is null.

    Examples
    --------
    >>> print(json_text(pd.DataFrame({"loss": ["isomax"], "AUROC": [float("nan")]})))
    [
     {
      "loss": "isomax",
      "AUROC": null
     }
    ]
    """
    return json.dumps(value, indent=1, allow_nan=False, default=_records)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: _json_value(cell) for name, cell in row.items()} for row in table.to_dict("records")]


def _json_value(value: Any) -> Any:
    if pd.isna(value) or value in (np.inf, -np.inf):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def table_text(table: pd.DataFrame, *, percent: tuple[str, ...] = ()) -> str:
    """Return a table for people: what is the same in all rows once, above; fractions in percent.

    Examples
    --------
    >>> table = pd.DataFrame({"data": ["digits"] * 2, "seed": [0, 1], "AUROC": [0.5, 1.0]})
    >>> print(table_text(table, percent=("AUROC",)))
    data digits
     seed  AUROC
        0  50.0%
        1 100.0%
    """
    table = table.dropna(axis="columns", how="all").copy()
    constant = [name for name in table if name not in percent and len(table) > 1 and table[name].nunique(False) == 1]
    for name in table.select_dtypes(["object", "string"]):
        table[name] = table[name].where(table[name].notna(), "-")
    formatters = {name: lambda share: "-" if pd.isna(share) else f"{share:.1%}" for name in percent if name in table}
    rows = table.drop(columns=constant).to_string(index=False, formatters=formatters, na_rep="-")
    return "\n".join([*([" · ".join(f"{name} {table[name].iloc[0]}" for name in constant)] if constant else []), rows])

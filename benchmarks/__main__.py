"""Run the benchmarks, print one table; the exit code is 1 if a ratio falls short of its target.

RESULTS.md is the last full run, RECORDS.md what every run measured, so that progress over versions is seen.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import numpy
import torch

import isomax_viz
from benchmarks.rows import Row, table
from isomax_viz._common.system import processor

PARTS = ("training", "data", "heads", "metrics", "scale", "methods", "startup", "widget_latency", "lesson")
SLOW_PARTS = ("notebooks",)  # minutes: each trains from an empty store
RESULTS = Path(__file__).with_name("RESULTS.md")
RECORDS = RESULTS.with_name("RECORDS.md")


def circumstances(gpu: bool) -> list[str]:
    """Return date, commit, machine and versions."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    modules = {"isomax_viz": isomax_viz, "torch": torch, "numpy": numpy}
    versions = [f"{name} {module.__version__}" for name, module in modules.items()]
    versions.append(f"Python {platform.python_version()}")
    machine = f"{processor()}, {os.cpu_count()} cores" + (f", {torch.cuda.get_device_name()}" if gpu else "")
    return [datetime.date.today().isoformat(), commit, machine, ", ".join(versions)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="the rows that need CUDA, instead of the others")
    parser.add_argument("--only", choices=(*PARTS, *SLOW_PARTS), help="one part")
    parser.add_argument("--notebooks", action="store_true", help="each notebook from an empty store too (minutes)")
    parser.add_argument("--no-write", action="store_true", help="leave RESULTS.md and RECORDS.md as they are")
    options = parser.parse_args()
    if options.gpu and not torch.cuda.is_available():
        print("There is no CUDA device here. Run without --gpu for the rows that need none.", file=sys.stderr)
        return 2
    all_parts = PARTS + SLOW_PARTS if options.notebooks else PARTS
    parts = ("gpu",) if options.gpu else all_parts if options.only is None else (options.only,)
    rows = []
    for part in parts:
        print(f"{part} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{part}").rows()
    print(table(rows))
    if not options.no_write:
        where = circumstances(options.gpu)
        record(where, rows)
        if options.only is None:
            write("GPU" if options.gpu else "CPU", f"{', '.join(where)}\n\n{table(rows)}\n")
    short = [row.name for row in rows if not row.reached]
    if short:
        print(f"\nShort of the target: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


def record(where: list[str], rows: list[Row]) -> None:
    """Append what was measured to RECORDS.md: one line a quantity, its median of n."""
    if not RECORDS.exists():
        head = "date commit machine versions what median unit n".split()
        title = "# Records\n\nWhat each run of `make bench` measured, newest last; `+`: a commit with changes on top.\n"
        RECORDS.write_text(f"{title}\n| {' | '.join(head)} |\n|{' --- |' * len(head)}\n", encoding="utf-8")
    with RECORDS.open("a", encoding="utf-8") as file:
        for row in rows:
            if row.values:
                cells = [*where, row.name, f"{statistics.median(row.values):.4g}", row.unit, str(len(row.values))]
                file.write(f"| {' | '.join(cells)} |\n")


def write(section: str, text: str) -> None:
    """Put one section of RESULTS.md in the place of the former one."""
    sections = {
        "CPU": "Not run yet.\n",
        "GPU": "GPU figures are open: run `python -m benchmarks --gpu` on a machine with one.\n",
    }
    if RESULTS.exists():
        for part in RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]:
            name, _, body = part.partition("\n")
            sections[name] = body.strip() + "\n"
    sections[section] = text
    head = "# Results\n\nWritten by `make bench` and `python -m benchmarks --gpu`. Ratios of medians of runs in turn.\n"
    body = "".join(f"\n## {name}\n\n{content}" for name, content in sections.items())
    RESULTS.write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""Run the benchmarks, print one table, write RESULTS.md; the exit code is 1 if a ratio falls short of its target."""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import platform
import sys
from pathlib import Path

import numpy
import torch

import isomax_viz
from benchmarks.rows import table

PARTS = ("training", "data", "heads", "metrics", "scale", "methods", "startup", "widget_latency")
SLOW_PARTS = ("notebooks",)  # minutes: each trains from an empty store
RESULTS = Path(__file__).with_name("RESULTS.md")


def processor() -> str:
    """Return the processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def machine(gpu: bool) -> str:
    """Return date, processor and versions in one paragraph."""
    parts = [datetime.date.today().isoformat(), processor()]
    if gpu:
        parts.append(torch.cuda.get_device_name())
    parts += [f"Python {platform.python_version()}", f"torch {torch.__version__}", f"numpy {numpy.__version__}"]
    return ", ".join([*parts, f"isomax_viz {isomax_viz.__version__}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="the rows that need CUDA, instead of the others")
    parser.add_argument("--only", choices=(*PARTS, *SLOW_PARTS), help="one part")
    parser.add_argument("--notebooks", action="store_true", help="each notebook from an empty store too (minutes)")
    parser.add_argument("--no-write", action="store_true", help="leave RESULTS.md as it is")
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
    if options.only is None and not options.no_write:
        write("GPU" if options.gpu else "CPU", f"{machine(options.gpu)}\n\n{table(rows)}\n")
    short = [row.name for row in rows if not row.reached]
    if short:
        print(f"\nShort of the target: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


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

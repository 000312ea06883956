"""Command line: ``python -m isomax_viz ...``, or ``isomax-viz ...`` once it is installed."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from pathlib import Path

import isomax_viz
from isomax_viz.cli import results, trainings, upkeep
from isomax_viz.cli.output import UsageError

__all__ = ["main"]

_EXIT_CODES = "exit codes: 0 it went well, 1 it did not and says why, 2 wrong usage, 130 stopped by Ctrl-C"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="isomax-viz" if Path(sys.argv[0]).stem == "isomax-viz" else "python -m isomax_viz",
        description="Out-of-distribution detection with isotropy-maximisation losses.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"isomax_viz {isomax_viz.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for part in (trainings, results, upkeep):
        part.add_commands(commands)
    examples = [line for command in commands.choices.values() for line in str(command.epilog).splitlines()[1:2]]
    parser.epilog = "\n".join(["examples:", *examples, "", _EXIT_CODES])
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 if it went well, 1 with a message if not, 2 for wrong usage."""
    # What begins like a number is one, also -25,-7, which argparse would take for an option.
    words = [f" {word}" if re.match(r"-\.?\d", word) else word for word in arguments or sys.argv[1:]]
    options, unknown = _parser().parse_known_args(words)
    if unknown:  # said with the usage of the command, not of the whole program
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("isomax_viz").setLevel(logging.WARNING if getattr(options, "quiet", False) else logging.INFO)
    if getattr(options, "store", None):
        # For this command and every process that it starts.
        os.environ["ISOMAX_VIZ_STORE"] = str(options.store.expanduser().absolute())
    try:
        code = options.function(options) or 0
        sys.stdout.flush()  # here, where a closed pipe is understood, and not while Python ends
        return code
    except UsageError as error:
        options.parser.error(str(error))
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("isomax_viz: stopped. What is finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print(f"isomax_viz: {error}", file=sys.stderr)
    return 1

"""Command line: ``python -m isomax_viz ...``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import isomax_viz

__all__ = ["main"]

_EPILOG = """examples:
  python -m isomax_viz figures                       execute every notebook, write reports/
  python -m isomax_viz figures --only 00_quickstart  the same for one notebook
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m isomax_viz",
        description="Out-of-distribution detection with isotropy-maximisation losses.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"isomax_viz {isomax_viz.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    figures = commands.add_parser("figures", help="execute the notebooks and write the gallery of figures")
    figures.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="folder of notebooks (notebooks/)")
    figures.add_argument("--output", type=Path, default=Path("reports"), help="folder to write (reports/)")
    figures.add_argument("--only", metavar="NAME", help="only the notebook of that name")
    figures.add_argument(
        "--update-notebooks", action="store_true", help="also put the fresh outputs into the notebooks themselves"
    )
    figures.set_defaults(function=_figures)
    return parser


def _figures(options: argparse.Namespace) -> None:
    from isomax_viz import reports

    index = reports.build(
        options.notebooks, options.output, only=options.only, update_notebooks=options.update_notebooks
    )
    print(f"\nDone. Open {index.resolve().as_uri()} in a browser.")


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 if it went well, 1 with a message if not, 2 for wrong usage."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("isomax_viz").setLevel(logging.INFO)
    options = _parser().parse_args(arguments)
    try:
        options.function(options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"isomax_viz: {error}", file=sys.stderr)
        return 1
    return 0

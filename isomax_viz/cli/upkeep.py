"""The other commands: ``look``, ``figures``, ``store`` and ``doctor``."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from isomax_viz._common.checks import need_torch
from isomax_viz._common.system import data_folder
from isomax_viz.cli import doctor
from isomax_viz.cli.output import add_command, add_shared, show, table_text
from isomax_viz.store import table as store

__all__ = ["add_commands"]

logger = logging.getLogger(__name__)

_TOUR = Path("notebooks", "07_explorer.ipynb")
_STORE = """List, verify, remove or measure what is stored.

store list
store verify
store remove digits-small_cnn-isomax+-teaching-s0-0123456789
"""


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    look = add_command(commands, "look", _look)
    text = "where the tour lies; it is put there unless it is there already (this folder)"
    look.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help=text)
    look.add_argument("--no-browser", action="store_true", help="print the address and open no browser")

    figures = add_command(commands, "figures", _figures)
    figures.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="folder of notebooks (notebooks/)")
    figures.add_argument("--output", type=Path, default=Path("reports"), help="folder to write (reports/)")
    figures.add_argument("--only", metavar="NAME", help="only the notebook of that name")
    text = "also put the fresh outputs into the notebooks themselves"
    figures.add_argument("--update-notebooks", action="store_true", help=text)
    add_shared(figures, "store", "quiet")

    parser = add_command(commands, "store", None, words=_STORE)
    actions = parser.add_subparsers(required=True, metavar="list|verify|remove|size")
    numbers = {_verify: "*", _remove: "+"}
    for function in (_list, _verify, _remove, _size):
        action = add_command(actions, function.__name__.strip("_"), function)
        if function in numbers:
            action.add_argument("ids", nargs=numbers[function], metavar="ID", help="as store list shows it")
        add_shared(action, "store", "json")

    add_shared(add_command(commands, "doctor", _doctor), "json", "store")


def _look(options: argparse.Namespace) -> None:
    """Open JupyterLab on the tour of the explorer, with recorded networks; no PyTorch is needed.

    look
    look my_notebooks --no-browser
    """
    from jupyterlab.labapp import LabApp

    shipped = data_folder()
    source = next(place for place in (shipped, shipped.parent) if (place / _TOUR).is_file()) / _TOUR
    tour = options.folder.absolute() / _TOUR.name
    if not tour.exists():
        tour.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, tour)
        logger.info("Put the tour into %s", tour)
    words = ["--ip=127.0.0.1", f"--notebook-dir={tour.parent}", f"--LabApp.default_url=/lab/tree/{tour.name}"]
    words += ["--LabApp.news_url=None"]  # its question would stand over the explorer
    words += ["--no-browser"] * options.no_browser + ["--allow-root"] * (getattr(os, "getuid", int)() == 0)
    LabApp.launch_instance(words)


def _figures(options: argparse.Namespace) -> None:
    """Execute the notebooks and write the gallery of figures.

    figures
    figures --only 00_quickstart
    """
    need_torch()
    from isomax_viz.experiments import reports

    chosen = {"only": options.only, "update_notebooks": options.update_notebooks, "progress": not options.quiet}
    index = reports.build(options.notebooks, options.output, **chosen)
    print(f"\nDone. Open {index.resolve().as_uri()} in a browser.")


def _list(options: argparse.Namespace) -> None:
    """List what is stored.

    store list --json
    """
    table = store.list()
    text = f"There is nothing in {store.default_folder()}."
    if len(table):
        shown = table.assign(
            size=table["bytes"].map(tqdm.format_sizeof) + "B", created=table["created"].dt.strftime("%Y-%m-%d %H:%M")
        )
        shown["duration"] = shown["duration_s"].round(1).astype("string") + " s"
        text = table_text(shown.drop(columns=["bytes", "duration_s"]), percent=("accuracy",))
    show(options, table, text)


def _verify(options: argparse.Namespace) -> int:
    """Look whether all that is stored, or some of it, is whole.

    store verify --json
    """
    tables = [store.verify(name) for name in options.ids or [None]]
    problems = pd.concat(tables, ignore_index=True)
    looked_at = sum(table.attrs["experiments"] for table in tables)
    lines = [f"{row.id}  {row.file}: {row.problem}" for row in problems.itertuples()]
    lines.append(f"{looked_at} experiments in {store.default_folder()}, {problems['id'].nunique()} with problems")
    show(options, problems, *lines)
    return int(len(problems) > 0)


def _remove(options: argparse.Namespace) -> None:
    """Remove what is named.

    store remove ID --json
    """
    for name in options.ids:
        store.remove(name)
        logger.info("removed %s", name)
    if options.json:
        show(options, {"removed": options.ids})


def _size(options: argparse.Namespace) -> None:
    """Say how large all that is stored is.

    store size --json
    """
    count = store.size()
    show(options, {"bytes": count}, f"{tqdm.format_sizeof(count)}B in {store.default_folder()}")


def _doctor(options: argparse.Namespace) -> int:
    """Look whether everything is there and fits together, and say what to do where not.

    doctor
    doctor --json
    """
    findings, lines = doctor.examine(), []
    for finding in findings:
        lines.append(f"{finding.status:4}  {finding.check:9} {finding.found}")
        lines += [f"{'':16}-> {finding.remedy}"] * bool(finding.remedy)
    show(options, [asdict(finding) for finding in findings], *lines)
    return int(any(finding.status == "fail" for finding in findings))

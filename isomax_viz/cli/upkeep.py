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

from isomax_viz._common.system import data_folder
from isomax_viz.cli import doctor
from isomax_viz.cli.output import (
    UsageError,
    add_command,
    add_json,
    add_quiet,
    add_store,
    print_json,
    print_table,
    records,
)
from isomax_viz.store import table as store

__all__ = ["add_commands"]

logger = logging.getLogger(__name__)

_TOUR = Path("notebooks", "07_explorer.ipynb")


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    _add_look(commands)
    _add_figures(commands)
    _add_store(commands)
    parser = add_command(
        commands,
        "doctor",
        _doctor,
        text="look whether everything is there and fits together, and say what to do where not",
        examples="""
doctor
doctor --json""",
    )
    add_json(parser)
    add_store(parser)


def _add_look(commands: Any) -> None:
    look = add_command(
        commands,
        "look",
        _look,
        text="open JupyterLab on the tour of the explorer, with recorded networks; no PyTorch is needed",
        examples="""
look
look my_notebooks --no-browser""",
    )
    text = "where the tour lies; it is put there unless it is there already (this folder)"
    look.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help=text)
    look.add_argument("--no-browser", action="store_true", help="print the address and open no browser")


def _look(options: argparse.Namespace) -> None:
    from jupyterlab.labapp import LabApp

    shipped = data_folder()
    source = next(place for place in (shipped, shipped.parent) if (place / _TOUR).is_file()) / _TOUR
    tour = options.folder.absolute() / _TOUR.name
    if not tour.exists():
        tour.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, tour)
        logger.info("Put the tour into %s", tour)
    words = ["--ip=127.0.0.1", f"--notebook-dir={tour.parent}", f"--LabApp.default_url=/lab/tree/{tour.name}"]
    words += ["--no-browser"] * options.no_browser + ["--allow-root"] * (getattr(os, "getuid", int)() == 0)
    LabApp.launch_instance(words)


def _add_figures(commands: Any) -> None:
    figures = add_command(
        commands,
        "figures",
        _figures,
        text="execute the notebooks and write the gallery of figures",
        examples="""
figures
figures --only 00_quickstart""",
    )
    figures.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="folder of notebooks (notebooks/)")
    figures.add_argument("--output", type=Path, default=Path("reports"), help="folder to write (reports/)")
    figures.add_argument("--only", metavar="NAME", help="only the notebook of that name")
    figures.add_argument(
        "--update-notebooks", action="store_true", help="also put the fresh outputs into the notebooks themselves"
    )
    add_store(figures)
    add_quiet(figures)


def _add_store(commands: Any) -> None:
    parser = add_command(
        commands,
        "store",
        _store,
        text="list, verify, remove or measure what is stored",
        examples="""
store list
store verify
store remove digits-small_cnn-isomax+-teaching-s0-0123456789
store size --json""",
    )
    parser.add_argument("action", choices=("list", "verify", "remove", "size"), metavar="list|verify|remove|size")
    parser.add_argument("ids", nargs="*", metavar="ID", help="what to verify (all) or remove")
    add_store(parser)
    add_json(parser)


def _store(options: argparse.Namespace) -> int:
    if options.ids and options.action in ("list", "size"):
        raise UsageError(f"{options.action} takes no ids, but got {' '.join(options.ids)}")
    return {"list": _list, "verify": _verify, "remove": _remove, "size": _size}[options.action](options)


def _list(options: argparse.Namespace) -> int:
    table = store.list()
    if options.json:
        print_json(records(table))
    elif table.empty:
        print(f"There is nothing in {store.default_folder()}.")
    else:
        shown = table.assign(size=[_readable(count) for count in table["bytes"]]).drop(columns="bytes")
        shown["created"] = shown["created"].dt.strftime("%Y-%m-%d %H:%M")
        shown["duration"] = shown.pop("duration_s").round(1).astype("string") + " s"
        print_table(shown[["id", *(name for name in shown if name != "id")]], percent=("accuracy",))
    return 0


def _verify(options: argparse.Namespace) -> int:
    tables = [store.verify(name) for name in options.ids or [None]]
    problems = pd.concat(tables, ignore_index=True)
    if options.json:
        print_json(records(problems))
    else:
        for row in problems.itertuples():
            print(f"{row.id}  {row.file}: {row.problem}")
        looked_at = sum(table.attrs["experiments"] for table in tables)
        print(f"{looked_at} experiments in {store.default_folder()}, {problems['id'].nunique()} with problems")
    return int(len(problems) > 0)


def _remove(options: argparse.Namespace) -> int:
    if not options.ids:
        raise UsageError("remove needs the ids of what to remove; store list shows them")
    for name in options.ids:
        store.remove(name)
        logger.info("removed %s", name)
    if options.json:
        print_json({"removed": options.ids})
    return 0


def _size(options: argparse.Namespace) -> int:
    count = store.size()
    print_json({"bytes": count}) if options.json else print(f"{_readable(count)} in {store.default_folder()}")
    return 0


def _readable(count: int) -> str:
    if count < 1e6:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _figures(options: argparse.Namespace) -> None:
    from isomax_viz.experiments import reports

    index = reports.build(
        options.notebooks,
        options.output,
        only=options.only,
        update_notebooks=options.update_notebooks,
        progress=not options.quiet,
    )
    print(f"\nDone. Open {index.resolve().as_uri()} in a browser.")


def _doctor(options: argparse.Namespace) -> int:
    findings = doctor.examine()
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.status:4}  {finding.check:9} {finding.found}")
            if finding.remedy:
                print(f"{'':16}-> {finding.remedy}")
    return int(any(finding.status == "fail" for finding in findings))

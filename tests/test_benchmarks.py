"""The benchmarks run, with tiny sizes; nothing here looks at a speed."""

from __future__ import annotations

import datetime
import math
import os
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

import isomax_viz as iv
from benchmarks import __main__ as command
from benchmarks import data, gpu, heads, lesson, methods, metrics, notebooks, scale, startup, training, widget_latency
from benchmarks.rows import Row, in_turn, table

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    "part", [training, data, heads, startup, metrics, scale, methods, gpu], ids=lambda part: part.__name__
)
def test_every_part_runs(part):
    rows = part.rows(tiny=True)
    measured = [row for row in rows if not row.note.startswith("not chosen")]
    assert measured and all(math.isfinite(row.median) and row.median >= 0 for row in measured)


@pytest.mark.browser
def test_the_lesson_is_measured_in_a_browser():
    if reason := lesson.missing():
        pytest.skip(reason)
    rows = lesson.rows(tiny=True)
    assert [row.unit for row in rows] == ["MB", "s", "ms", "s"] and rows[0].reached


def test_targets_are_judged_by_the_median_in_the_right_direction():
    assert Row("a", "b", (0.9, 1.0, 5.0), 0.95).reached
    assert not Row("a", "b", (0.9, 0.9, 5.0), 0.95).reached
    assert Row("a", "b", (0.01, 0.02, 0.5), 0.03, at_most=True).reached
    assert not Row("a", "b", (0.04,), 0.03, at_most=True).reached
    assert "| a | b | 0.9 | 0.9 to 5 | at least 0.95 | NO |  |" in table([Row("a", "b", (0.9, 0.9, 5.0), 0.95)])


def test_functions_are_timed_in_turn():
    calls = []
    times = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2, warmup=1)
    assert calls == ["a", "b"] * 3 and [len(values) for values in times.values()] == [2, 2]


def test_results_keep_the_other_section(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    command.write("CPU", "first\n")
    assert "GPU figures are open" in command.RESULTS.read_text()
    command.write("GPU", "second\n")
    command.write("CPU", "third\n")
    text = command.RESULTS.read_text()
    assert "second" in text and "third" in text and "first" not in text


def test_every_run_adds_what_it_measured_to_the_records(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(command, "RECORDS", tmp_path / "RECORDS.md")
    monkeypatch.setattr(command.importlib, "import_module", lambda name: Tiny)
    monkeypatch.setattr(command.sys, "argv", ["benchmarks", "--only", "startup"])
    for _ in range(2):
        assert command.main() in (0, 1)  # one cold start says nothing about speed
    lines = command.RECORDS.read_text().split("\n\n")[-1].splitlines()
    head, _, *cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = [dict(zip(head, row, strict=True)) for row in cells]
    assert [row["what"] for row in rows] == ["start: import isomax_viz"] * 2 and not command.RESULTS.exists()
    assert all(row["unit"] == "s" and row["n"] == "1" and 0 < float(row["median"]) < 60 for row in rows)
    assert all(row["date"] == datetime.date.today().isoformat() and "cores" in row["machine"] for row in rows)
    assert all(f"isomax_viz {iv.__version__}, torch {torch.__version__}, numpy" in row["versions"] for row in rows)
    git = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout
    assert all(commit.startswith(row["commit"].rstrip("+")) for row in rows)


class Tiny:
    rows = staticmethod(lambda: startup.rows(tiny=True))


def test_the_time_of_a_notebook_counts_its_trainings_in_a_store_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOMAX_VIZ_STORE", str(tmp_path / "mine"))
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "import os, pathlib; pathlib.Path(os.environ['ISOMAX_VIZ_STORE']).mkdir(exist_ok=True)"
            )
        ]
    )
    nbformat.write(notebook, tmp_path / "empty.ipynb")
    row = notebooks.notebook_row(tmp_path / "empty.ipynb")
    assert row.name == "notebook empty" and 0 < row.median < 1e3 and row.note.endswith("s, 0 trainings")
    assert not (tmp_path / "mine").exists() and os.environ["ISOMAX_VIZ_STORE"] == str(tmp_path / "mine")


def test_the_widgets_are_judged_turn_by_turn_and_without_a_browser_not_at_all(monkeypatch):
    monkeypatch.setattr(widget_latency, "missing", lambda: "")
    times = {"known": [20.0, 30.0], "new": [50.0, 60.0], "seaborn": [100.0, 200.0], "empty": [10.0, 12.0]}
    times |= {"known work": [5.0, 7.0], "new work": [8.0, 9.0], "large": [40.0, 50.0], "large drag": [3.0, 3.0]}
    times["drag"] = [4.0] * 95 + [40.0] * 5
    monkeypatch.setattr(widget_latency, "collect", lambda **options: times)
    known, new, large, drag, large_drag = widget_latency.rows()
    assert known.ratios == (0.2, 0.15) and known.reached and new.ratios == (0.5, 0.3) and new.reached
    assert "25 ms" in known.note and "6 ms" in known.note and "11 ms" in known.note and "150 ms" in known.baseline
    assert large.ratios == (40 / widget_latency.TOGGLE, 50 / widget_latency.TOGGLE) and large_drag.ratios == (3 / 16,)
    assert drag.ratios == (np.percentile(times["drag"], 95) / 16,) and "median 4.0 ms" in drag.note
    monkeypatch.setattr(widget_latency, "missing", lambda: "no Chromium on this machine")
    (row,) = widget_latency.rows()
    assert row.target is None and row.note == "no Chromium on this machine"


def test_the_parts_of_the_command_are_modules_and_the_slow_ones_are_asked_for(monkeypatch, capsys):
    ran = []
    module = type("Part", (), {"rows": staticmethod(lambda: [Row("a", "b", (1.0,), None)])})
    monkeypatch.setattr(command.importlib, "import_module", lambda name: ran.append(name) or module)
    for arguments in ([], ["--notebooks"]):
        monkeypatch.setattr(command.sys, "argv", ["benchmarks", "--no-write", *arguments])
        assert command.main() == 0
    first, second = ran[: len(command.PARTS)], ran[len(command.PARTS) :]
    assert "benchmarks.notebooks" not in first and second == [*first, "benchmarks.notebooks"]
    assert all((ROOT / f"{name.replace('.', '/')}.py").is_file() for name in second)
    assert "| a | b |" in capsys.readouterr().out

"""The benchmarks run, with tiny sizes; nothing here looks at a speed."""

from __future__ import annotations

import math

import pytest

from benchmarks import __main__ as command
from benchmarks import data, gpu, methods, metrics, scale, training
from benchmarks.rows import Row, in_turn, table


@pytest.mark.parametrize("part", [training, data, metrics, scale, methods, gpu], ids=lambda part: part.__name__)
def test_every_part_runs(part):
    rows = part.rows(tiny=True)
    assert rows and all(math.isfinite(row.median) and row.median >= 0 for row in rows)


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

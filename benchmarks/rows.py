"""A row of the results: a ratio to a named baseline, measured several times in turn, with a target."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One ratio; ``target`` is what its median must reach (at most, if ``at_most``), None if it is for information.

    ``values`` are the measurements of ours behind the ratio, in ``unit``: what RECORDS.md keeps.
    """

    name: str
    baseline: str
    ratios: tuple[float, ...]
    target: float | None
    at_most: bool = False
    note: str = ""
    values: tuple[float, ...] = ()
    unit: str = "s"

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    @property
    def reached(self) -> bool:
        if self.target is None:
            return True
        return self.median <= self.target if self.at_most else self.median >= self.target

    def cells(self) -> list[str]:
        target = "" if self.target is None else f"{'at most' if self.at_most else 'at least'} {self.target:g}"
        spread = f"{min(self.ratios):.3g} to {max(self.ratios):.3g}"
        verdict = "" if self.target is None else ("yes" if self.reached else "NO")
        return [self.name, self.baseline, f"{self.median:.3g}", spread, target, verdict, self.note]


HEAD = ["what", "baseline", "median ratio", "spread", "target", "reached", "note"]


def seconds(function: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(functions: dict[str, Callable[[], object]], *, rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Time functions in turn, A B C A B C ..., so that a drift of the machine's speed meets all alike."""
    for _ in range(warmup):
        for function in functions.values():
            function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times


def ratios(numerator: list[float], denominator: list[float]) -> tuple[float, ...]:
    """Return the ratio of each round."""
    return tuple(a / b for a, b in zip(numerator, denominator, strict=True))


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)

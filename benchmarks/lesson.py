"""The lesson's page: its size, the time until it answers, and the work of a stroke and of a training in it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

import isomax_viz as iv
from benchmarks.rows import Row
from benchmarks.widget_latency import missing

STROKE = """n => Array.from({ length: n }, () => {
    const start = performance.now();
    lesson.draw.show(lesson.state().draw.picture);
    return performance.now() - start;
})"""
MOONS = """([loss, points, labels]) => {
    const start = performance.now(), { steps } = lesson.train(loss, points, labels, 0);
    while (!steps.next().done);
    return performance.now() - start;
}"""


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows of this file; without a browser, one that says so."""
    if reason := missing():
        return [Row("lesson: stroke to scores", "30 ms", (float("nan"),), None, note=reason)]
    from lab_server import CHROMIUM_ARGS, find_chromium
    from playwright.sync_api import sync_playwright

    toy = iv.datasets.load_toy("moons")
    points = [toy.train.tolist(), toy.train_labels.tolist()]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = iv.lesson(Path(folder) / "lesson.html")
        size = path.stat().st_size / 1e6
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        opened = []
        for _ in range(1 if tiny else 7):
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(path.as_uri())
            page.locator("[data-ready]:has([data-drawn])").wait_for()
            opened.append(page.evaluate("performance.now()") / 1000)
        page.locator(".thumbs button").first.click()
        page.locator(".says b").first.wait_for()
        strokes = page.evaluate(STROKE, 2 if tiny else 60)
        losses = ("isomax",) if tiny else ("softmax", "isomax", "isomax+")
        moons = [page.evaluate(MOONS, [loss, *points]) / 1000 for loss in losses]
        browser.close()
    return [
        _row("lesson: size of the page", 2.5, [size], "MB"),
        _row("lesson: page opened until it answers", 1, opened, "s"),
        _row("lesson: stroke to all scores of four losses", 30, strokes, "ms"),
        _row("lesson: training on two moons in the page", 2, moons, "s"),
    ]


def _row(name: str, limit: float, values: list[float], unit: str) -> Row:
    note = f"{median(values):.3g} {unit}"
    found = tuple(value / limit for value in values)
    return Row(name, f"{limit:g} {unit}", found, 1, at_most=True, note=note, values=tuple(values), unit=unit)

"""A real JupyterLab in a real browser, as a person meets it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_page import KernelPage
from lab_server import CHROMIUM_ARGS, Lab, find_chromium, start_lab

LOSSES = ("softmax", "isomax", "isomax+", "isomax2")


def _missing(what: str) -> None:
    """Skip, or fail where the browser was promised: a skipped test must not pass for a passed one."""
    if os.environ.get("ISOMAX_VIZ_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what}, but ISOMAX_VIZ_REQUIRE_BROWSER=1.")
    pytest.skip(f"{what}. Install it to run the browser tests.")


@pytest.fixture(scope="session")
def captures(session_store: Path) -> dict[str, Any]:
    """The four losses on digits, by key."""
    import isomax_viz as iv

    return {loss: iv.Experiment(loss=loss).run(store=session_store, progress=False) for loss in LOSSES}


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the screen go: ISOMAX_VIZ_SCREENSHOTS, else a temporary folder."""
    chosen = os.environ.get("ISOMAX_VIZ_SCREENSHOTS")
    folder = Path(chosen).resolve() if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, session_store: Path) -> Iterator[Lab]:
    """JupyterLab with nothing of the user's."""
    environment = os.environ | {"ISOMAX_VIZ_STORE": str(session_store)}
    with start_lab(tmp_path_factory.mktemp("jupyter"), environment) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, headless."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed")
    chromium = find_chromium()
    if chromium is None:
        _missing("No Chromium is on the PATH")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """One page, big enough for a notebook."""
    opened = browser.new_page(viewport={"width": 1500, "height": 1100})
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., KernelPage]]:
    """Show a view in a page of its own; what the page complains of fails the test."""
    pages: list[KernelPage] = []

    def show(view: Any, **options: Any) -> KernelPage:
        pages.append(KernelPage(browser, view, **options))
        return pages[-1]

    yield show
    for item in pages:
        item.page.close()
    assert [item.said for item in pages] == [[]] * len(pages)

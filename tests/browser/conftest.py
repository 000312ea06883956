"""A real JupyterLab in a real browser, as a person meets it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyterlab_driver import Notebook

TOKEN = "for-the-tests-only"
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


def _missing(what: str) -> None:
    """Skip, or fail where the browser was promised: a skipped test must not pass for a passed one."""
    if os.environ.get("ISOMAX_VIZ_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what}, but ISOMAX_VIZ_REQUIRE_BROWSER=1.")
    pytest.skip(f"{what}. Install it to run the browser tests.")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where trained networks lie: the given store, so that they are trained once."""
    chosen = os.environ.get("ISOMAX_VIZ_STORE")
    return Path(chosen).resolve() if chosen else tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def captures(store: Path) -> dict[str, Any]:
    """The four losses on digits, by key."""
    import isomax_viz as iv

    return {loss: iv.Experiment(loss=loss).run(store=store, progress=False) for loss in LOSSES}


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the screen go: ISOMAX_VIZ_SCREENSHOTS, else a temporary folder."""
    chosen = os.environ.get("ISOMAX_VIZ_SCREENSHOTS")
    folder = Path(chosen).resolve() if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Lab:
    """A running JupyterLab server and the folder that it serves."""

    def __init__(self, folder: Path, url: str, process: subprocess.Popen) -> None:
        self.folder, self.url, self.process = folder, url, process

    def address(self, notebook: str) -> str:
        return f"{self.url}/lab/tree/{notebook}?token={TOKEN}&reset"

    def write(self, name: str, *cells: str) -> str:
        """Write a notebook of code cells and return its name."""
        import nbformat

        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / name)
        return name


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Lab]:
    """JupyterLab on a free port of this machine, with settings of its own and nothing of the user's."""
    home, folder = tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("notebooks")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    places |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    places |= {"IPYTHONDIR": "ipython"}
    environment = os.environ | {name: str(home / place) for name, place in places.items()}
    # The kernel is no test: errors there are shown in the view, as a person sees them.
    environment.pop("PYTEST_CURRENT_TEST", None)
    environment["ISOMAX_VIZ_STORE"] = str(store)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--notebook-dir={folder}", "--ServerApp.port_retries=0"]
    command += ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    log = (home / "log").open("w")
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    running = Lab(folder, f"http://127.0.0.1:{port}", process)
    try:
        _wait_for(running, home / "log")
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def _wait_for(lab: Lab, log: Path, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and lab.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{lab.url}/api/status?token={TOKEN}", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, headless."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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
def open_notebook(page: Any, lab: Lab) -> Any:
    """Open a notebook of the served folder: ``open_notebook(name) -> Notebook``."""
    return lambda name: Notebook(page, lab.address(name))

"""A JupyterLab server of its own: free port, own settings, nothing of the user's."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CHROMIUM_ARGS", "Lab", "find_chromium", "start_lab"]

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
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


def find_chromium() -> str | None:
    """Return where a Chromium is on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


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


@contextmanager
def start_lab(home: Path, environment: Mapping[str, str]) -> Iterator[Lab]:
    """Run JupyterLab on a free port of this machine, with settings of its own in a folder."""
    folder = home / "notebooks"
    folder.mkdir()
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    places |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    places |= {"IPYTHONDIR": "ipython"}
    environment = dict(environment) | {name: str(home / place) for name, place in places.items()}
    # The kernel is no test: errors there are shown in the view, as a person sees them.
    environment.pop("PYTEST_CURRENT_TEST", None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--notebook-dir={folder}", "--ServerApp.port_retries=0"]
    command += ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with (home / "log").open("w") as log:
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


def _wait_for(lab: Lab, log: Path, *, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and lab.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{lab.url}/api/status?token={TOKEN}", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")

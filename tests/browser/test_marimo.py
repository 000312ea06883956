"""The explorer in marimo, which draws anywidgets in a page of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from jupyterlab_driver import Explorer, move_simplex

from isomax_viz import load_example
from isomax_viz.analysis.thresholds import threshold_table

pytestmark = pytest.mark.browser
pytest.importorskip("marimo", reason="marimo is not installed")

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import isomax_viz as iv

    iv.explore_simplex()
    return (iv,)


@app.cell
def _(iv):
    explorer = iv.explore(iv.load_example("digits", seed=0))
    explorer
    return (explorer,)


if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def address(tmp_path):
    """Return where marimo shows the notebook as an app."""
    (tmp_path / "notebook.py").write_text(NOTEBOOK)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "run", "notebook.py", "--headless", "--no-token", f"--port={port}"]
    environment = os.environ | {"HOME": str(tmp_path), "MARIMO_SKIP_UPDATE_CHECK": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 90
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):
                break
        except OSError:
            time.sleep(0.2)
    yield url
    process.terminate()
    process.wait(20)


def test_the_explorer_draws_and_answers_in_marimo(page, address, screenshots):
    page.goto(address)
    page.locator("[data-name=loss]").wait_for(timeout=90_000)
    move_simplex(page)
    explorer = Explorer(page)
    # It has its style, in the shadow tree where marimo puts it.
    assert explorer.root.locator(".parts").evaluate("e => getComputedStyle(e).display") == "grid"
    assert "dark" not in explorer.root.get_attribute("class")  # marimo writes its colours as oklch
    explorer.choose("IsoMax+")
    explorer.choose("patches")
    explorer.choose("MDS")
    row = threshold_table(load_example("digits", loss="isomax+", seed=0)[0], "patches", score="mds").iloc[0]
    assert explorer.row("patches")[:2] == [row["ood_accepted"], row["ood_rejected"]]
    explorer.press("Take away")
    explorer.press("show code")
    explorer.wait_for_text("iv.plot_operating_point(captures[2]")
    explorer.screenshot(screenshots / "explorer_marimo.png")

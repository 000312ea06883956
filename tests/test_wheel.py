"""What travels: a built wheel holds the papers' numbers and the recorded examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
import zipfile
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

import isomax_viz as iv

ROOT = Path(__file__).resolve().parent.parent


def opened(page: str, *, tries: int = 60) -> int:
    """Return the status of a page of a server that may say its address before it listens."""
    for _ in range(tries):
        with suppress(URLError):
            return urllib.request.urlopen(page, timeout=30).status
        time.sleep(0.5)
    raise TimeoutError(page)


def test_a_wheel_holds_the_data_and_reads_it_without_the_checkout(tmp_path):
    options = ["--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    published = {path.name for path in (ROOT / "data" / "published").glob("*.csv")}
    assert {
        name.rpartition("/")[2] for name in names if "_data/published" in name and name.endswith(".csv")
    } == published
    shared = {name.rpartition("/")[2] for name in names if name.startswith("isomax_viz/explorer/")}
    assert {"style.css", "explorer.js", "loader.js"} <= shared
    assert "isomax_viz/_data/networks/digits/small_cnn-isomax+-s0.safetensors" in names
    assert {"isomax_viz/_data/notebooks/07_explorer.ipynb", "isomax_viz/_data/README.md"} <= set(names)
    assert "isomax_viz/experiments/gallery.html.j2" in names and any(name.endswith("/LICENSE") for name in names)
    assert not any(name.startswith(("runs", "reports", "tests")) for name in names)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = """
import isomax_viz as iv
print(iv.__file__, len(iv.load_example("digits")))
print(iv.__version__)
print(len(iv.published.table("isomax+", 3)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "installed", capture_output=True, text=True, timeout=60
    )
    assert str(tmp_path) in done.stdout and "__init__.py 12\n" in done.stdout, done.stderr
    assert int(done.stdout.split()[-1]) > 100, done.stderr
    assert f"\n{iv.__version__}\n" in done.stdout and wheel.name.startswith(f"isomax_viz-{iv.__version__}-")
    tour = tmp_path / "tour"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    look = [sys.executable, "-m", "isomax_viz", "look", str(tour), "--no-browser"]
    with subprocess.Popen(look, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as lab:
        try:
            page = next(found[0] for line in lab.stderr if (found := re.search(r"http://\S+/lab/tree/\S+", line)))
            assert "07_explorer" in page and opened(page) == 200
        finally:
            lab.terminate()
    assert (tour / "07_explorer.ipynb").read_bytes() == (ROOT / "notebooks" / "07_explorer.ipynb").read_bytes()

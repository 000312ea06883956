"""Shared fixtures: small real trainings in a store of their own, and captures that need no network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from isomax_viz import Capture

settings.register_profile("nightly", max_examples=20_000, deadline=None)

GOLDEN = Path(__file__).parent / "golden"
LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
# Files of the browser's tests that take longest, the longest first.
LONGEST = ("test_lesson", "test_lab", "test_explorer", "test_page", "test_watch", "test_kernel")
# What a Python where PyTorch is not installed would say.
HIDDEN = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "pytorch_ood"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture(scope="session")
def session_store(tmp_path_factory) -> Path:
    """The store of tests that bring none, the same for all workers: what one has trained, the others read."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return Path(os.environ.get("ISOMAX_VIZ_TEST_STORE", shared / "store"))


@pytest.fixture(autouse=True)
def _quiet_store(session_store, monkeypatch):
    """No test reads or writes the reader's own store."""
    monkeypatch.setenv("ISOMAX_VIZ_STORE", str(session_store))


@pytest.fixture(autouse=True, scope="session")
def _loud_buttons():
    """What a button's callback raises fails the test: ipywidgets alone would only log it."""
    from ipywidgets.widgets.widget import CallbackDispatcher

    def call(dispatcher, *args, **kwargs):
        for callback in dispatcher.callbacks:
            callback(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CallbackDispatcher, "__call__", call)
        yield


@pytest.fixture
def hide_torch(tmp_path, monkeypatch):
    """Make importing PyTorch fail in every Python that the test starts."""
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True)
    assert "No module named 'torch'" in done.stderr


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def capture(rng) -> Capture:
    """A made-up capture with distances, features and two OOD sets; IsoMax-like."""
    labels = np.arange(60) % 4
    distances = rng.uniform(2, 4, (60, 4))
    distances[np.arange(60), labels] -= 1.5
    return Capture.from_arrays(
        -distances,
        labels,
        features=rng.normal(size=(60, 5)),
        distances=distances,
        ood={
            "near": {"logits": -(far := rng.uniform(1.5, 3.5, (40, 4))), "distances": far},
            "far": {"logits": -(farther := rng.uniform(3, 5, (30, 4))), "distances": farther},
        },
        loss="isomax",
        meta={"data": "made up", "seed": 0},
    )


@pytest.fixture(scope="session")
def trained(session_store) -> dict[str, Capture]:
    """One smoke training of each loss on the digits, from the session's store."""
    from isomax_viz import Experiment

    return {loss: Experiment(loss=loss, preset="smoke").run(store=session_store, progress=False) for loss in LOSSES}


def pytest_collection_modifyitems(items) -> None:
    """Fast tests first, then notebooks, then the browser, there the longest files first: no worker is idle at the end.

    The browser's driver keeps an event loop running until the session ends, and a widget behaves otherwise beside one.
    """

    def order(item) -> tuple[bool, bool, int]:
        browser, notebook = (item.get_closest_marker(name) is not None for name in ("browser", "notebook"))
        place = LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)
        return browser, notebook, place * browser

    items.sort(key=order)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give a file to one worker, which makes its fixtures once; each notebook, which needs none, to whoever is free."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if "::test_notebook_runs[" in nodeid else super()._split_scope(nodeid)

    return Files(config, log)


def pytest_terminal_summary(terminalreporter) -> None:
    """Print how long each notebook took."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    times = sorted({value for report in reports for key, value in report.user_properties if key == "notebook"})
    if times:
        terminalreporter.section("notebooks")
        terminalreporter.write_line("\n".join(times))

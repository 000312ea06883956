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
# What a Python where PyTorch is not installed would say.
HIDDEN = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "pytorch_ood"):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture(autouse=True)
def _quiet_store(tmp_path_factory, monkeypatch):
    """No test reads or writes the reader's own store."""
    monkeypatch.setenv("ISOMAX_VIZ_STORE", os.environ.get("ISOMAX_VIZ_TEST_STORE", str(_store(tmp_path_factory))))


def _store(tmp_path_factory) -> Path:
    return tmp_path_factory.getbasetemp() / "store"


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
def trained(tmp_path_factory) -> dict[str, Capture]:
    """One smoke training of each loss on the digits, from the session's store."""
    from isomax_viz import Experiment

    store = _store(tmp_path_factory)
    return {loss: Experiment(loss=loss, preset="smoke").run(store=store, progress=False) for loss in LOSSES}


def pytest_collection_modifyitems(items) -> None:
    """Fast tests first, then notebooks, then the browser.

    The browser's driver keeps an event loop running until the session ends, and a widget behaves otherwise beside one.
    """
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None) * 2
               + (item.get_closest_marker("notebook") is not None))  # fmt: skip


def pytest_terminal_summary(terminalreporter) -> None:
    """Print how long each notebook took."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    times = sorted({value for report in reports for key, value in report.user_properties if key == "notebook"})
    if times:
        terminalreporter.section("notebooks")
        terminalreporter.write_line("\n".join(times))

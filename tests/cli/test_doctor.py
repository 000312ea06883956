"""The doctor: what it looks at, and what it says to do about it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from isomax_viz import cli
from isomax_viz.cli import doctor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def look(tmp_path):
    """Return a function that examines and gives the finding of a check."""

    def find(check: str) -> doctor.Finding:
        return next(finding for finding in doctor.examine(tmp_path / "runs") if finding.check == check)

    return find


@pytest.fixture
def versions(monkeypatch):
    """Return a function that makes packages appear in another version, or absent (None)."""
    real = metadata.version

    def pretend(**others: str | None) -> None:
        def version(name: str) -> str:
            if name in others and others[name] is None:
                raise metadata.PackageNotFoundError(name)
            return others.get(name) or real(name)

        monkeypatch.setattr(metadata, "version", version)

    return pretend


def test_here_nothing_fails_and_nothing_is_left_behind(tmp_path):
    findings = doctor.examine(tmp_path / "runs")
    assert [finding.check for finding in findings if finding.status == "fail"] == []
    assert list(tmp_path.iterdir()) == []
    assert {"python", "packages", "torch", "threads", "widgets", "store", "data", "disk"} <= {
        finding.check for finding in findings
    }
    assert all(bool(finding.remedy) == (finding.status != "ok") for finding in findings)
    assert list(pd.DataFrame(findings)) == ["check", "status", "found", "remedy"]


def test_missing_and_old_packages_are_named_with_the_command(look, versions):
    versions(pandas="1.0", seaborn=None)
    assert look("pandas").status == "fail" and look("pandas").found == "is 1.0, but must be >=2.2"
    assert look("pandas").remedy == 'Run: python -m pip install "pandas>=2.2"'
    assert look("seaborn").status == "fail" and look("seaborn").found == "is not installed"


@pytest.mark.parametrize(
    ("front", "words"),
    [("1.1.7", "is 1.1.7, but must be ~=3"), ("99.0", "is 99.0, but must be ~=3"), (None, "is not inst")],
)
def test_kernel_and_front_end_must_belong_together(front, words, look, versions):
    versions(jupyterlab_widgets=front)
    finding = look("jupyterlab_widgets")
    assert finding.status == "fail" and finding.found.startswith(words)
    assert finding.remedy.startswith('Run: python -m pip install "jupyterlab_widgets~=3')


def test_a_lab_in_another_environment_is_no_failure(look, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab_server.config", None)
    assert look("widgets").status == "warn" and "JupyterLab is not in this environment" in look("widgets").found


def test_a_missing_extension_is_found():
    """In a process of its own, because Jupyter reads its folders once."""
    code = (
        "import jupyter_core.paths as paths; paths.jupyter_path = lambda *parts: []\n"
        "from isomax_viz.cli import doctor; print(doctor._widgets())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "'fail', found='JupyterLab has no extension @jupyter-widgets/jupyterlab-manager'" in done.stdout, done.stderr


def test_a_disabled_extension_is_found(tmp_path):
    """In a process of its own, because Jupyter reads its folders once."""
    (tmp_path / "labconfig").mkdir()
    settings = {"disabledExtensions": {"anywidget": True}}
    (tmp_path / "labconfig" / "page_config.json").write_text(json.dumps(settings))
    code = "from isomax_viz.cli import doctor; print(doctor._widgets())"
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert "the extension anywidget of JupyterLab is switched off" in done.stdout, done.stderr
    assert "jupyter labextension enable anywidget" in done.stdout


def test_a_folder_that_can_not_be_written_is_found_by_writing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    finding = doctor._folder("store", tmp_path / "file" / "runs", "fail", "Set ISOMAX_VIZ_STORE to another.")
    words = "can't be written: (Not a directory|The system cannot find the path)"
    assert finding.status == "fail" and re.search(words, finding.found)
    assert finding.remedy == "Set ISOMAX_VIZ_STORE to another."
    finding = doctor._folder("data", tmp_path / "file", "warn", "Set ISOMAX_VIZ_DATA.")
    assert finding.status == "warn"


def test_a_file_system_without_locks_is_found(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    finding = doctor._folder("store", tmp_path, "fail", "Set ISOMAX_VIZ_STORE.")
    assert finding.status == "fail" and "does not appear to support flock" in finding.found


@pytest.mark.parametrize(("free", "status"), [(80e9, "ok"), (2e9, "warn"), (0.1e9, "fail")])
def test_disk(free, status, look, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert look("disk").status == status and look("disk").found == f"{free / 1e9:.1f} GB free for the store"


def test_threads_that_wait_for_each_other(look, monkeypatch):
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(doctor, "available_cores", lambda: 4)
    assert look("threads").status == "warn" and "OMP_NUM_THREADS=4" in look("threads").remedy


def test_device(look, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert look("torch") == doctor.Finding("torch", "ok", f"{torch.__version__} on the CPU (no GPU here)")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert look("torch").status == "warn" and "sees no GPU, though" in look("torch").found
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (100e9, 140e9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    assert look("torch").found == f"{torch.__version__} on CUDA, H200, 100 of 140 GB free; 2 GPUs"

    def full():
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    assert look("torch").status == "fail" and "can't use the GPU: CUDA error: out of memory" in look("torch").found
    assert "nvidia-smi" in look("torch").remedy


def test_a_torch_that_can_not_be_imported(look, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert look("torch").status == "warn" and "can't be imported" in look("torch").found
    assert "Captures can be analysed, but nothing trained" in look("torch").remedy


def test_the_command_prints_remedies_and_fails_when_something_must_be_mended(capsys, monkeypatch, tmp_path):
    assert cli.main(["doctor", "--store", str(tmp_path)]) == 0
    capsys.readouterr()
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    assert cli.main(["doctor", "--store", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "fail  disk      0.0 GB free for the store\n                -> Remove results" in out
    assert f"ok    store     {tmp_path}\n" in out
    assert cli.main(["doctor", "--json", "--store", str(tmp_path)]) == 1
    assert {"check", "status", "found", "remedy"} == set(json.loads(capsys.readouterr().out)[0])

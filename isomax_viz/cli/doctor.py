"""Doctor: look whether everything that isomax_viz needs is there and fits together, and say what to do where not.

It runs without PyTorch, and says so.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

from isomax_viz._common.system import available_cores
from isomax_viz.datasets import fetch
from isomax_viz.store import table as store

__all__ = ["Finding", "examine"]

_GB = 1e9
_DISK_WARN_GB, _DISK_FAIL_GB = 5.0, 0.5
# What JupyterLab must load, so that controls and the explorer are drawn.
_EXTENSIONS = ("@jupyter-widgets/jupyterlab-manager", "anywidget")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    check : str
        What.
    status : {"ok", "warn", "fail"}
        "warn": something will not work or be slow; "fail": mend it first.
    found : str
        What was found.
    remedy : str
        What to do; empty if all is well.
    """

    check: str
    status: str
    found: str
    remedy: str = ""


def examine(folder: str | Path | None = None) -> list[Finding]:
    """Look at versions, device, widgets, folders, disk and threads; ``pandas.DataFrame(examine())`` is a table of it.

    Parameters
    ----------
    folder : str or Path, optional
        The store; by default :func:`isomax_viz.store.folder.default_folder`.

    Returns
    -------
    list of Finding

    Examples
    --------
    >>> examine()[0].check, examine()[0].status
    ('python', 'ok')
    """
    runs = store.default_folder() if folder is None else Path(folder).expanduser()
    remedy = "Set {} to a folder that you may write to."
    return [
        Finding("python", "ok", f"{platform.python_version()} at {sys.executable}"),
        *_packages(),
        *_device(),
        _widgets(),
        _folder("store", runs, "fail", remedy.format("ISOMAX_VIZ_STORE")),
        _folder("data", fetch.data_folder(), "warn", remedy.format("ISOMAX_VIZ_DATA")),
        _disk(runs),
    ]


def _packages() -> Iterator[Finding]:
    """Yield what is wrong with installed packages; what PyTorch lacks is said by the check of the device."""
    from packaging.requirements import Requirement

    problems = 0
    owners = [owner for owner in ("isomax_viz", "ipywidgets") if _version(owner) is not None]
    for wanted in (Requirement(text) for owner in owners for text in metadata.requires(owner) or []):
        if wanted.name == "torch" or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        version = _version(wanted.name)
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            problems += 1
            found = f"is {version}, but must be {wanted.specifier}" if version else "is not installed"
            yield Finding(wanted.name, "fail", found, f'Run: python -m pip install "{wanted.name}{wanted.specifier}"')
    if not problems:
        names = ("isomax_viz", "numpy", "pandas", "matplotlib", "ipywidgets")
        yield Finding("packages", "ok", ", ".join(f"{name} {_version(name)}" for name in names))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        found = "is not installed" if _version("torch") is None else f"can't be imported: {error}"
        remedy = 'Captures can be analysed, but nothing trained. Run: python -m pip install "isomax_viz[train]"'
        yield Finding("torch", "warn", found, remedy)
        return
    status, found, remedy = _torch(torch)
    yield Finding("torch", status, f"{torch.__version__} {found}", remedy)
    threads, cores = torch.get_num_threads(), available_cores()
    remedy = f"They will wait for each other. Set OMP_NUM_THREADS={cores}." if threads > cores else ""
    yield Finding("threads", "warn" if remedy else "ok", f"{threads} of PyTorch on {cores} processors", remedy)


def _torch(torch: ModuleType) -> tuple[str, str, str]:
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        try:
            free, total = (value / _GB for value in torch.cuda.mem_get_info())
        except RuntimeError as error:  # a GPU that is full, or lent to one process only
            remedy = "See with nvidia-smi who uses it, and wait; or compute elsewhere: device='cpu'."
            return "fail", f"can't use the GPU: {error}", remedy
        several = f"; {count} GPUs" if count > 1 else ""
        return "ok", f"on CUDA, {torch.cuda.get_device_name()}, {free:.0f} of {total:.0f} GB free{several}", ""
    if torch.backends.mps.is_available():
        return "ok", "on Apple's GPU", ""
    if shutil.which("nvidia-smi"):
        remedy = "Install the build of PyTorch that fits your driver: see https://pytorch.org/get-started/locally"
        return "warn", "sees no GPU, though this machine has a driver", remedy
    return "ok", "on the CPU (no GPU here)", ""


def _widgets() -> Finding:
    """Look whether JupyterLab finds the extensions and they are switched on; it may live in another environment."""
    try:
        from jupyter_core.paths import jupyter_path
        from jupyterlab_server.config import get_page_config
    except ImportError:
        remedy = "Where JupyterLab is installed run: python -m pip install ipywidgets anywidget; then start it again."
        return Finding("widgets", "warn", "JupyterLab is not in this environment", remedy)
    page = get_page_config(jupyter_path("labextensions"))
    found = [extension["name"] for extension in page["federated_extensions"]]
    for name in _EXTENSIONS:
        if name not in found:
            remedy = "Run: python -m pip install --force-reinstall jupyterlab_widgets anywidget; then start it again."
            return Finding("widgets", "fail", f"JupyterLab has no extension {name}", remedy)
        if name in page["disabledExtensions"]:
            remedy = f"Run: jupyter labextension enable {name}"
            return Finding("widgets", "fail", f"the extension {name} of JupyterLab is switched off", remedy)
    return Finding("widgets", "ok", f"JupyterLab {_version('jupyterlab')} with {' and '.join(_EXTENSIONS)}")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _folder(check: str, folder: Path, status: str, remedy: str) -> Finding:
    """Write a file and lock it, as a training does: permissions alone do not tell (read-only disks, no locks)."""
    from filelock import FileLock

    try:
        with tempfile.TemporaryDirectory(dir=_existing(folder), prefix=".doctor-") as trial:
            with FileLock(Path(trial) / "lock", timeout=5):
                (Path(trial) / "file").write_bytes(b"x" * 4096)
    except (OSError, NotImplementedError) as error:
        found = f"{folder} can't be written: {getattr(error, 'strerror', None) or error}"
        return Finding(check, status, found, remedy)
    return Finding(check, "ok", str(folder) if folder.exists() else f"{folder} (made when needed)")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free / _GB
    status = "ok" if free >= _DISK_WARN_GB else "warn" if free >= _DISK_FAIL_GB else "fail"
    remedy = "Remove results (python -m isomax_viz store list), or set ISOMAX_VIZ_STORE to a larger disk."
    return Finding("disk", status, f"{free:.1f} GB free for the store", "" if status == "ok" else remedy)

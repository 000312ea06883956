"""Doctor: look whether everything that isomax_viz needs is there and fits together, and say what to do where not.

It runs without PyTorch, and says so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import pandas as pd

from isomax_viz._common.system import available_cores
from isomax_viz.datasets import fetch
from isomax_viz.store import table as store

__all__ = ["Finding", "examine", "report"]

_GB = 1e9
_DISK_WARN_GB, _DISK_FAIL_GB = 5.0, 0.5
# Which front end (jupyterlab_widgets) belongs to which ipywidgets, by major version.
_FRONT_ENDS = {"8": "3", "7": "1"}
_MANAGER = "@jupyter-widgets/jupyterlab-manager"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


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
    """Look at versions, device, widgets, folders, disk, browser and threads.

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
    return [
        _python(),
        *_packages(),
        *_device(),
        *_widgets(),
        _folder("store", runs, "set ISOMAX_VIZ_STORE to a folder that you may write to", needed=True),
        _folder("data", fetch.data_folder(), "set ISOMAX_VIZ_DATA to a folder that you may write to", needed=False),
        _disk(runs),
        _browser(),
    ]


def report(folder: str | Path | None = None) -> pd.DataFrame:
    """Return what :func:`examine` finds as a table, for notebooks.

    Examples
    --------
    >>> list(report().columns)
    ['check', 'status', 'found', 'remedy']
    """
    return pd.DataFrame([asdict(finding) for finding in examine(folder)])


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in metadata.requires("isomax_viz") or ()]
    except metadata.PackageNotFoundError:
        yield Finding("packages", "warn", "isomax_viz is not installed", "Run: python -m pip install --editable .")
        return
    wanted = [item for item in wanted if item.marker is None or item.marker.evaluate({"extra": ""})]
    problems = [problem for problem in map(_problem, wanted) if problem]
    if not problems:
        names = ("isomax_viz", "numpy", "pandas", "matplotlib")
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
        yield Finding("packages", "ok", f"all {len(wanted)} as required; {versions}")
    yield from problems


def _problem(requirement: object) -> Finding | None:
    """Return what is wrong with an installed package; what PyTorch lacks is said by the check of the device."""
    name = requirement.name
    remedy = f"Run: python -m pip install '{name}{requirement.specifier}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return None if name == "torch" else Finding(name, "fail", "is not installed", remedy)
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return Finding(name, "fail", f"is {version}, but must be {requirement.specifier}", remedy)


def _device() -> Iterator[Finding]:
    cores = available_cores()
    try:
        import torch
    except (ImportError, OSError) as error:
        found = "is not installed" if _version("torch") is None else f"can't be imported: {error}"
        remedy = "Captures can be analysed, but nothing trained. Run: python -m pip install torch torchvision"
        yield Finding("torch", "warn", found, remedy)
        yield Finding("threads", "ok", f"{cores} processors")
        return
    yield _torch(torch)
    threads, asked = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    found = f"{threads} of PyTorch on {cores} processors" + (f" (OMP_NUM_THREADS={asked})" if asked else "")
    if threads > cores:
        yield Finding("threads", "warn", found, f"They will wait for each other. Set OMP_NUM_THREADS={cores}.")
    else:
        yield Finding("threads", "ok", found)


def _torch(torch: object) -> Finding:
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        try:
            free, total = (value / _GB for value in torch.cuda.mem_get_info())
        except RuntimeError as error:  # a GPU that is full, or lent to one process only
            remedy = "See with nvidia-smi who uses it, and wait; or compute elsewhere: device='cpu'."
            return Finding("torch", "fail", f"{torch.__version__} can't use the GPU: {error}", remedy)
        found = f"CUDA, {torch.cuda.get_device_name()}, {free:.0f} of {total:.0f} GB free"
        return Finding("torch", "ok", f"{torch.__version__} on {found}" + (f"; {count} GPUs" if count > 1 else ""))
    if torch.backends.mps.is_available():
        return Finding("torch", "ok", f"{torch.__version__} on Apple's GPU")
    if shutil.which("nvidia-smi"):
        remedy = "Install the build of PyTorch that fits your driver: see https://pytorch.org/get-started/locally"
        return Finding("torch", "warn", f"{torch.__version__} sees no GPU, though this machine has a driver", remedy)
    return Finding("torch", "ok", f"{torch.__version__} on the CPU (no GPU here)")


def _widgets() -> Iterator[Finding]:
    together = "python -m pip install --upgrade ipywidgets jupyterlab_widgets"
    kernel, front = _version("ipywidgets"), _version("jupyterlab_widgets")
    if kernel is None:
        yield Finding("widgets", "fail", "ipywidgets is not installed", f"Run: {together}")
        return
    found = f"ipywidgets {kernel} with jupyterlab_widgets {front or '(none)'}"
    where = _extension(_MANAGER)
    if front is None and _version("jupyterlab") is None:
        remedy = f"Where JupyterLab is installed run: {together}; then start it again."
        yield Finding("widgets", "warn", f"ipywidgets {kernel}; JupyterLab is not in this environment", remedy)
    elif front is None or _FRONT_ENDS.get(kernel.partition(".")[0]) != front.partition(".")[0]:
        remedy = f"Controls will not be drawn. Where JupyterLab is installed run: {together}; then reload the page."
        yield Finding("widgets", "fail", f"{found}: they do not belong together", remedy)
    elif where is None:
        remedy = f"Run: {together} --force-reinstall; then start JupyterLab again."
        yield Finding("widgets", "fail", f"{found}, but the extension of JupyterLab is not installed", remedy)
    elif _is_disabled(_MANAGER):
        remedy = f"Run: jupyter labextension enable {_MANAGER}"
        yield Finding("widgets", "fail", f"{found}, but the extension is switched off", remedy)
    else:
        yield Finding("widgets", "ok", f"{found}, JupyterLab {_version('jupyterlab') or '(elsewhere)'}")
    if any_version := _version("anywidget"):
        yield _anywidget(any_version)


def _anywidget(kernel: str) -> Finding:
    where = _extension("anywidget")
    front = None if where is None else json.loads((where / "package.json").read_text(encoding="utf-8"))["version"]
    found = f"anywidget {kernel} with the extension {front or '(none)'}"
    if front is None or front.split(".")[:2] != kernel.split(".")[:2]:
        return Finding("anywidget", "warn", found, "Run: python -m pip install --upgrade --force-reinstall anywidget")
    return Finding("anywidget", "ok", found)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extension(name: str) -> Path | None:
    """Return the folder of an extension as JupyterLab finds it."""
    from jupyter_core.paths import jupyter_path

    folders = [Path(folder) / name for folder in jupyter_path("labextensions")]
    return next((folder for folder in folders if (folder / "package.json").is_file()), None)


def _is_disabled(name: str) -> bool:
    """Return what the first of JupyterLab's settings says that mentions an extension; the user's come first."""
    from jupyter_core.paths import jupyter_config_path, jupyter_path

    files = [Path(folder) / "labconfig" / "page_config.json" for folder in jupyter_config_path()]
    files += [Path(folder) / "settings" / "page_config.json" for folder in jupyter_path("lab")]
    for file in files:
        try:
            disabled = json.loads(file.read_text(encoding="utf-8")).get("disabledExtensions", {})
        except (OSError, ValueError, AttributeError):  # absent or unreadable: JupyterLab passes over it, too
            continue
        if name in disabled:
            return disabled[name] if isinstance(disabled, dict) else True
    return False


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _folder(check: str, folder: Path, remedy: str, *, needed: bool) -> Finding:
    """Write a file and lock it, as a training does: permissions alone do not tell (read-only disks, no locks)."""
    from filelock import FileLock

    there = _existing(folder)
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=".doctor-") as trial:
            with FileLock(Path(trial) / "lock", timeout=5):
                (Path(trial) / "file").write_bytes(b"x" * 4096)
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        remedy = f"{remedy[0].upper()}{remedy[1:]}."
        return Finding(check, "fail" if needed else "warn", f"{folder} can't be written: {reason}", remedy)
    return Finding(check, "ok", str(folder) if folder.exists() else f"{folder} (made when needed)")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free / _GB
    found = f"{free:.1f} GB free for the store"
    if free >= _DISK_WARN_GB:
        return Finding("disk", "ok", found)
    remedy = "Remove results (python -m isomax_viz store list), or set ISOMAX_VIZ_STORE to a larger disk."
    return Finding("disk", "warn" if free >= _DISK_FAIL_GB else "fail", found, remedy)


def _browser() -> Finding:
    path = next((path for path in map(shutil.which, _BROWSERS) if path), None)
    if path and importlib.util.find_spec("playwright"):
        return Finding("browser", "ok", path)
    found = f"{path}, but playwright is not installed" if path else "no Chromium on the PATH"
    remedy = "Only the browser tests need it; they are skipped. Install Chromium and: python -m pip install playwright"
    return Finding("browser", "warn", found, remedy)

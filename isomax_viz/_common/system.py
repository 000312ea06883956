"""What this machine has: memory, processors, processes, and the files that travel with the package."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["available_cores", "available_memory", "cpu_features", "data_folder", "live_as_long_as", "processor"]

_package = Path(__file__).parents[1]
# By version of Linux' control groups: where they lie, and their limit, use, and what of that would be given back.
_GROUPS = {
    1: ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: (".", "memory.max", "memory.current", "inactive_file"),
}


def data_folder() -> Path:
    """Return the folder that holds ``published`` (the papers' tables), ``captures`` and ``networks``.

    Returns
    -------
    pathlib.Path
        ``_data`` inside the package if it was built into a wheel, else ``data`` of the checkout.

    Examples
    --------
    >>> (data_folder() / "published" / "tables.csv").is_file()
    True
    """
    packaged = _package / "_data"
    return packaged if packaged.exists() else _package.parent / "data"


def available_cores() -> int:
    """Return how many processors this process may use: fewer than there are where affinity or a container says so.

    Examples
    --------
    >>> 1 <= available_cores() <= os.cpu_count()
    True
    """
    from loky import cpu_count

    return cpu_count()


def available_memory() -> int:
    """Return how many bytes of memory are free, for this machine and its container.

    Examples
    --------
    >>> available_memory() > 2**20
    True
    """
    return max(0, min([psutil.virtual_memory().available, *_free_in_groups(Path("/"))]))


def _free_in_groups(root: Path) -> Iterator[int]:
    """Yield what the limit of each control group that this process is in leaves (a container, a batch system's job)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for number, kinds, name in (line.split(":", 2) for line in lines):
        if number != "0" and "memory" not in kinds.split(","):
            continue
        place, limit, used, idle = _GROUPS[2 if number == "0" else 1]
        top = root / "sys/fs/cgroup" / place
        group = top / name.lstrip("/")
        for folder in (group, *group.parents):
            try:
                statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield int((folder / limit).read_text()) - int((folder / used).read_text()) + int(statistics[idle])
            except (OSError, ValueError, KeyError):  # no limit ("max"), or seen from inside, where the path is another
                pass
            if folder == top:
                break


def cpu_features() -> frozenset[str]:
    """Return the names of the processor's instruction sets, as Linux gives them; elsewhere an empty set.

    Examples
    --------
    >>> isinstance(cpu_features(), frozenset)
    True
    """
    # Not torch's private functions; on Windows and macOS, where nothing is told, float32 is safe.
    return frozenset(_cpuinfo("flags").split())


def processor() -> str:
    """Return the processor's name, as far as the system tells it.

    Examples
    --------
    >>> bool(processor())
    True
    """
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def live_as_long_as(parent: int) -> None:
    """Make a worker leave Ctrl-C to its parent process, and end with it where that is killed and can't say so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent and psutil.pid_exists(parent):  # Windows goes on to tell the number of who is gone
        time.sleep(1.0)
    os._exit(1)

"""What the machine and its container leave."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from isomax_viz._common import system
from isomax_viz._common.system import available_memory

GB = 2**30


def group(place: str, limit: object, used: int, idle: int, *, version: int) -> dict[str, str]:
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")}
    limits, uses, idles = names.get(version, ("memory.max", "memory.current", "inactive_file"))
    at = f"sys/fs/cgroup/{place}"
    return {f"{at}{limits}": f"{limit}\n", f"{at}{uses}": f"{used}\n", f"{at}memory.stat": f"anon 5\n{idles} {idle}\n"}


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        (None, {}, 16 * GB),  # no Linux
        ("0::/\n", {}, 16 * GB),
        ("0::/\n", group("", "max", 3 * GB, 0, version=2), 16 * GB),
        # what is only kept for a next reading does not count as used
        ("0::/\n", group("", 4 * GB, 3 * GB, GB, version=2), 2 * GB),
        # a job inside a slice: the tighter limit counts, whichever of the two has it
        (
            "0::/slurm/job_1\n",
            group("slurm/", 8 * GB, 7 * GB, 0, version=2) | group("slurm/job_1/", "max", 7 * GB, 0, version=2),
            GB,
        ),
        ("4:cpu,memory:/docker/12\n0::/\n", group("memory/docker/12/", 4 * GB, GB, 0, version=1), 3 * GB),
        # seen from inside a container, where its group is the top
        ("4:memory:/docker/12\n", group("memory/", 4 * GB, GB, 0, version=1), 3 * GB),
        ("4:memory:/\n", group("memory/", 2**63 - 4096, GB, 0, version=1), 16 * GB),
        ("0::/\n", group("", GB, 2 * GB, 0, version=2), 0),
    ],
)
def test_memory_is_what_the_machine_and_its_groups_leave(groups, files, free, tmp_path, monkeypatch):
    for name, content in (files | ({} if groups is None else {"proc/self/cgroup": groups})).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(system, "Path", lambda _: tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16 * GB))
    assert available_memory() == free

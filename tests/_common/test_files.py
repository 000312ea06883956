"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import signal
import stat
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isomax_viz._common import files
from isomax_viz._common.files import csv_text, locked, make_folder, new_entry, short_name, sweep, write_text

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, links and folders that can be flushed")


def test_a_failed_block_leaves_the_former_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("former")
    with pytest.raises(ZeroDivisionError), new_entry(path) as file:
        file.write_text("new")
        file.with_name("beside").write_text("a library's own")
        raise ZeroDivisionError
    assert path.read_text() == "former" and list(tmp_path.iterdir()) == [path]


@posix
def test_content_and_both_folders_are_flushed_before_and_after_the_rename(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, Path.replace

    def flush(number):
        calls.append(os.readlink(f"/proc/self/fd/{number}") if sys.platform == "linux" else "")
        fsync(number)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", lambda self, new: (calls.append("rename"), replace(self, new))[1])
    with new_entry(tmp_path / "made" / "folder") as folder:
        folder.mkdir()
        (folder / "file").write_text("x")
    if sys.platform == "linux":
        names = [Path(call).name for call in calls]
        assert names == [tmp_path.name, "file", "folder", "rename", "made"]


@posix
def test_what_the_disk_could_not_take_is_no_success(tmp_path, monkeypatch):
    """A system that fails to flush has lost data; one that has no way to flush folders has not."""
    fsync = os.fsync

    def failing(code):
        def call(number):
            if stat.S_ISDIR(os.fstat(number).st_mode):
                raise OSError(code, os.strerror(code))
            fsync(number)

        return call

    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=r"a.txt could not be written: Input/output error. Try again."):
        write_text(tmp_path / "a.txt", "a", remedy="Try again.")
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    write_text(tmp_path / "b.txt", "b", remedy="Try again.")
    assert (tmp_path / "b.txt").read_text() == "b"


@posix
def test_a_link_that_leads_nowhere_is_called_that(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "unplugged")
    for place in (tmp_path / "link", tmp_path / "link" / "deeper"):
        with pytest.raises(FileNotFoundError, match="it is a link to .*unplugged, which is not there"):
            make_folder(place)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is a file, not a folder"):
        make_folder(tmp_path / "file" / "deeper")


def _die_while_writing(path: Path) -> None:
    with new_entry(path) as file:
        file.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


@posix
@pytest.mark.parametrize("name", ["capture.safetensors", "n" * 250])
def test_what_a_killed_process_left_is_swept_by_the_next_one_without_a_lock(name, tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_die_while_writing, args=(tmp_path / name,))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 1
    others = [files._hidden(tmp_path / name), files._hidden(tmp_path / "other")]  # this process is alive
    others.append(tmp_path / f".{files.short_name(name)}.0a1b2c3d.{process.pid}.0123abcd.tmp")  # of another machine
    for other in others:
        other.mkdir()
    with new_entry(tmp_path / name) as file:
        file.write_text("whole")
    assert set(tmp_path.iterdir()) == {tmp_path / name, *others}
    sweep(tmp_path / name)  # as the holder of a lock
    assert set(tmp_path.iterdir()) == {tmp_path / name, others[1]}


def test_a_lock_that_is_held_is_waited_for_and_said(tmp_path, caplog):
    import threading

    entered = threading.Event()

    def wait():
        with locked(tmp_path / "locks" / "a", waiting="waiting for a"):
            entered.set()

    with locked(tmp_path / "locks" / "a"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(timeout=0.3)
    thread.join(timeout=30)
    assert entered.is_set() and "waiting for a" in caplog.text


def test_a_name_in_a_csv_is_never_a_formula_and_numbers_stay_as_they_are():
    names = ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1", "isomax+", None]
    table = pd.DataFrame({"=ood": names, "AUROC": np.linspace(-1, 1, 7), "n": range(7), "known": [True] * 7})
    assert csv_text(table).startswith("'=ood,AUROC,n,known\n")
    again = pd.read_csv(io.StringIO(csv_text(table)))
    assert again["'=ood"].tolist()[:6] == ["'=1+1", "'+1", "'-x", "'@SUM(A1)", "'\t=1", "isomax+"]
    pd.testing.assert_frame_equal(again[["AUROC", "n", "known"]], table[["AUROC", "n", "known"]])


def test_long_names_are_names_of_files_and_differ_where_they_do():
    long = ["a" * 400, "a" * 399 + "b", "é" * 400, "short"]
    shorter = [short_name(name) for name in long]
    assert len(set(shorter)) == 4 and max(len(os.fsencode(name)) for name in shorter) <= 200 and shorter[3] == "short"

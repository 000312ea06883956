"""Every system call of a write fails once: what was there before is whole, or what is new; and the next try works."""

from __future__ import annotations

import errno
import io
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save

from isomax_viz import Capture, store
from isomax_viz._common.files import write_text
from isomax_viz.learning.training.checkpoint import Checkpoint
from isomax_viz.store.folder import Store, StoreError

fcntl = pytest.importorskip("fcntl", reason="locks of Linux and macOS")

CALLS = [(os, name) for name in "open mkdir replace rename unlink rmdir fsync chmod stat lstat scandir listdir".split()]
CALLS += [(io, "open"), (fcntl, "flock")]
TO_LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB  # what fails to unlock is held until the process ends
MANIFEST = {
    "experiment": {"data": "digits", "backbone": "small_cnn", "loss": "isomax", "seed": 0, "preset": "smoke"},
    "protocol": {"epochs": 2},
    "duration_s": 1.0,
    "device": "cpu",
    "history": {"epoch": [1]},
}


@contextmanager
def failing(number: int, folder: Path) -> Iterator[list[str]]:
    """Let the call of that number, among those that concern the folder, fail; yield the list of calls so far."""
    made: list[str] = []

    def wrapped(name: str, real: Callable) -> Callable:
        def call(*arguments, **options):
            inside = options.get("dir_fd") is not None or name == "fsync" or arguments[1:] == (TO_LOCK,)
            if inside or str(folder) in str(arguments[0]):
                made.append(name)
                if len(made) - 1 == number:
                    raise OSError(errno.EIO, "Input/output error")
            return real(*arguments, **options)

        return call

    with ExitStack() as stack:
        for module, name in CALLS:
            stack.enter_context(mock.patch.object(module, name, wrapped(name, getattr(module, name))))
        yield made


def capture_of(shift: float) -> Capture:
    logits = np.random.default_rng(0).normal(size=(6, 3)) + shift
    return Capture.from_arrays(logits, [0, 1, 2] * 2, loss="isomax", meta={"id": "a"})


def shifted(folder: Path) -> float:
    return float(Store(folder).capture("a").test.logits[0, 0] - capture_of(0.0).test.logits[0, 0])


def write(folder: Path, shift: float = 0.0) -> None:
    place = Store(folder)
    weights = save({"w": np.zeros(2, np.float32)})
    with place.lock("a"):
        place.write("a", manifest=MANIFEST, weights=weights, capture=capture_of(shift).replace(history=pd.DataFrame()))


def replace(folder: Path) -> None:
    place = Store(folder)
    with place.lock("a"):
        place.replace_capture("a", capture_of(1.0))


def nothing_is_hidden(folder: Path) -> bool:
    return not [path for path in folder.rglob("*.tmp*") if ".locks" not in path.parts]


def in_turn(tmp_path: Path, prepare: Callable, operation: Callable, check: Callable, *, has_lock: bool = True) -> None:
    """Run the operation in a fresh folder with its first call failing, its second, and so on until none is left.

    What the cleaning up itself could not delete is deleted by whoever has the lock next; without one, not while this
    process lives.
    """
    for number in itertools.count():
        folder = tmp_path / str(number) / "store"
        folder.mkdir(parents=True)
        prepare(folder)
        with failing(number, folder) as made:
            try:
                operation(folder)
                done = True
            except (StoreError, OSError) as error:
                assert "Input/output error" in str(error), (number, made)
                done = False
        check(folder, done)
        if len(made) <= number:
            assert done and number > 5
            return
        operation(folder)  # the disk works again
        check(folder, True)
        assert nothing_is_hidden(folder) or not has_lock, (number, made)


def test_while_an_experiment_is_written(tmp_path):
    def check(folder: Path, done: bool) -> None:
        listed = list(store.list(folder)["id"])
        assert listed in ([], ["a"]) and (listed == ["a"] or not done)
        assert store.verify(folder=folder).empty

    in_turn(tmp_path, lambda folder: None, write, check)


def test_while_a_capture_is_replaced(tmp_path):
    def check(folder: Path, done: bool) -> None:
        assert store.verify(folder=folder).empty and round(shifted(folder), 3) in ((1.0,) if done else (0.0, 1.0))

    in_turn(tmp_path, write, replace, check)


def test_while_an_experiment_is_removed(tmp_path):
    def remove(folder: Path) -> None:
        if list(store.list(folder)["id"]):
            store.remove("a", folder=folder)
        else:  # it was gone before the call that failed
            with Store(folder).lock("a"):
                pass

    def check(folder: Path, done: bool) -> None:
        assert store.verify(folder=folder).empty and (not done or store.list(folder).empty)

    in_turn(tmp_path, write, remove, check)


def test_while_a_page_is_written_over(tmp_path):
    def check(folder: Path, done: bool) -> None:
        assert (folder / "page.html").read_text() in (("new",) if done else ("former", "new"))

    in_turn(
        tmp_path,
        lambda folder: (folder / "page.html").write_text("former"),
        lambda folder: write_text(folder / "page.html", "new", remedy="Try again."),
        check,
        has_lock=False,
    )


def test_while_a_checkpoint_is_written_over(tmp_path, caplog):
    """A training goes on without; what it has is the former state, or the new one."""
    caplog.set_level(logging.ERROR)

    def keep(folder: Path, value: float) -> None:
        Checkpoint(folder / "c.safetensors", every_s=0).save({"w": torch.full((2,), value)}, {"epoch": value})

    def check(folder: Path, done: bool) -> None:
        tensors, state = Checkpoint(folder / "c.safetensors").load()
        assert tensors["w"].tolist() == [state["epoch"]] * 2 and state["epoch"] in (1.0, 2.0)

    in_turn(tmp_path, lambda folder: keep(folder, 1.0), lambda folder: keep(folder, 2.0), check, has_lock=False)

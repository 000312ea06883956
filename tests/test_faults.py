"""What goes wrong around a store: killed processes, a full disk, damaged files, two at once. Each is really done."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from isomax_viz import Capture, CaptureError, Experiment, add_scores, datasets, store, sweep
from isomax_viz.store.folder import Store, StoreError

resource = pytest.importorskip("resource", reason="signals and limits of Linux and macOS")

SMALL = {"preset": "smoke", "examples_per_class": 10}
EXPERIMENT = Experiment(loss="isomax", **SMALL)
MINE = datasets.from_arrays(np.arange(30 * 64, dtype=np.uint8).reshape(30, 8, 8, 1), name="mine")  # joins on demand
# On Linux PyTorch is imported once, in a process that computes nothing itself; macOS's libraries do not survive a fork.
CHILDREN = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
# What is imported late, by the first optimiser and the first digits, is there too.
CHILDREN.set_forkserver_preload(
    [
        "isomax_viz.experiments.run",
        "torch._dynamo",
        "sklearn.datasets",
        "isomax_viz.analysis.scores",
        "tests.test_faults",
    ]
)


def run(folder, ood="uniform", **options) -> Capture:
    return EXPERIMENT.run(ood=ood, store=folder, progress=False, **options)


def in_a_process_of_its_own(function, *arguments) -> int:
    process = CHILDREN.Process(target=function, args=arguments)
    process.start()
    process.join(timeout=180)
    return process.exitcode


def said(function, *arguments, folder: Path) -> str:
    """Return what a function raises as StoreError, or returns, in a process of its own."""
    assert in_a_process_of_its_own(_write_down, folder / "said.txt", function, *arguments) == 0
    return (folder / "said.txt").read_text()


def _write_down(path, function, *arguments) -> None:
    with path.open("w") as file:  # opened before the limits that the function sets
        try:
            file.write(str(function(*arguments)))
        except StoreError as error:
            file.write(f"StoreError: {error}")


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.tmp*")]


@pytest.fixture(scope="module")
def trained(session_store) -> dict[str, Capture]:
    """What the experiment gives undisturbed, and another loss."""
    losses = ("isomax", "isomax2")
    return {loss: Experiment(loss=loss, **SMALL).run(store=session_store, progress=False) for loss in losses}


@pytest.fixture
def stored(trained, session_store, tmp_path) -> Path:
    """A store of its own with the session's experiment in it."""
    folder = tmp_path / "store"
    shutil.copytree(session_store / EXPERIMENT.id, folder / EXPERIMENT.id)
    return folder


def same(capture: Capture, other: Capture) -> bool:
    names = ("logits", "labels", "features", "distances", "predictions")
    pairs = [(capture.samples[key], other.samples[key]) for key in ("train", "test")]
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for a, b in pairs for name in names)


# ---------------------------------------------------------------------------------------------------- kill -9


def die_at(place: str, folder: Path, ood: str) -> None:
    mock.patch(place, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)).start()
    run(folder, ood, checkpoint_every_s=0.0)


BEFORE_THE_RENAME = "isomax_viz.store.folder.discard"


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A function that gives a store as a process leaves it that trained both epochs and was killed at some place."""
    left = {}

    def killed_at(place: str, folder: Path) -> Path:
        if place not in left:
            left[place] = tmp_path_factory.mktemp("killed") / "store"
            assert in_a_process_of_its_own(die_at, place, left[place], "uniform") == -signal.SIGKILL
        return shutil.copytree(left[place], folder / "store")

    return killed_at


@pytest.mark.parametrize(
    ("place", "is_stored"),
    [
        ("isomax_viz.captures.files.write_capture", False),  # nothing is written yet
        ("safetensors.numpy.save_file", False),  # the first file has another name still
        (BEFORE_THE_RENAME, False),  # all files are written, the folder has another name still
        ("isomax_viz.learning.training.checkpoint.Checkpoint.remove", True),  # all is done, but for cleaning up
    ],
)
def test_kill_9_while_saving_costs_no_epoch_and_leaves_nothing(place, is_stored, trained, killed, tmp_path, caplog):
    folder = killed(place, tmp_path)
    assert (EXPERIMENT.id in Store(folder)) == is_stored
    assert len(store.list(folder)) == is_stored and len(store.verify(folder=folder)) == 0
    with caplog.at_level(logging.INFO), mock.patch("isomax_viz.learning.training.loop.EpochRecord.add") as learned:
        again = run(folder, ood=("uniform", "letters"))
    assert not learned.called  # both epochs come from the checkpoint, or all from the store
    assert ("Going on after epoch 2" in caplog.text) != is_stored
    assert same(again, trained["isomax"]) and again.history.equals(trained["isomax"].history)
    assert hidden(folder) == []


def test_kill_9_while_a_set_joins_leaves_the_stored_capture_as_it_was(stored):
    before = (stored / EXPERIMENT.id / "capture.safetensors").read_bytes()
    place = "isomax_viz._common.files._flush"
    assert in_a_process_of_its_own(die_at, place, stored, MINE) == -signal.SIGKILL
    assert hidden(stored) and (stored / EXPERIMENT.id / "capture.safetensors").read_bytes() == before
    assert "mine" in run(stored, MINE).ood
    assert hidden(stored) == [] and len(store.verify(folder=stored)) == 0


def die_half_written(folder: Path) -> None:
    def write_half(arrays, file, metadata=None):
        Path(file).with_name(".tmpAb1Cd2").write_bytes(b"half")  # where the library writes before it renames
        os.kill(os.getpid(), signal.SIGKILL)

    mock.patch("safetensors.numpy.save_file", write_half).start()
    run(folder, MINE)


def test_kill_9_in_the_middle_of_a_file_leaves_nothing(stored):
    assert in_a_process_of_its_own(die_half_written, stored) == -signal.SIGKILL
    assert [path.name for path in hidden(stored) if path.is_file()] == [".tmpAb1Cd2"]
    assert "mine" in run(stored, MINE).ood
    assert hidden(stored) == [] and len(store.verify(folder=stored)) == 0


KILLS = int(os.environ.get("ISOMAX_VIZ_KILLS", "3"))
TINY = [Experiment(loss="isomax", seed=seed, **SMALL) for seed in range(2)]


def sweep_all(folder: Path) -> None:
    sweep(TINY, ood="uniform", store=folder, progress=False)


def score_and_save(folder: Path) -> None:
    capture = TINY[0].run("uniform", store=folder, progress=False)
    add_scores(capture, ["knn", "odin"], store=folder).save(folder / "scored.safetensors")


@pytest.mark.parametrize("function", [sweep_all, score_and_save])
def test_kill_9_at_any_moment_costs_nothing_that_was_finished(function, tmp_path):
    """Killed again and again at random, it gives what it gives undisturbed."""
    expected = [experiment.run("uniform", store=tmp_path / "calm", progress=False) for experiment in TINY]
    folder, rng = tmp_path / "store", np.random.default_rng(0)
    for _ in range(KILLS):
        process = CHILDREN.Process(target=function, args=(folder,))
        process.start()
        process.join(timeout=rng.uniform(0.05, 3.0))
        process.kill()
        process.join()
        assert store.verify(folder=folder).empty
    function(folder)
    for experiment, capture in zip(TINY, expected, strict=True):
        assert same(experiment.run("uniform", store=folder, progress=False), capture)
        with Store(folder).lock(experiment.id):  # sweeps what was left behind after all was done
            pass
    assert hidden(folder) == [] and store.verify(folder=folder).empty
    if function is score_and_save:
        scored, calm = Capture.load(folder / "scored.safetensors"), add_scores(expected[0], "knn", store=folder)
        assert np.array_equal(scored.test.extra_scores["knn"], calm.test.extra_scores["knn"])


# ---------------------------------------------------------------------------------------------------- a full disk


def with_files_limited_to(size: int, folder: Path, ood: str) -> Capture:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return run(folder, ood)


def test_a_full_disk_says_so_and_the_training_is_not_lost(trained, killed, tmp_path, caplog):
    folder = killed(BEFORE_THE_RENAME, tmp_path)  # has the state after the last epoch
    words = said(with_files_limited_to, 100_000, folder, "uniform", folder=tmp_path)
    assert words.startswith(f"StoreError: The store {folder} can't be written: File too large. Choose a folder")
    assert words.count("Choose a folder") == 1 and "set ISOMAX_VIZ_STORE" in words
    assert EXPERIMENT.id not in Store(folder) and hidden(tmp_path) == []
    with caplog.at_level(logging.INFO):
        assert same(run(folder), trained["isomax"])
    assert "Going on after epoch 2" in caplog.text


def test_a_disk_that_is_full_when_a_set_joins_leaves_the_stored_capture_as_it_was(stored, tmp_path):
    path = stored / EXPERIMENT.id / "capture.safetensors"
    before = path.read_bytes()
    words = said(with_files_limited_to, 100_000, stored, MINE, folder=tmp_path)
    assert "can't be written: File too large" in words
    assert path.read_bytes() == before and hidden(stored) == []


# ---------------------------------------------------------------------------------------------------- a read-only store


def without_the_rights_of_root(function, *arguments):
    """Root may write where nobody may; without its capabilities it is a user like any other."""
    if os.getuid() == 0:
        assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
    return function(*arguments)


def look_at(folder: Path) -> str:
    return (
        f"{len(store.list(folder))} {len(store.verify(folder=folder))} {len(store.frame(folder=folder, scores='es'))}"
    )


def take_away(folder: Path) -> None:
    store.remove(EXPERIMENT.id, folder=folder)


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_read_only_store_is_read_and_says_that_it_can_not_be_changed(stored, tmp_path):
    folders = [stored, stored / EXPERIMENT.id]
    for folder in folders:
        folder.chmod(0o555)
    try:
        calls = ((look_at, stored), (run, stored, "letters"), (take_away, stored), (run, stored, MINE))
        words = [said(without_the_rights_of_root, *call, folder=tmp_path) for call in calls]
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert words[0] == f"1 0 {len(datasets.default_ood('digits'))}"
    assert words[1].startswith("Capture(IsoMax") and "letters" in words[1]
    for sentence in words[2:]:
        assert sentence.startswith(
            f"StoreError: The store {stored} can't be written: Permission denied. Choose a folder"
        )


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_what_belongs_to_another_user_is_one_row(stored, tmp_path):
    shutil.copytree(stored / EXPERIMENT.id, stored / "other")
    (stored / "other").chmod(0o000)
    try:
        assert said(without_the_rights_of_root, look_at, stored, folder=tmp_path) == "2 2 4"
        (stored / "other").chmod(0o755)
        stored.chmod(0o000)
        words = said(without_the_rights_of_root, look_at, stored, folder=tmp_path)
        assert words.startswith(f"StoreError: The store {stored} can't be read: Permission denied. Ask its owner")
        words = said(without_the_rights_of_root, run, stored, folder=tmp_path)
        assert "can't be read: Permission denied" in words
    finally:
        stored.chmod(0o755)
        (stored / "other").chmod(0o755)


# ---------------------------------------------------------------------------------------------------- two processes


def train_while_another_waits(folder: Path) -> None:
    from isomax_viz.experiments import run as running

    real = running.train

    def slow(*arguments, **options):
        (folder / "training").touch()
        until((folder / "waiting").exists)
        (folder / "trained by the first").touch()
        return real(*arguments, **options)

    running.train = slow
    np.save(folder / "first.npy", run(folder / "store").test.logits)


def wait_for_another(folder: Path) -> None:
    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            (folder / "waiting").write_text(record.getMessage())

    until((folder / "training").exists)
    logging.getLogger("isomax_viz").addHandler(Told())
    with mock.patch("isomax_viz.experiments.run.train") as trained:
        np.save(folder / "second.npy", run(folder / "store").test.logits)
    assert not trained.called


def until(condition, timeout: float = 120.0) -> None:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout
        time.sleep(0.01)


def test_two_processes_train_one_experiment_once_and_the_second_says_that_it_waits(trained, tmp_path):
    processes = [CHILDREN.Process(target=f, args=(tmp_path,)) for f in (train_while_another_waits, wait_for_another)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=180)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (
        tmp_path / "waiting"
    ).read_text() == f"{EXPERIMENT.id} is being computed by another process; waiting for it."
    assert np.array_equal(np.load(tmp_path / "first.npy"), trained["isomax"].test.logits)
    assert np.array_equal(np.load(tmp_path / "first.npy"), np.load(tmp_path / "second.npy"))


# ---------------------------------------------------------------------------------------------------- damaged files

FILES = ("manifest.json", "history.json", "network.safetensors", "capture.safetensors")


def content(folder: Path) -> tuple:
    """All that the store says about the experiment, or the errors instead; never another exception."""
    here, found = Store(folder), []
    for read in (here.manifest, here.weights, here.capture):
        try:
            found.append(read(EXPERIMENT.id))
        except (StoreError, CaptureError) as error:
            assert str(folder) in str(error)
            found.append(None)
    return tuple(found)


@pytest.fixture
def before(stored) -> tuple:
    """What a whole store says."""
    return content(stored)


def test_every_file_of_a_store_is_missed_and_its_truncation_noticed(stored):
    assert sorted(path.name for path in (stored / EXPERIMENT.id).iterdir()) == sorted(FILES)
    for name in FILES:
        path = stored / EXPERIMENT.id / name
        whole = path.read_bytes()
        for length in (0, 7, len(whole) // 2, len(whole) - 2):
            path.write_bytes(whole[:length])
            problems = store.verify(folder=stored)
            assert list(problems["file"]) == [name] and str(path) in problems["problem"][0], (name, length)
        path.unlink()
        expected = {"manifest.json": "There is no experiment", "capture.safetensors": "There is no capture"}
        problems = store.verify(EXPERIMENT.id, folder=stored)
        assert list(problems["file"]) == [name] and expected.get(name, "is damaged") in problems["problem"][0]
        path.write_bytes(whole)
    assert len(store.verify(folder=stored)) == 0


@given(name=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(name="manifest.json", place=0.0, bit=0)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
def test_a_flipped_bit_is_noticed_or_changes_nothing(stored, before, name, place, bit):
    path = stored / EXPERIMENT.id / name
    whole = path.read_bytes()
    assert None not in before
    position = int(place * len(whole))
    path.write_bytes(whole[:position] + bytes([whole[position] ^ (1 << bit)]) + whole[position + 1 :])
    try:
        manifest, weights, capture = content(stored)
        assert manifest is None or manifest == before[0]
        assert weights is None or weights == before[1]
        assert capture is None or same(capture, before[2])
        if None in (manifest, weights, capture):
            assert name in set(store.verify(folder=stored)["file"])
    finally:
        path.write_bytes(whole)


def test_a_damaged_history_does_not_keep_the_capture_from_being_read(stored, trained):
    (stored / EXPERIMENT.id / "history.json").write_text("{}")
    assert same(run(stored), trained["isomax"])
    (stored / EXPERIMENT.id / "capture.safetensors").write_bytes(b"")
    with pytest.raises(StoreError, match="history.json is damaged and was not read .*Delete the folder"):
        run(stored)  # recording it again would need the history


def test_a_checkpoint_with_a_flipped_bit_is_not_continued(trained, killed, tmp_path, caplog):
    folder = killed(BEFORE_THE_RENAME, tmp_path)
    path = Store(folder).checkpoint_path(EXPERIMENT.id)
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 4
    path.write_bytes(damaged)
    assert same(run(folder), trained["isomax"])
    assert "is damaged (its checksum does not match); the training starts afresh" in caplog.text


def test_the_capture_and_the_manifest_of_another_experiment_are_refused(stored, trained):
    trained["isomax2"].save(stored / EXPERIMENT.id / "capture.safetensors")
    with pytest.raises(CaptureError, match=f"is damaged .*it is the capture of {Experiment(loss='isomax2').data}-"):
        Store(stored).capture(EXPERIMENT.id)
    (stored / EXPERIMENT.id).rename(stored / "copy")
    with pytest.raises(StoreError, match=f"it is the manifest of '{EXPERIMENT.id}'"):
        Store(stored).manifest("copy")


# ---------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "~root", "x" * 300, "../../"])
def test_names_from_outside_can_not_leave_the_store(name, stored, tmp_path):
    """The name of a set, which a person gives to pictures of their own, and an id."""
    (tmp_path / "outside").mkdir()
    outside = {path for path in tmp_path.rglob("*") if stored not in path.parents}
    pictures = datasets.from_arrays(np.zeros((3, 8, 8, 1), np.uint8), name=name)
    assert len(run(stored, [pictures]).ood[name]) == 3
    assert list(run(stored, [pictures]).ood) == [name]
    assert {path for path in tmp_path.rglob("*") if stored not in path.parents} == outside
    files = {path.name for path in (stored / EXPERIMENT.id).iterdir()}
    assert files == set(FILES)
    for function in (store.remove, store.verify):
        with pytest.raises((ValueError, StoreError), match="is no experiment id|There is no experiment"):
            function(name, folder=stored)
    assert (tmp_path / "outside").is_dir()

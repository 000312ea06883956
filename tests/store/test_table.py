"""The store as one table: what is there, whether it is whole, how large it is, what all of it says."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

import isomax_viz as iv
from isomax_viz import Experiment, store
from isomax_viz._common import files
from isomax_viz._common.files import json_digest, new_entry
from isomax_viz.store import folder as _store_files
from isomax_viz.store.folder import Store, StoreError
from isomax_viz.store.table import LISTED
from tests.conftest import LOSSES

OOD = ("letters", "patches", "gaussian", "uniform")


@pytest.fixture
def folder(trained, session_store, tmp_path):
    """A store of its own with the session's four experiments in it."""
    for loss in LOSSES:
        name = Experiment(loss=loss, preset="smoke").id
        shutil.copytree(session_store / name, tmp_path / name)
    return tmp_path


def document(folder, name):
    return json.loads((folder / name / "manifest.json").read_text())


def rewrite(folder, name, changed) -> None:
    """Write a manifest with a checksum that fits."""
    changed.pop("sha256", None)
    changed["sha256"] = json_digest(changed)
    (folder / name / "manifest.json").write_text(json.dumps(changed))


def test_the_list_says_what_was_trained(folder, trained):
    table = store.list(folder).set_index("loss")
    assert sorted(table.index) == sorted(LOSSES) and list(store.list(folder).columns) == list(LISTED)
    for loss, row in table.iterrows():
        experiment = Experiment(loss=loss, preset="smoke")
        assert row["id"] == experiment.id
        assert (row["data"], row["backbone"], row["seed"], row["preset"]) == ("digits", "small_cnn", 0, "smoke")
        assert row["epochs"] == experiment.protocol.epochs and row["device"] == "cpu" and row["duration_s"] > 0
        assert row["accuracy"] == trained[loss].test.accuracy
        assert (
            row["entropic_scale"] == 10.0 if "isomax" in loss and loss != "isomax2" else pd.isna(row["entropic_scale"])
        )
        assert row["bytes"] == sum(path.stat().st_size for path in (folder / row["id"]).iterdir())
        assert pd.Timestamp(0, tz="UTC") < row["created"] <= pd.Timestamp(datetime.now(UTC))
    assert store.list(folder)["created"].is_monotonic_increasing
    pd.testing.assert_frame_equal(store.list(Store(folder)), store.list(str(folder)))


def test_the_list_names_extra_data_as_the_results_do(folder, monkeypatch):
    experiment = Experiment(loss="softmax", outliers="oe", preset="smoke")
    (folder / experiment.id).mkdir()
    known = iv.Capture.load(folder / Experiment(loss="softmax", preset="smoke").id / "capture.safetensors")
    manifest = document(folder, known.meta["id"])
    manifest |= {"id": experiment.id, "experiment": experiment.model_dump(mode="json")}
    rewrite(folder, experiment.id, manifest)
    known.replace(meta=known.meta | experiment.meta | {"id": experiment.id}).save(
        folder / experiment.id / "capture.safetensors"
    )
    listed, shown = (table.set_index("id")["loss"] for table in (store.list(folder), store.frame(folder=folder)))
    assert listed[experiment.id] == "softmax+oe" == shown[experiment.id].iloc[0]
    assert listed[known.meta["id"]] == "softmax"


def test_a_thousand_are_listed_without_opening_a_capture_a_history_or_a_network(folder):
    name = Experiment(loss="isomax", preset="smoke").id
    manifest = document(folder, name)
    for number in range(1000):
        copy = folder / "many" / f"{name}-{number}"
        copy.mkdir(parents=True)
        for file in ("capture.safetensors", "history.json", "network.safetensors"):
            (copy / file).symlink_to("/nothing/here")  # to open it is an error
        rewrite(folder / "many", copy.name, manifest | {"id": copy.name, "accuracy": number / 1000})
    table = store.list(folder / "many")
    assert len(table) == 1000 and table["id"].is_unique
    numbers = table["id"].str.rsplit("-", n=1).str[1].astype(int)
    assert np.allclose(table["accuracy"], numbers / 1000)


def test_an_empty_or_missing_store_is_an_empty_table(tmp_path):
    for place in (tmp_path, tmp_path / "nothing"):
        assert store.list(place).empty and store.verify(folder=place).empty and store.frame(folder=place).empty
        assert store.size(place) == 0
    (tmp_path / "my notes").mkdir()
    (tmp_path / "my notes" / "manifest.json").write_text("{}")  # no experiment can have this name
    assert store.list(tmp_path).empty and store.verify(folder=tmp_path).attrs == {"experiments": 0}


def test_by_default_it_is_the_usual_store(folder, monkeypatch):
    monkeypatch.setenv("ISOMAX_VIZ_STORE", str(folder))
    assert len(iv.store.list()) == len(LOSSES) and iv.store.size() == store.size(folder)
    assert iv.store.verify().attrs == {"experiments": len(LOSSES)}


def test_size_counts_every_byte(folder):
    unfinished = Store(folder).checkpoint_path("some")
    unfinished.parent.mkdir()
    unfinished.write_bytes(b"12345")
    listed = int(store.list(folder)["bytes"].sum())
    assert store.size(folder) == listed + 5


def test_verify_reads_all_files_also_after_sets_have_joined(folder):
    names = [Experiment(loss=loss, preset="smoke").id for loss in LOSSES]
    assert store.verify(folder=folder).empty
    mine = iv.datasets.from_arrays(np.zeros((5, 8, 8, 1), np.uint8), name="mine")
    Experiment(loss="isomax", preset="smoke").run(ood=[mine], store=folder, progress=False)
    assert store.verify(folder=folder).empty
    for name, file in zip(names, ("network.safetensors", "capture.safetensors", "history.json"), strict=False):
        path = folder / name / file
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
    problems = store.verify(folder=folder)
    found = set(zip(problems["id"], problems["file"], strict=True))
    assert found == set(zip(names, ("network.safetensors", "capture.safetensors", "history.json"), strict=False))
    assert problems["problem"].str.contains("checksum does not match").all()
    assert store.verify(names[3], folder=folder).empty
    with pytest.raises(StoreError, match=r"There is no experiment none in .*iv.store.list\(\) shows what is there"):
        store.verify("none", folder=folder)


def test_remove_deletes_one_experiment_and_its_unfinished_training(folder):
    name, other = (Experiment(loss=loss, preset="smoke").id for loss in ("isomax", "isomax2"))
    unfinished = [Store(folder).checkpoint_path(key) for key in (name, other, "begun")]
    unfinished[0].parent.mkdir(exist_ok=True)
    for path in unfinished:
        path.touch()
    store.remove(name, folder=folder)
    assert name not in set(store.list(folder)["id"]) and len(store.list(folder)) == len(LOSSES) - 1
    assert not (folder / name).exists() and [path.exists() for path in unfinished] == [False, True, True]
    store.remove("begun", folder=folder)
    assert [path.exists() for path in unfinished] == [False, True, False]
    for key in (name, "never"):
        with pytest.raises(StoreError, match="There is no experiment"):
            store.remove(key, folder=folder)
    with pytest.raises(ValueError, match="is no experiment id"):
        store.remove("../" + other, folder=folder)
    (folder / "linked").symlink_to(folder / other)
    store.remove("linked", folder=folder)
    assert (folder / other / "manifest.json").is_file() and not (folder / "linked").is_symlink()


def test_the_frame_is_the_evaluation_of_every_capture(folder, trained):
    table = store.frame(folder=folder)
    expected = iv.evaluate(list(trained.values()))
    assert len(table) == len(expected) == len(LOSSES) * len(OOD) * 3
    keys = ["loss", "score", "ood"]
    merged = table.merge(expected, on=keys, suffixes=("", "_expected"))
    assert len(merged) == len(expected)
    for metric in (*iv.metrics.METRICS, "accuracy", "n_ood"):
        assert (merged[metric] == merged[f"{metric}_expected"]).all()
    for name in ("entropic_scale", "seed", "AUROC"):
        assert table[name].dtype == expected[name].dtype
    assert set(table["epochs"]) == {2} and table["examples_per_class"].isna().all() and (table["duration_s"] > 0).all()
    assert (table["id"] == [Experiment(loss=loss, preset="smoke").id for loss in table["loss"]]).all()


def test_the_frame_takes_scores_and_sets_and_leaves_out_what_is_damaged(folder, caplog):
    table = store.frame(folder=folder, scores=["es", lambda samples: samples.logits[:, 0]], ood="letters")
    assert len(table) == len(LOSSES) * 2 and set(table["ood"]) == {"letters"}
    with pytest.raises(ValueError, match="ood must be one of 'gaussian', .*Did you mean 'letters'"):
        store.frame(folder=folder, ood=["leters"])
    with pytest.raises(ValueError, match="ood must name at least one"):
        store.frame(folder=folder, ood=[])
    first, second = (Experiment(loss=loss, preset="smoke").id for loss in ("isomax", "isomax2"))
    (folder / first / "capture.safetensors").write_bytes(b"")
    (folder / second / "manifest.json").write_text("")
    table = store.frame(folder=folder, scores="es")
    assert set(table["loss"]) == {"softmax", "isomax+"}
    assert f"{first} is left out of the table" in caplog.text and f"{second} is left out" in caplog.text


def test_what_was_stored_before_the_first_release_is_to_be_run_again(folder):
    experiment = Experiment(loss="isomax", preset="smoke")
    rewrite(folder, experiment.id, document(folder, experiment.id) | {"version": 1})
    with pytest.raises(StoreError, match="older than its first release.*Delete the folder .* and run"):
        experiment.run(store=folder, progress=False)


def test_a_store_of_a_newer_version_is_listed_as_such_and_refused(folder, caplog):
    experiment = Experiment(loss="isomax", preset="smoke")
    rewrite(folder, experiment.id, document(folder, experiment.id) | {"version": _store_files.FORMAT_VERSION + 1})
    before = {path: path.read_bytes() for path in (folder / experiment.id).iterdir()}
    row = store.list(folder).set_index("id").loc[experiment.id]
    assert "Update isomax_viz" in caplog.text and pd.isna(row["loss"]) and row["bytes"] > 0
    problems = store.verify(folder=folder)
    assert list(problems["file"]) == ["manifest.json"] and "Update isomax_viz" in problems["problem"][0]
    with pytest.raises(StoreError, match="format version 3; this version of isomax_viz reads up to 2. Update"):
        experiment.run(store=folder, progress=False)
    assert {path: path.read_bytes() for path in (folder / experiment.id).iterdir()} == before


def test_a_manifest_says_when_what_and_with_what(folder):
    experiment = Experiment(loss="isomax+", preset="smoke")
    manifest = Store(folder).manifest(experiment.id)
    assert manifest["experiment"]["preset"] == "smoke" and manifest["id"] == experiment.id
    assert set(manifest["versions"]) >= {"isomax_viz", "torch", "numpy", "python"}
    assert set(manifest["files"]) == {"network.safetensors", "history.json"}
    for name, said in manifest["files"].items():
        assert said["bytes"] == (folder / experiment.id / name).stat().st_size and len(said["sha256"]) == 64
    assert manifest["history"]["epoch"] == [1, 1, 2, 2] and "history" not in Store(folder).head(experiment.id)


def test_files_are_for_whom_the_umask_says(folder):
    """The safetensors library writes files that only their owner may read; a store may be shared."""
    (folder / "plain").touch()
    modes = {path.stat().st_mode for path in (folder / Experiment(loss="isomax", preset="smoke").id).iterdir()}
    assert modes == {(folder / "plain").stat().st_mode}


def test_what_the_system_can_not_read_is_not_called_damaged(folder):
    """Whoever follows the remedy for damage would delete hours of training."""
    name = Experiment(loss="isomax", preset="smoke").id
    with mock.patch("pathlib.Path.read_text", side_effect=OSError(errno.EMFILE, "Too many open files")):
        with pytest.raises(StoreError, match="manifest.json can't be read: Too many open files. It may be whole"):
            Store(folder).head(name)
    with mock.patch("safetensors.safe_open", side_effect=OSError("Input/output error (os error 5)")):
        with pytest.raises(OSError, match="capture.safetensors can't be read: Input/output error.*It may be whole"):
            Experiment(loss="isomax", preset="smoke").run(store=folder, progress=False)  # and records nothing again


def test_a_file_system_without_locks_is_named(tmp_path):
    with mock.patch("filelock.FileLock.acquire", side_effect=NotImplementedError("does not appear to support flock")):
        with pytest.raises(StoreError, match="can't be written: does not appear to support flock. Choose a folder"):
            Store(tmp_path).lock("a").__enter__()


def test_a_store_that_is_a_link_to_nowhere_is_called_that(tmp_path):
    (tmp_path / "runs").symlink_to(tmp_path / "unplugged")
    with pytest.raises(StoreError, match="can't be written: it is a link to .*unplugged, which is not there. Choose"):
        Store(tmp_path / "runs").lock("a").__enter__()


def test_a_name_that_is_in_use_for_a_moment_is_waited_for(tmp_path, monkeypatch):
    """As on Windows while somebody reads the file."""
    replace, refusals = Path.replace, [PermissionError("in use")] * 2

    def refuse(self, target):
        if refusals:
            raise refusals.pop()
        return replace(self, target)

    def write(text):
        with new_entry(tmp_path / "name") as file:
            file.write_text(text)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(files, "_PATIENCE_S", (0.0,))
    with pytest.raises(PermissionError, match="in use"):
        write("first")
    refusals.append(PermissionError("in use"))
    write("second")
    assert (tmp_path / "name").read_text() == "second" and refusals == []


def test_two_threads_that_save_under_one_name_do_not_disturb_each_other(capture, tmp_path):
    both = threading.Barrier(2)
    flush = files._flush

    def together(path):
        both.wait(timeout=30)  # each has written its file, neither has renamed it
        flush(path)
        both.wait(timeout=30)

    failures = []

    def save():
        try:
            capture.save(tmp_path / "capture.safetensors")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=save) for _ in range(2)]
    with mock.patch("isomax_viz._common.files._flush", together):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == [] and [path.name for path in tmp_path.iterdir()] == ["capture.safetensors"]
    assert np.array_equal(iv.Capture.load(tmp_path / "capture.safetensors").test.logits, capture.test.logits)


def test_what_a_killed_process_left_is_swept_by_who_holds_the_lock_and_nothing_else(tmp_path):
    place = Store(tmp_path)
    mine = [
        ".a.0a1b2c3d.12.0123abcd.tmp",
        f".a.{files._MACHINE}.{os.getpid()}.aaaaaaaa.tmp",
        "a/.capture.safetensors.0a1b2c3d.1.aaaaaaaa.tmp",
        ".unfinished/.a.safetensors.0a1b2c3d.1.aaaaaaaa.tmp",
    ]
    others = [".ab.0a1b2c3d.12.0123abcd.tmp", "a/notes.tmp", ".a.b.0a1b2c3d.12.0123abcd.tmp"]
    for name in (*mine, *others):
        (tmp_path / name / "inside").mkdir(parents=True)
    with place.lock("a"):
        assert not any((tmp_path / name).exists() for name in mine)
        assert all((tmp_path / name).is_dir() for name in others)


def test_removing_waits_for_whoever_is_working_on_it(folder, caplog):
    name = Experiment(loss="isomax", preset="smoke").id
    with caplog.at_level(logging.WARNING):
        with Store(folder).lock(name):
            thread = threading.Thread(target=store.remove, args=(name,), kwargs={"folder": folder})
            thread.start()
            end = time.monotonic() + 60
            while "waiting for it" not in caplog.text:
                assert time.monotonic() < end and thread.is_alive()
                time.sleep(0.01)
            assert name in Store(folder)
        thread.join(timeout=30)
    assert name not in Store(folder)


def test_removing_during_a_first_training_waits_and_then_removes(folder, tmp_path_factory, caplog):
    """Before its first checkpoint, nothing of it lies in the store but its lock."""
    name, place = Experiment(loss="isomax", preset="smoke").id, Store(tmp_path_factory.mktemp("first"))
    with place.lock(name):
        thread = threading.Thread(target=store.remove, args=(name,), kwargs={"folder": place})
        thread.start()
        end = time.monotonic() + 60
        while "waiting for it" not in caplog.text:
            assert time.monotonic() < end and thread.is_alive()
            time.sleep(0.01)
        shutil.copytree(folder / name, place.folder / name)  # what the training ends with
    thread.join(timeout=30)
    assert name not in place and not thread.is_alive()


def test_sets_do_not_join_a_capture_of_other_pictures(tmp_path, monkeypatch):
    experiment = Experiment(loss="isomax", preset="smoke", seed=5)
    capture = experiment.run(ood="letters", store=tmp_path, progress=False)
    data = iv.datasets.load_id("digits")
    fewer = data.with_examples_per_class(20, seed=0)  # as if the files had been replaced
    monkeypatch.setattr(iv.datasets, "load_id", lambda name, **options: fewer)
    with pytest.raises(StoreError, match="trained on other pictures than 'digits' has now.*iv.store.remove"):
        experiment.run(ood=("letters", "uniform"), store=tmp_path, progress=False)
    again = experiment.run(ood="letters", store=tmp_path, progress=False)  # what is there is still read
    np.testing.assert_array_equal(again.test.logits, capture.test.logits)
    monkeypatch.undo()
    assert list(experiment.run(ood=("letters", "uniform"), store=tmp_path, progress=False).ood) == [
        "letters",
        "uniform",
    ]

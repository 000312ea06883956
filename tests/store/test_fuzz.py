"""Entries of a store that are wrong in any way their checksums allow: one bad entry is one row, never an end.

Some hundred cases in every run; ``pytest --hypothesis-profile nightly tests/store/test_fuzz.py`` tries many more.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fuzzing import changed, hostile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save, save_file

from isomax_viz import Capture, CaptureError, Samples, store
from isomax_viz._common.files import file_digest, json_digest
from isomax_viz.captures import files as capture_files
from isomax_viz.store.folder import Store, StoreError

fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two made-up experiments, one of which the tests spoil."""
    rng, place = np.random.default_rng(0), Store(tmp_path_factory.mktemp("fuzzed"))
    history = pd.DataFrame({"epoch": [1], "split": ["test"], "accuracy": [0.5]})
    for name in ("bad", "good"):
        capture = Capture.from_arrays(
            rng.normal(size=(6, 3)),
            [0, 1, 2] * 2,
            ood={"mine": {"logits": rng.normal(size=(4, 3)), "distances": rng.normal(size=(4, 3)) ** 2}},
            loss="isomax",
            meta={"id": name, "seed": 0, "entropic_scale": 10.0, "ood": {"mine": {"fingerprint": "0"}}},
        )
        test = Samples(capture.test.logits, capture.test.labels, extra_scores={"odin": rng.normal(size=6)})
        capture = capture.replace(history=history, test=test)
        manifest = {
            "experiment": {"data": "digits", "backbone": "small_cnn", "loss": "isomax", "seed": 0, "preset": "smoke"},
            "protocol": {"epochs": 2},
            "duration_s": 1.0,
            "device": "cpu",
            "versions": {"torch": "2"},
            "history": history.to_dict(orient="list"),
        }
        with place.lock(name):
            place.write(name, manifest=manifest, weights=save({"w": np.zeros(2, np.float32)}), capture=capture)
    return place.folder


def still_works(folder: Path) -> None:
    """All that looks at the whole store, which holds one good entry beside the bad one."""
    listed = store.list(folder)
    assert sorted(listed["id"]) == ["bad", "good"]
    assert listed.set_index("id").loc["good", "accuracy"] >= 0
    assert "good" in set(store.frame(folder=folder, scores="es")["id"])
    problems = store.verify(folder=folder)
    assert set(problems["id"]) <= {"bad"} and problems["problem"].map(type).eq(str).all()
    for read in (Store(folder).head, Store(folder).manifest, Store(folder).weights, Store(folder).capture):
        try:
            read("bad")
        except (StoreError, CaptureError) as error:
            assert str(folder) in str(error)


@fuzzed
@given(place=st.integers(0, 200), new=hostile, drop=st.booleans())
@example(place=3, new=None, drop=True)  # "created"
@example(place=14, new="much", drop=False)
def test_a_signed_manifest_of_any_content_is_one_row(folder, place, new, drop):
    path = folder / "bad" / "manifest.json"
    whole = path.read_text()
    document = json.loads(whole)
    del document["sha256"]
    try:
        document = changed(document, place, new, drop=drop)
        path.write_text(json.dumps(document | {"sha256": json_digest(document)}))
        still_works(folder)
    finally:
        path.write_text(whole)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" * 9, '{"a":' * 100_000, "", "null", "7", '"text"', "[]", "9" * 5000, "\ufeff{}"]
)
def test_a_manifest_that_is_none_is_one_row(folder, text):
    path = folder / "bad" / "manifest.json"
    whole = path.read_bytes()
    try:
        path.write_text(text, encoding="utf-8")
        still_works(folder)
        path.write_bytes(text.encode("utf-16"))
        still_works(folder)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["network.safetensors", "history.json"])
@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff\xfe", (9).to_bytes(8, "little") + b"[[[[[[[[["])
def test_signed_files_of_any_content_are_one_row(folder, name, content):
    place, path = folder / "bad", folder / "bad" / "manifest.json"
    whole, before = path.read_text(), (place / name).read_bytes()
    document = json.loads(whole)
    del document["sha256"]
    try:
        (place / name).write_bytes(content)
        document["files"][name]["sha256"] = file_digest(place / name)
        path.write_text(json.dumps(document | {"sha256": json_digest(document)}))
        still_works(folder)
    finally:
        path.write_text(whole)
        (place / name).write_bytes(before)


def forge(path: Path, arrays: dict, content: dict) -> None:
    """Write a capture with checksums that fit, whatever it holds."""
    document = json.dumps(content)
    header = {"format": capture_files.FORMAT, "version": str(capture_files.FORMAT_VERSION), "content": document}
    header |= {"sha256": capture_files._digest(arrays, document)}
    header |= {"head_sha256": capture_files._digest(arrays, document, values=False)}
    save_file(arrays, path, metadata=header)


def opened(path: Path) -> tuple[dict, dict]:
    with safe_open(path, framework="numpy") as file:
        return load_file(path), json.loads(file.metadata()["content"])


def loads_or_says_why(path: Path) -> None:
    for mmap in (False, True):
        try:
            capture = Capture.load(path, mmap=mmap)
        except CaptureError as error:
            assert str(path) in str(error)
        else:
            sets = capture.samples.values()
            assert all(samples.logits is None or len(samples.labels) == len(samples.logits) for samples in sets)
            repr(capture), capture.samples, capture.loss


@fuzzed
@given(place=st.integers(0, 60), new=hostile, drop=st.booleans())
def test_a_signed_capture_of_any_content_is_read_or_refused(folder, place, new, drop):
    path = folder / "bad" / "capture.safetensors"
    whole = path.read_bytes()
    try:
        arrays, content = opened(path)
        forge(path, arrays, changed(content, place, new, drop=drop))
        loads_or_says_why(path)
        still_works(folder)
    finally:
        path.write_bytes(whole)


dtypes = st.sampled_from(["float32", "float64", "float16", "int64", "int16", "uint8", "bool", "int32"])
shapes = st.lists(st.integers(0, 7), max_size=3).map(tuple)


@fuzzed
@given(
    number=st.integers(0, 20),
    shape=shapes,
    dtype=dtypes,
    value=st.sampled_from([0, 1, -1, 100, float("nan"), float("inf")]),
    name=st.sampled_from(["", "test/logits", "test/score0", "test/other", "ood1/logits", "a/b/c", "prototypes"]),
    drop=st.booleans(),
)
def test_a_signed_capture_of_any_arrays_is_read_or_refused(folder, number, shape, dtype, value, name, drop):
    path = folder / "bad" / "capture.safetensors"
    whole = path.read_bytes()
    try:
        arrays, content = opened(path)
        chosen = sorted(arrays)[number % len(arrays)]
        if drop:
            del arrays[chosen]
        else:
            with np.errstate(invalid="ignore"):
                arrays[name or chosen] = np.full(shape, value, dtype=np.float64).astype(dtype)
        forge(path, arrays, content)
        loads_or_says_why(path)
        still_works(folder)
    finally:
        path.write_bytes(whole)

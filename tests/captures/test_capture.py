"""Samples and Capture: derived arrays against float64 loops, the file format, and damaged files."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import warnings
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from isomax_viz import Capture, CaptureError, Samples, compare, scores
from isomax_viz._common.checks import sealed
from isomax_viz.captures import files
from isomax_viz.captures import files as _capture_files
from isomax_viz.captures.files import read_capture
from isomax_viz.datasets import from_arrays, load_toy


def test_derived_arrays_equal_a_float64_loop(capture):
    samples = capture.test
    for i, (logits, label) in enumerate(zip(samples.logits.astype(float), samples.labels, strict=True)):
        p = np.exp(logits) / np.exp(logits).sum()
        assert samples.probabilities[i] == pytest.approx(p, rel=1e-5)
        assert samples.max_probabilities[i] == pytest.approx(p.max(), rel=1e-5)
        assert samples.entropies[i] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)
        assert samples.intra_logits[i] == logits[label].astype(np.float32)
        others = samples.inter_logits.reshape(len(samples), -1)[i]
        assert others.tolist() == np.delete(logits, label).astype(np.float32).tolist()
        assert samples.min_distances[i] == samples.distances[i].min()
        assert samples.intra_distances[i] == samples.distances[i, label]
    assert samples.accuracy == np.mean(samples.logits.argmax(axis=1) == samples.labels)
    assert np.isnan(capture.ood["near"].accuracy)
    assert len(capture.ood["near"].intra_logits) == len(capture.ood["near"].inter_distances) == 0


@pytest.mark.parametrize("classes", [2, 7, 70_000])
def test_derived_arrays_of_many_samples_equal_those_of_each_alone(rng, classes):
    """They are computed in blocks of rows: none is left out, counted twice or mixed up at their borders."""
    n = 3 if classes > 1000 else 2 * 65_536 // classes + 5
    samples = Samples(logits=4 * rng.normal(size=(n, classes)), labels=np.zeros(n, int))
    p = np.exp(samples.logits.astype(float))
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(samples.max_probabilities, p.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(samples.entropies, -(p * np.log(p)).sum(axis=1), rtol=1e-4, atol=1e-5)


def test_entropy_near_zero_is_exact_and_told_apart():
    logits = np.array([[0.0, -gap, -gap - 1] for gap in (12.0, 16.0, 20.0, 40.0)], dtype=np.float32)
    wide = logits.astype(np.float64)
    p = np.exp(wide[:, 1:]).T / (1 + np.exp(wide[:, 1:]).sum(axis=1))
    expected = -(p * np.log(p)).sum(axis=0) - (1 - p.sum(axis=0)) * np.log1p(-p.sum(axis=0))
    samples = Samples(logits=logits, labels=np.full(4, -1))
    np.testing.assert_allclose(samples.entropies, expected, rtol=1e-5, atol=0)
    assert (np.diff(samples.entropies) < 0).all()


@pytest.mark.parametrize("gap", [100.0, 200.0, 1000.0])
def test_entropy_and_scores_stay_finite_at_large_gaps(gap):
    samples = Samples(logits=[[0.0, -gap]], labels=[0], distances=[[1.0, 2.0]])
    assert samples.entropies.tolist() == [pytest.approx(0.0, abs=1e-30)]
    assert samples.max_probabilities.tolist() == [1.0]
    assert all(np.isfinite(score(samples)).all() for score in scores.SCORES.values())


def test_a_record_can_not_be_changed_and_leaves_the_given_arrays_alone():
    logits = np.zeros((2, 3), dtype=np.float32)
    samples = Samples(logits=logits, labels=[0, 1])
    with pytest.raises(ValueError, match="read-only"):
        samples.logits[0, 0] = 1
    logits[0, 0] = 1  # the caller's array is still the caller's
    built = Capture.from_arrays(logits, [0, 1], ood={"x": logits})
    logits[0, 0] = 99
    assert built.test.logits[0, 0] == built.ood["x"].logits[0, 0] == 1  # and the record still the record
    with pytest.raises(AttributeError):
        samples.labels = logits


def given_arrays(kind, shape):
    """Return an array as the caller passes it, and the array with which the caller can still change it."""
    base = np.zeros(shape, dtype=np.float64 if kind == "float64" else np.float32)
    if kind == "view":  # as pandas hands out: read-only, but what lies behind it is not
        view = base.view()
        view.flags.writeable = False
        return view, base
    if kind == "tensor":
        return pytest.importorskip("torch").from_numpy(base), base
    return base, base


@pytest.mark.parametrize("kind", ["float32", "float64", "view", "tensor"])
def test_a_record_stays_when_any_of_the_callers_arrays_change(capture, kind):
    given = {name: given_arrays(kind, (3, 4)) for name in ("logits", "features", "distances")}
    column, prototypes, added = given_arrays(kind, 3), given_arrays(kind, (4, 5)), given_arrays(kind, 60)
    arrays = {name: array for name, (array, _) in given.items()}
    samples = Samples(**arrays, labels=[0, 1, 2], extra_scores={"mine": column[0]})
    again = scores.add_column(capture.replace(prototypes=prototypes[0]), "mine", {"test": added[0]})
    whole = Capture.from_arrays(**arrays, labels=[0, 1, 2], ood={"x": arrays})
    for _, base in (*given.values(), column, prototypes, added):
        base += 1
    kept = [getattr(item, name) for item in (samples, whole.test, whole.ood["x"]) for name in given]
    kept += [samples.extra_scores["mine"], again.prototypes, again.test.extra_scores["mine"]]
    assert not any(array.any() or array.flags.writeable for array in kept)


@pytest.mark.parametrize("mmap", [False, True])
def test_what_nobody_can_change_is_not_copied(capture, tmp_path, mmap, monkeypatch):
    fixed = sealed(np.zeros((3, 4), dtype=np.float32))
    samples = Samples(fixed, [0, 1, 2], features=fixed, extra_scores={"mine": fixed.T[0].copy()})
    assert np.shares_memory(samples.logits, fixed) and np.shares_memory(samples.features, fixed)
    other = replace(samples, distances=fixed)
    assert np.shares_memory(other.logits, fixed)
    assert np.shares_memory(other.extra_scores["mine"], samples.extra_scores["mine"])
    full = scores.add_column(capture, "mine", {"test": np.ones(60)}).replace(prototypes=np.ones((4, 5)))
    path, read = full.save(tmp_path / "c.safetensors"), {}
    monkeypatch.setattr(files, "read_capture", lambda *a, **k: keep(read, read_capture(*a, **k)))
    loaded = Capture.load(path, mmap=mmap)
    parts = {"test/logits": loaded.test.logits, "test/features": loaded.test.features, "prototypes": loaded.prototypes}
    parts["test/score0"] = loaded.test.extra_scores["mine"]
    assert all(np.shares_memory(array, read[name]) for name, array in parts.items())
    changed = replace(loaded.test, distances=None)
    assert np.shares_memory(changed.logits, read["test/logits"])


def keep(arrays, found):
    arrays.update(found[0])
    return found


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"logits": [[np.nan, 0.0]]}, ValueError, r"logits has 1 of 2 values that are NaN .* \(0, 0\).*learning rate"),
        ({"logits": [[0.0, np.inf]]}, ValueError, "NaN or infinite"),
        ({"logits": [[0.0, 1e39]]}, ValueError, "NaN or infinite"),  # too large for float32
        ({"logits": [0.0, 1.0]}, ValueError, r"logits must have shape \(samples, columns\), but has shape \(2,\)"),
        ({"logits": [[0.0]]}, ValueError, "logits must have at least 2 columns"),
        ({"logits": [[0.0, 1.0], [1.0]]}, TypeError, "rows differ in length"),
        ({"logits": [["a", "b"]]}, TypeError, "array of real numbers"),
        ({"labels": [5]}, ValueError, r"labels must lie in -1 .. 1 .*range from 5 to 5"),
        ({"labels": [0, 1]}, ValueError, r"labels must have shape \(1,\)"),
        ({"labels": [0.5]}, TypeError, "labels must be whole numbers"),
        ({"features": [[1.0], [2.0]]}, ValueError, "features must have shape"),
        ({"distances": [[1.0]]}, ValueError, r"distances must have shape \(1, 2\)"),
        ({"predictions": [7]}, ValueError, "predictions must lie in"),
    ],
)
def test_bad_samples_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Samples(**({"logits": [[0.0, 1.0]], "labels": [0]} | arguments))


def test_every_nth_sample_is_what_a_thinner_capture_holds(capture):
    thinned = capture.every(3)
    for name, samples in capture.samples.items():
        kept = samples if name == "train" else samples.every(3)
        for key in ("logits", "labels", "features", "distances", "predictions"):
            np.testing.assert_array_equal(getattr(thinned.samples[name], key), getattr(kept, key))
    np.testing.assert_array_equal(thinned.test.logits, capture.test.logits[::3])
    assert thinned.every(2).meta["every"] == 6
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        capture.every(0)
    with pytest.raises(ValueError, match=r"labels differ. Record both on the same data, or thin.*capture.every\(3\)"):
        compare((capture, "es"), (thinned, "es"))
    same = compare((capture.every(3), "es"), (thinned, "es"))
    assert same.difference == 0


def test_bad_captures_are_refused(capture):
    with pytest.raises(ValueError, match=r"ood\['mine'\] must have shape \(samples, 4\)"):
        Capture.from_arrays(capture.test.logits, capture.test.labels, ood={"mine": [[0.0, 1.0]]})
    with pytest.raises(ValueError, match="for 2 classes, but test has 4"):
        capture.replace(ood={"mine": Samples(logits=[[0.0, 1.0]], labels=[-1])})
    for name in ("test", "train"):
        with pytest.raises(ValueError, match="is the name of the in-distribution samples"):
            capture.replace(ood={name: capture.ood["near"]})
    with pytest.raises(ValueError, match="a key of ood\\['x'\\] must be one of 'logits'.*but is 'logit'.*Did you mean"):
        Capture.from_arrays(capture.test.logits, capture.test.labels, ood={"x": {"logit": capture.test.logits}})
    with pytest.raises(TypeError, match=r"ood must map names to logits, such as \{'mine': logits\}, but is ndarray"):
        Capture.from_arrays(capture.test.logits, capture.test.labels, ood=capture.test.logits)
    with pytest.raises(ValueError, match="must hold 'logits', but holds 'distances'"):
        Capture.from_arrays(capture.test.logits, capture.test.labels, ood={"x": {"distances": capture.test.logits}})
    with pytest.raises(ValueError, match="empty name"):
        capture.replace(ood={"": capture.ood["near"]})
    with pytest.raises(ValueError, match="carry no feature-prototype distances"):
        scores.compute("mds", Samples(logits=[[0.0, 1.0]], labels=[0]))
    with pytest.raises(TypeError, match="meta must hold JSON values only"):
        capture.replace(meta={"model": object()}).save("unused.safetensors")


def equal(a: Capture, b: Capture) -> bool:
    same = list(a.samples) == list(b.samples) and dict(a.meta) == dict(b.meta)
    for name in a.samples:
        for field in ("logits", "labels", "features", "distances", "predictions"):
            left, right = getattr(a.samples[name], field), getattr(b.samples[name], field)
            same &= (left is None and right is None) or np.array_equal(left, right)
        left, right = a.samples[name].extra_scores, b.samples[name].extra_scores
        same &= list(left) == list(right) and all(np.array_equal(left[key], right[key]) for key in left)
    return same and (a.history is None) == (b.history is None) and (a.history is None or a.history.equals(b.history))


def test_round_trip_with_everything(capture, tmp_path):
    history = pd.DataFrame({"epoch": [1, 1], "split": ["train", "test"], "loss": [0.1 + 0.2, 1e-300]})
    full = capture.replace(train=capture.test, history=history, prototypes=np.ones((4, 5)))
    again = Capture.load(full.save(tmp_path / "deep" / "capture.safetensors"))
    assert equal(full, again)
    assert np.array_equal(again.prototypes, full.prototypes)
    assert list(again.samples) == ["train", "test", "near", "far"]


def finite(shape):
    return hnp.arrays(np.float32, shape, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


# What names may hold: no NUL, and no half of a letter (a surrogate, which st.characters leaves out with codec).
LETTERS = st.characters(codec="utf-8", exclude_characters="\0")


@st.composite
def sample_sets(draw, classes, *, ood):
    """Samples with any of the optional arrays, float extremes among them; a set may be empty."""
    n, features = draw(st.integers(0, 5)), draw(st.integers(1, 3))
    columns = st.text(LETTERS, min_size=1, max_size=6).filter(lambda name: name.lower() not in scores.SCORES)
    return Samples(
        logits=draw(finite((n, classes))),
        labels=np.full(n, -1) if ood else draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1))),
        features=draw(st.none() | finite((n, features))),
        distances=draw(st.none() | finite((n, classes))),
        predictions=draw(st.none() | hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1))),
        extra_scores=draw(st.dictionaries(columns, finite((n,)), max_size=2)),
    )


@st.composite
def captures(draw):
    """Any capture: sets of any name, path separators and other scripts included; a history with NaN; any meta."""
    classes = draw(st.integers(2, 4))
    names = st.text(LETTERS, min_size=1, max_size=8).filter(lambda name: name not in ("train", "test"))
    rows = draw(st.integers(0, 3))
    column = st.lists(st.floats() | st.just(float("nan")), min_size=rows, max_size=rows)
    values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
    return Capture(
        test=draw(sample_sets(classes, ood=False)),
        ood=draw(st.dictionaries(names, sample_sets(classes, ood=True), max_size=3)),
        train=draw(st.none() | sample_sets(classes, ood=False)),
        meta=draw(st.dictionaries(st.text(max_size=6), values | st.lists(values, max_size=2), max_size=3)),
        history=draw(st.none() | st.dictionaries(st.text(max_size=6), column, max_size=3).map(pd.DataFrame)),
        prototypes=draw(st.none() | finite((classes, 2))),
    )


@given(whole=captures(), mmap=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
def test_any_capture_survives_the_file(tmp_path, whole, mmap):
    again = Capture.load(whole.save(tmp_path / "c.safetensors"), mmap=mmap)
    assert equal(again, whole)
    assert (whole.prototypes is None and again.prototypes is None) or np.array_equal(again.prototypes, whole.prototypes)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_damaged_bytes_are_noticed(capture, tmp_path, data):
    """Truncated, flipped, overwritten and lengthened files; mapped ones too, but for the values, which nobody reads."""
    original = capture.save(tmp_path / "whole.safetensors").read_bytes()
    damaged = bytearray(original)
    kind = data.draw(st.sampled_from(("truncate", "flip", "overwrite", "lengthen", "header")), label="kind")
    position = data.draw(st.integers(0, len(original) - 1), label="position")
    if kind == "truncate":
        del damaged[position:]
    elif kind == "lengthen":
        damaged += data.draw(st.binary(min_size=1, max_size=20))
    elif kind == "overwrite":
        junk = data.draw(st.binary(min_size=1, max_size=20))
        damaged[position : position + len(junk)] = junk
    else:
        last = 7 + int.from_bytes(original[:8], "little") if kind == "header" else len(original) - 1
        damaged[min(position, last)] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged)
    for mmap in (False, True):
        try:
            found = Capture.load(path, mmap=mmap)
        except CaptureError as error:
            assert str(path) in str(error)
        else:
            assert equal(found, capture) if not mmap else same_head(found, capture)


def same_head(a: Capture, b: Capture) -> bool:
    shapes = [{key: samples.logits.shape for key, samples in capture.samples.items()} for capture in (a, b)]
    return shapes[0] == shapes[1] and dict(a.meta) == dict(b.meta)


def test_a_mapped_capture_leaves_its_values_on_the_disk(capture, tmp_path):
    path = capture.save(tmp_path / "c.safetensors")
    mapped = Capture.load(path, mmap=True)
    assert isinstance(mapped.test.logits.base.base, np.memmap) or isinstance(mapped.test.logits.base, np.memmap)
    assert equal(mapped, capture) and mapped.to_frame().equals(capture.to_frame())
    with pytest.raises(ValueError, match="read-only"):
        mapped.test.logits[0, 0] = 1
    # The values are the file's own bytes, which are not compared with the checksum; a plain load does that.
    with path.open("r+b") as file:
        file.seek(-4, 2)  # the file ends with the last logit of the test samples
        file.write(np.float32(7.5).tobytes())
    with pytest.raises(CaptureError, match="its checksum does not match"):
        Capture.load(path)
    assert mapped.test.logits[-1, -1] == 7.5
    if sys.platform == "win32":  # nobody may replace a file that is mapped
        return
    capture.save(path)  # the name now stands for another file; what is mapped stays what it was
    assert mapped.test.logits[-1, -1] == 7.5 and equal(Capture.load(path), capture)


def test_a_file_that_is_replaced_while_it_is_mapped_is_the_old_or_the_new_one(capture, tmp_path, monkeypatch):
    path = capture.save(tmp_path / "c.safetensors")
    other = capture.replace(ood={}, meta={"loss": "softmax"})
    check = _capture_files._check_header

    def replaced(*arguments):
        check(*arguments)
        other.save(path)  # another process; after the first look at the file, before the second

    monkeypatch.setattr(_capture_files, "_check_header", replaced)
    if sys.platform != "win32":
        assert equal(Capture.load(path, mmap=True), other)


def test_a_mapped_file_whose_content_was_changed_is_refused(capture, tmp_path):
    path = capture.save(tmp_path / "c.safetensors")
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    forged = header["content"].replace("made up", "made upp")
    save_file(load_file(path), path, metadata={**header, "content": forged})
    with pytest.raises(CaptureError, match="its checksum does not match"):
        Capture.load(path, mmap=True)


@pytest.mark.parametrize("reader", ["pyarrow", "duckdb", "polars"])
def test_parquet_is_read_by(reader, capture, tmp_path):
    library = pytest.importorskip(reader)
    full = capture.replace(ood={"né/1": capture.ood["far"], "near": capture.ood["near"]})
    path = full.to_parquet(tmp_path / "deep" / "rows.parquet", vectors=("logits", "distances"))
    if reader == "pyarrow":
        frame = pd.read_parquet(path)
    elif reader == "duckdb":
        frame = library.sql(f"select * from '{path}'").df()
        counted = library.sql(f'select "set", avg(entropy) from \'{path}\' where ood group by "set"').fetchall()
        expected = {name: samples.entropies.mean() for name, samples in full.ood.items()}
        assert dict(counted) == pytest.approx(expected, rel=1e-6)
    else:
        frame = pd.DataFrame(library.read_parquet(path).to_dict(as_series=False))
    expected = full.to_frame()
    assert list(frame.columns) == [*expected.columns, "logits", "distances"]
    for name in expected:
        assert frame[name].tolist() == expected[name].tolist(), name
    for name in ("logits", "distances"):
        arrays = np.concatenate([getattr(samples, name) for samples in full.samples.values()])
        assert np.array_equal(np.array(frame[name].tolist(), dtype=np.float32), arrays), name


def test_parquet_keeps_the_provenance_and_is_written_in_parts(capture, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("isomax_viz.captures.capture._ROW_GROUP", 37)  # parts of 37, 23; 37, 3; 30
    path = capture.to_parquet(tmp_path / "rows.parquet", vectors="logits")
    file = parquet.ParquetFile(path)
    assert file.num_row_groups == 5 and json.loads(file.schema_arrow.metadata[b"isomax_viz"]) == dict(capture.meta)
    logits = np.concatenate([samples.logits for samples in capture.samples.values()])
    assert np.array_equal(np.array(file.read()["logits"].to_pylist(), dtype=np.float32), logits)


def test_parquet_says_what_is_missing(capture, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="vectors must be one of 'logits', 'features', 'distances', but is 'logit'"):
        capture.to_parquet(tmp_path / "rows.parquet", vectors=["logit"])
    with pytest.raises(ValueError, match="vectors='features' is not recorded in 'near', 'far'. Leave it out"):
        capture.to_parquet(tmp_path / "rows.parquet", vectors=["features"])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="rows.parquet could not be written: .*Choose a folder"):
        capture.to_parquet(tmp_path / "file" / "rows.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pyarrow is needed to write Parquet.*pip install pyarrow"):
        capture.to_parquet(tmp_path / "rows.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_foreign_newer_and_missing_files_say_so(capture, tmp_path):
    (tmp_path / "pointer").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(CaptureError, match="pointer is a Git LFS pointer, not the capture.*git lfs pull") as pointer:
        Capture.load(tmp_path / "pointer")
    assert "amaged" not in str(pointer.value) and "elete" not in str(pointer.value)
    with pytest.raises(FileNotFoundError, match="There is no capture at"):
        Capture.load(tmp_path / "missing.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": np.zeros(3)}, foreign)
    with pytest.raises(CaptureError, match="a safetensors file, but not a capture"):
        Capture.load(foreign)
    path = capture.save(tmp_path / "c.safetensors")
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    save_file(load_file(path), path, metadata={**header, "version": "99"})
    with pytest.raises(CaptureError, match="capture format '99'.*Update isomax_viz"):
        Capture.load(path)
    content = json.loads(header["content"]) | {"meta": {"loss": "forged"}}
    save_file(load_file(path), path, metadata={**header, "content": json.dumps(content)})
    with pytest.raises(CaptureError, match="its checksum does not match"):
        Capture.load(path)


def test_an_unwritable_place_is_explained_and_leaves_nothing_behind(capture, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="could not be written: .* Choose a folder"):
        capture.save(tmp_path / "file" / "capture.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_bears_the_suffix_of_what_it_is(capture, tmp_path):
    with pytest.raises(ValueError, match=r"suffix of path must be one of '.safetensors', but is '.npz'"):
        capture.save(tmp_path / "capture.npz")


def test_to_frame_has_one_row_per_sample(capture):
    frame = capture.to_frame()
    assert len(frame) == 60 + 40 + 30
    row = frame[(frame["set"] == "far") & (frame["index"] == 3)].iloc[0]
    assert row["entropy"] == capture.ood["far"].entropies[3]
    assert row["min_distance"] == capture.ood["far"].distances[3].min()
    assert bool(row["ood"]) and row["label"] == -1 and row["loss"] == "isomax"


def test_scores_follow_their_formulas(capture):
    samples = capture.test
    logits = samples.logits.astype(float)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = {
        "mps": p.max(axis=1),
        "es": (p * np.log(p)).sum(axis=1),
        "mds": -samples.distances.min(axis=1),
        "max_logit": logits.max(axis=1),
        "energy": np.log(np.exp(logits).sum(axis=1)),
        "gen": -(p**0.1 * (1 - p) ** 0.1).sum(axis=1),
        "scaled_mps": (np.exp(logits / 1000) / np.exp(logits / 1000).sum(axis=1, keepdims=True)).max(axis=1),
    }
    assert set(expected) == set(scores.SCORES)
    for key, values in expected.items():
        np.testing.assert_allclose(scores.compute(key, samples), values, rtol=1e-5)


def test_a_score_of_your_own_is_accepted_and_checked(capture):
    def spread(samples):
        return np.ptp(samples.logits, axis=1)

    assert np.array_equal(scores.compute(spread, capture.test), np.ptp(capture.test.logits, axis=1))
    with pytest.raises(ValueError, match=r"score 'spread_all' must return shape \(60,\), but returned \(\)"):
        scores.compute(type("F", (), {"__name__": "spread_all", "__call__": lambda self, s: 1.0})(), capture.test)
    with pytest.raises(ValueError, match="score 'broken' has 60 of 60 values that are NaN"):

        def broken(samples):
            return np.full(len(samples), np.nan)

        scores.compute(broken, capture.test)
    with pytest.raises(ValueError, match="score must be one of 'mps', 'es', .*Did you mean 'mps'"):
        scores.compute("msp", capture.test)


def softmax(logits):
    return np.exp(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


LOGITS = np.random.default_rng(8).normal(0, 3, (20, 4))


def test_probabilities_are_no_logits():
    with pytest.raises(ValueError, match=r"these are probabilities. Pass the raw outputs, or np\.log\(probabilities\)"):
        Samples(softmax(LOGITS), np.zeros(20, int))
    for ood in (softmax(LOGITS), 100 * softmax(LOGITS)):
        with pytest.raises(ValueError, match="these are probabilities"):
            Capture.from_arrays(LOGITS, np.zeros(20, int), ood={"mine": ood})
    with pytest.warns(UserWarning, match="logarithms of probabilities: .* energy is the same for every sample"):
        samples = Samples(np.log(softmax(LOGITS)), np.zeros(20, int))
    np.testing.assert_allclose(samples.probabilities, softmax(LOGITS), rtol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        replace(samples, extra_scores={"mine": np.zeros(20)})
    Samples(np.eye(4), range(4)), Samples(-np.eye(4) * 50, range(4))  # may be logits


@pytest.mark.parametrize("swapped", [False, True])
def test_logarithms_of_probabilities_are_not_mixed_with_logits(swapped):
    sets = [LOGITS, np.log(softmax(LOGITS))]
    test, unknown = sets[::-1] if swapped else sets
    with (
        pytest.warns(UserWarning) if swapped else nullcontext(),  # the warning is of the test samples
        pytest.raises(ValueError, match="are logarithms of probabilities, those of") as error,
    ):
        Capture.from_arrays(test, np.zeros(20, int), ood={"mine": unknown})
    assert str(error.value).startswith("The logits of test" if swapped else "The logits of ood['mine']")


def test_training_samples_come_from_the_network_of_the_test_samples(capture):
    with pytest.raises(ValueError, match="train has logits for 3 classes, but test has 4"):
        capture.replace(train=Samples(LOGITS[:, :3], np.zeros(20, int)))
    logs = np.log(softmax(LOGITS))
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="The logits of train are logarithms of probab"):
        capture.replace(train=Samples(logs, np.zeros(20, int)))


def test_rows_that_are_marked_as_unknown_do_not_count_as_known(capture):
    labels = np.where(np.arange(20) < 5, -1, 0)
    with pytest.raises(ValueError, match=r"test has 5 of 20 labels of -1.*ood=\{'mine': logits\[labels == -1\]\}"):
        Capture.from_arrays(LOGITS, labels)
    with pytest.raises(ValueError, match="train has 5 of 20 labels of -1"):
        capture.replace(train=Samples(LOGITS, labels))
    with pytest.raises(ValueError, match=r"ood\['mine'\] has labels of classes"):
        capture.replace(ood={"mine": Samples(LOGITS, np.zeros(20, int))})
    assert Capture.from_arrays(LOGITS, np.full(20, -1)).test.accuracy != 0  # not labelled at all


@pytest.mark.parametrize(
    ("logits", "error", "message"),
    [
        (np.ma.masked_greater([[0.0, 9.0]], 5), ValueError, r"logits has 1 masked values.*array\.filled"),
        (list(np.ma.masked_greater([[0.0, 9.0], [8.0, 9.0]], 5)), ValueError, "logits has 3 masked values"),
        (
            [[0.0, -np.inf]],
            ValueError,
            r"Minus infinity stands for classes that are masked.*np\.maximum\(logits, -1e4\)",
        ),
        ([[np.nan, -np.inf]], ValueError, "learning rate"),
        (np.array([[None, 1.0]]), ValueError, r"1 missing values .* index \(0, 0\)"),
        (np.array([[1, 2]], "m8[s]"), TypeError, "array of real numbers"),
    ],
)
def test_logits_that_are_not_what_they_seem(logits, error, message):
    with pytest.raises(error, match=message):
        Samples(logits, [0])


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, np.nan], ValueError, "labels has 1 of 2 values that are NaN or infinite.*Leave out rows whose class"),
        ([0, np.inf], ValueError, "labels has 1 of 2 values that are NaN or infinite"),
        (pd.Series([0, pd.NA], dtype=object), ValueError, r"labels has 1 missing values \(None, NaN or pandas.NA\)"),
        (np.array([0, 2**64 - 1], np.uint64), ValueError, "is what -1 becomes as uint64: keep labels in a type with a"),
        (np.array([0, 255], np.uint8), ValueError, "255 is what -1 becomes as uint8"),
        (np.ma.array([0, 1], mask=[0, 1]), ValueError, "labels has 1 masked values"),
    ],
)
def test_labels_that_are_not_what_they_seem(labels, error, message):
    with pytest.raises(error, match=message):
        Samples([[0.0, 1.0]] * 2, labels)


def test_pandas_nullable_columns_are_numbers():
    frame = pd.DataFrame({"a": pd.array([1.0, 2.0], dtype="Float64"), "b": [3.0, 4.0]})
    samples = Samples(frame, pd.array([0, 1], dtype="Int64"))
    assert samples.logits.tolist() == [[1.0, 3.0], [2.0, 4.0]] and samples.labels.tolist() == [0, 1]


def test_tensors_of_any_kind():
    torch = pytest.importorskip("torch")
    dense = torch.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    plain = dense.detach()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, about the state of such layouts
        kinds = [dense, plain.bfloat16(), plain.to(torch.float8_e4m3fn), plain.to_sparse(), plain.to_sparse_csr()]
        kinds += [torch.quantize_per_tensor(plain, 1.0, 0, torch.qint8), torch.complex(plain, -plain).conj().imag]
        for tensor in kinds:
            assert Samples(tensor, [0, 1]).logits.tolist() == plain.tolist()
        for tensor in (plain.to("meta"), torch.nested.nested_tensor([plain, plain])):
            with pytest.raises(TypeError, match="logits must be an array of numbers, but this tensor is none: "):
                Samples(tensor, [0, 1])
    for listed in ([dense, dense], (plain.bfloat16(), plain)):
        with pytest.raises(
            TypeError, match=r"logits must be one array, but is a (list|tuple) of 2 tensors.*torch\.cat"
        ):
            Samples(listed, [0, 1, 0, 1])


def test_names_of_sets_are_text(capture):
    for name in (1, None, ("a", "b")):
        with pytest.raises(TypeError, match="A name in ood must be text, but is"):
            capture.replace(ood={name: capture.ood["near"]})
    for name in ("a\0b", "a\ud800", ""):
        with pytest.raises(ValueError, match="A name in ood (must be text that can be written|is an empty name)"):
            capture.replace(ood={name: capture.ood["near"]})
        with pytest.raises(ValueError, match="A name in extra_scores (must be text that can be written|is an empty)"):
            replace(capture.test, extra_scores={name: np.zeros(len(capture.test))})
    with pytest.raises(TypeError, match="A name in extra_scores must be text, but is 1. Write it as such: '1'"):
        replace(capture.test, extra_scores={1: np.zeros(len(capture.test))})
    for field in ("ood", "extra_scores"):
        with pytest.raises(TypeError, match=f"{field} must map names to .*, but is list"):
            replace(capture.test if field == "extra_scores" else capture, **{field: [LOGITS]})


@pytest.mark.parametrize("meta", [{1: "a", "1": "b"}, {"classes": {0: "cat"}}, {"deep": [({None: 1},)]}])
def test_keys_of_meta_are_text_since_json_has_no_others(capture, meta):
    with pytest.raises(TypeError, match="A key of meta must be text, but is .* Write it as such: '"):
        capture.replace(meta=meta)


def test_meta_that_is_no_json_is_refused(capture, tmp_path):
    with pytest.raises(TypeError, match="meta must map names to JSON values, but is list"):
        Capture.from_arrays(LOGITS, np.zeros(20, int), meta=[1], loss="isomax")
    deep = cyclic = {}
    cyclic["again"] = cyclic
    for _ in range(5_000):
        deep = {"a": deep}
    for meta in (cyclic, deep):
        with pytest.raises(ValueError, match="meta must hold JSON values only, but"):
            capture.replace(meta=meta).save(tmp_path / "c.safetensors")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_frozen_stays_frozen(capture, again):
    images, toy = from_arrays(np.zeros((2, 4, 4), np.uint8)), again(load_toy("moons", n=10))
    full = scores.add_column(capture, "mine", {"test": np.ones(60)}).replace(prototypes=np.ones((4, 5)))
    full.test.probabilities, images.fingerprint  # noqa: B018 - derived arrays are frozen, too
    found = again(full)
    assert equal(found, full)
    arrays = [found.test.logits, found.test.labels, found.test.extra_scores["mine"], found.test.probabilities]
    for array in (
        *arrays,
        toy.train,
        toy.ood["ring"],
        found.prototypes,
        found.ood["near"].logits,
        again(images).images,
        again(images).labels,
    ):
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0

"""The captures that travel with the package: complete, readable without PyTorch, and as good as what was recorded."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import isomax_viz as iv
from isomax_viz import scores
from isomax_viz.captures import examples
from isomax_viz.captures.examples import EXAMPLES, load_example
from isomax_viz.catalog import style

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = ROOT / "data" / "captures"
LOSSES = ["softmax", "isomax", "isomax+", "isomax2"]


@pytest.fixture(scope="module")
def digits():
    return load_example("digits")


def test_every_example_is_there_and_described():
    folders = {path.name for path in CAPTURES.iterdir() if path.is_dir()}
    assert folders == set(EXAMPLES)
    headings = re.findall(r"^## (\S+)", (CAPTURES / "README.md").read_text(encoding="utf-8"), re.M)
    assert set(headings) >= set(EXAMPLES)
    assert sum(path.stat().st_size for path in CAPTURES.rglob("*")) < 20e6
    assert sum(path.stat().st_size for path in CAPTURES.parent.glob("*/*/*")) < 40e6  # with the networks
    assert sum(path.stat().st_size for path in (CAPTURES / "digits").iterdir()) < 4e6


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_experiment_behind_each_capture_can_be_run_again(name):
    for capture in load_example(name):
        assert iv.Experiment.from_meta(capture.meta).id == capture.meta["id"]


def test_the_digits_come_in_the_order_that_notebooks_show(digits):
    assert [(capture.loss, capture.meta["seed"]) for capture in digits] == [(x, s) for x in LOSSES for s in (0, 1, 2)]
    chosen = load_example("digits", loss=["isomax+", "isomax"], seed=(1, 2))
    assert [(capture.loss, capture.meta["seed"]) for capture in chosen] == [(x, s) for x in LOSSES[1:3] for s in (1, 2)]
    assert len(iv.load_example("digits", seed=np.int64(1))) == len(LOSSES)
    assert len(load_example("digits", backbone="small_cnn", seed=0)) == 4


def test_the_digits_are_what_their_readme_says(digits):
    labels = iv.datasets.load_id("digits").test.labels
    for capture in digits:
        assert set(capture.ood) == {"letters", "patches", "gaussian", "uniform"} and capture.train is None
        assert capture.meta["stored_as"] == "float16" and capture.meta["preset"] == "teaching"
        assert np.array_equal(capture.test.labels, labels)  # the n-th sample is the n-th embedded picture
        assert capture.history["epoch"].max() == 30 and capture.prototypes.shape == (10, 128)
        assert capture.test.logits.dtype == np.float32 and capture.test.labels.dtype == np.int64
        carrying = {name for name, samples in capture.samples.items() if samples.features is not None}
        assert carrying == ({"test", "letters", "patches"} if capture.meta["seed"] == 0 else set())
    accuracy = {loss: np.mean([c.test.accuracy for c in digits if c.loss == loss]) for loss in LOSSES}
    readme = (CAPTURES / "README.md").read_text(encoding="utf-8")
    told = re.search(r"SoftMax ([\d.]+) %, IsoMax ([\d.]+) %, IsoMax\+ ([\d.]+) %, IsoMax2 ([\d.]+) %", readme).groups()
    assert [f"{100 * value:.1f}" for value in accuracy.values()] == list(told)


def test_the_pictures_of_the_digits_are_those_that_were_recorded(digits):
    known = iv.datasets.load_id("digits").test
    for name, told in digits[0].meta["ood"].items():
        assert iv.datasets.load_ood(name, known).fingerprint == told["fingerprint"]


def test_the_distances_belong_to_the_features_and_prototypes(digits):
    """An oracle for what is stored: the distances computed again, in float64, from the other arrays of the file."""
    for capture in digits[::3]:
        unit = capture.loss == "isomax+"
        prototypes = capture.prototypes.astype(float)
        prototypes = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True) if unit else prototypes
        for samples in (capture.test, capture.ood["letters"], capture.ood["patches"]):
            features = samples.features.astype(float)
            features = features / np.linalg.norm(features, axis=1, keepdims=True) if unit else features
            distances = np.sqrt(((features[:, None] - prototypes) ** 2).sum(axis=2))
            assert samples.distances == pytest.approx(distances, rel=2e-3, abs=2e-3)


def readme_table(heading: str, *, number: int = -1) -> list[list[str]]:
    """Return the cells of a table below a heading of the README (the last), without its head."""
    section = (CAPTURES / "README.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = section.split("|---|\n")[number].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def last_accuracy(capture: iv.Capture) -> float:
    """Return the accuracy on all test pictures after the last epoch; the capture holds every n-th of them."""
    return capture.history[capture.history["split"] == "test"]["accuracy"].iloc[-1]


def of_seeds(values: list[float], *, sign: str = "") -> str:
    """Return fractions as the README tells those of several seeds: the mean, and each."""
    return f"{100 * np.mean(values):{sign}.1f} ({', '.join(f'{100 * value:{sign}.1f}' for value in values)})"


def test_the_networks_of_cifar10_are_what_their_readme_says():
    captures = load_example("cifar10")
    assert [(c.loss, c.meta["seed"]) for c in captures] == [(loss, seed) for loss in LOSSES for seed in (0, 1, 2)]
    for capture in captures:
        assert list(capture.ood) == ["cifar100", "tinyimagenet_resize", "fooling", "gaussian", "uniform"]
        assert set(capture.meta["ood"]) == set(capture.ood) and capture.train is None
        for key in ("ood", "mean", "std"):  # the same pictures, normalised alike
            assert capture.meta[key] == captures[0].meta[key]
        assert [len(samples) for samples in capture.samples.values()] == [5_000] * 3 + [500] * 3
        assert capture.history["epoch"].max() == 16 and capture.meta["preset"] == "fast"
        columns = {"odin", "mahalanobis", "mahalanobis_features", "knn"}
        columns |= {"vim"} if capture.loss == "softmax" else set()  # it needs a linear last layer
        columns = columns if capture.meta["seed"] == 0 else set()  # detectors of the networks that are shipped
        assert set(capture.meta.get("detectors", ())) == columns
        assert all(set(samples.extra_scores) == columns for samples in capture.samples.values())
    tables = zip(readme_table("cifar10", number=2), readme_table("cifar10"), strict=True)
    for loss, (row, made) in zip(LOSSES, tables, strict=True):
        chosen = load_example("cifar10", loss=loss)
        label, accuracy, _, score, near, _, far, rejected = row
        found = iv.evaluate(chosen, scores=score.lower()).set_index("ood")
        values = [found["AUROC"]["tinyimagenet_resize"], found["AUROC"]["cifar100"]]
        values = [[last_accuracy(c) for c in chosen], *values, found["TNR@TPR95"]["tinyimagenet_resize"]]
        assert label == style.loss_style(loss).label
        assert [of_seeds(v) for v in values] == [accuracy, near, far, rejected]
        assert made[:2] == [label, score]
        assert made[2:5] == [of_seeds(found["AUROC"][name]) for name in ("fooling", "gaussian", "uniform")]
        for cell, name in zip(made[5:], ("tinyimagenet_resize", "cifar100"), strict=True):
            told = iv.compare((chosen, score.lower()), (captures[:3], "es"), ood=name)
            assert cell == ("" if loss == "softmax" else of_seeds(told.per_seed, sign="+"))
            # Beyond the interval over the pictures, and but for one over the seeds too, as the README says.
            assert loss == "softmax" or told.images[0] > 0
            assert (told.low > 0) == (loss != "softmax" and (loss, name) != ("isomax+", "tinyimagenet_resize"))
    readme = " ".join((CAPTURES / "README.md").read_text(encoding="utf-8").split())
    near = {"ood": list(captures[0].ood)[:2]}
    means = [100 * iv.evaluate(captures[:3], scores=key, **near)["AUROC"].mean() for key in ("energy", "gen")]
    assert f"SoftMax has {means[0]:.1f} and {means[1]:.1f} in the mean over seeds and both sets" in readme


def test_the_entropic_scales_are_what_their_readme_says():
    captures = load_example("cifar10-alpha")
    expected = [(loss, scale, seed) for loss in LOSSES[1:3] for scale in (1, 3, 10, 30) for seed in (0, 1)]
    assert [(c.loss, c.meta["entropic_scale"], c.meta["seed"]) for c in captures] == expected
    assert all(list(capture.ood) == ["cifar100", "tinyimagenet_resize"] for capture in captures)
    assert {(c.meta["backbone"], c.history["epoch"].max(), len(c.test)) for c in captures} == {
        ("fast_cnn_small", 5, 2_500)
    }
    for row, (loss, scale) in zip(readme_table("cifar10-alpha"), [e[:2] for e in expected[::2]], strict=True):
        chosen = [c for c in captures if (c.loss, c.meta["entropic_scale"]) == (loss, scale)]
        assert row[:2] == [style.loss_style(loss).label, f"{scale:g}"]
        found = iv.evaluate(chosen, scores="es").set_index("ood")["AUROC"]
        values = [[last_accuracy(capture) for capture in chosen], found["cifar100"], found["tinyimagenet_resize"]]
        assert row[2:] == [of_seeds(seeds) for seeds in values]


def test_networks_of_fewer_pictures_are_what_their_readme_says():
    captures = load_example("cifar10-few")
    expected = [(loss, number) for loss in LOSSES for number in (500, 1_000, 2_000, 5_000)]
    assert [(c.loss, iv.studies.examples_per_class(c)) for c in captures] == expected
    for capture, row in zip(captures, readme_table("cifar10-few"), strict=True):
        found = iv.evaluate(capture, scores="es").set_index("ood")["AUROC"]
        values = [last_accuracy(capture), found["cifar100"], found["tinyimagenet_resize"]]
        names = [style.loss_style(capture.loss).label, f"{capture.meta['examples_per_class']:,}"]
        assert row == names + [f"{100 * value:.1f}" for value in values]
        assert [len(samples) for samples in capture.samples.values()] == [2_500] * 3
    readme = " ".join((CAPTURES / "README.md").read_text(encoding="utf-8").split())
    softmax, isomax2 = captures[:4], captures[-4:]
    gained = [f"{100 * (last_accuracy(b) - last_accuracy(a)):.1f}" for a, b in zip(softmax, isomax2, strict=True)]
    assert f"accuracy {', '.join(gained[:-1])} and {gained[-1]} points" in readme
    found = [iv.compare((b, "es"), (a, "es")) for a, b in zip(softmax, isomax2, strict=True)]
    assert all(f"{100 * t.difference:+.1f} (" in readme and f"{100 * t.high:.1f})" in readme for t in found)


def test_half_precision_does_little_to_the_scores(trained, tmp_path):
    """Recorded here in float32 and stored both ways; the AUROC is scikit-learn's."""
    for capture in trained.values():
        half = iv.Capture.load(capture.save(tmp_path / "half.safetensors", dtype="float16"))
        full = iv.Capture.load(capture.save(tmp_path / "full.safetensors"))
        assert "stored_as" not in full.meta and half.meta == {**full.meta, "stored_as": "float16"}
        assert half.test.accuracy == full.test.accuracy
        for score in ("mps", "es", "mds"):
            values = []
            for one in (full, half):
                parts = [scores.compute(score, one.test), scores.compute(score, one.ood["letters"])]
                known = np.repeat([1, 0], [len(part) for part in parts])
                values.append(roc_auc_score(known, np.concatenate(parts)))
            assert abs(values[0] - values[1]) < 1e-3
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.55 * sizes[1]


@pytest.mark.parametrize("mmap", [False, True])
def test_half_precision_rounds_once_and_loads_as_float32(capture, tmp_path, mmap):
    odin = 0.1 + 1e-5 * np.linspace(0, 1, 60)  # as they lie just above 1 / classes: half precision has 0 or 1 step here
    samples = replace(capture.test, extra_scores={"odin": odin, "short": odin.astype(np.float32)})
    path = capture.replace(test=samples).save(tmp_path / "a.safetensors", dtype="float16")
    loaded = iv.Capture.load(path, mmap=mmap)
    for name in ("logits", "features", "distances"):
        array = getattr(loaded.test, name)
        assert array.dtype == np.float32
        assert np.array_equal(array, getattr(capture.test, name).astype(np.float16).astype(np.float32))
    assert loaded.test.labels.dtype == loaded.test.predictions.dtype == np.int64
    assert np.array_equal(loaded.test.predictions, capture.test.predictions)
    assert loaded.ood["near"].labels.tolist() == [-1] * 40
    for name, column in samples.extra_scores.items():
        found = loaded.test.extra_scores[name]
        assert found.dtype == column.dtype and np.array_equal(found, column)


def test_what_half_precision_can_not_hold_is_refused(tmp_path):
    large = iv.Capture.from_arrays([[70_000.0, 0.0]], [0])
    with pytest.raises(ValueError, match=r"values up to 65,504.*test/logits reaches 70,000. Use dtype='float32'"):
        large.save(tmp_path / "a.safetensors", dtype="float16")
    with pytest.raises(ValueError, match="dtype must be one of 'float32', 'float16', but is 'int8'"):
        large.save(tmp_path / "a.safetensors", dtype="int8")
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_is_told(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="name must be one of 'digits'.*but is 'digit'. Did you mean 'digits'"):
        load_example("digit")
    with pytest.raises(ValueError, match="loss must be one of 'softmax', .* in this example, but is 'dismax'"):
        load_example("digits", loss="dismax")
    with pytest.raises(ValueError, match="seed must be one of 0, 1, 2 in this example, but is 7. Train others"):
        load_example("digits", seed=7)
    monkeypatch.setattr(examples, "data_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no captures in .*digits.*record_examples"):
        load_example("digits")


def test_figures_tables_and_widget_of_an_example_need_no_torch():
    code = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "pytorch_ood")))  # importing them fails
import isomax_viz as iv
captures = iv.load_example("digits", seed=0)
iv.plot_grid(iv.plot_logits, captures, ood="letters")._repr_png_()
iv.plot_feature_space(captures[2], ood="letters")._repr_png_()
iv.plot_training(captures)._repr_png_()
iv.explore(captures)
print(len(iv.evaluate(captures)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.strip() == str(4 * 4 * 3), done.stderr

"""Experiment, training, recording and store: real smoke trainings on the digits."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from isomax_viz import CaptureError, Experiment, datasets
from isomax_viz.captures.samples import Samples
from isomax_viz.learning.training import loop as training
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.hardware import choose_device
from isomax_viz.learning.training.history import EpochRecord
from isomax_viz.learning.training.loop import TrainingError, train
from isomax_viz.learning.training.protocols import PRESETS
from isomax_viz.store.folder import Store, StoreError, default_folder
from tests.conftest import LOSSES

SMOKE = {"preset": "smoke", "examples_per_class": 10}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "isomx"}, "loss must be one of 'softmax', 'isomax', 'isomax.', 'isomax2'.*Did you mean 'isomax'"),
        ({"loss": "isomaxplus"}, r"is 'isomaxplus'. Did you mean 'isomax\+'"),
        (
            {"data": "digitz"},
            "data must be one of 'digits'.*Did you mean 'digits'.*your own.*loop.train",
        ),
        ({"backbone": "huge"}, "backbone must be one of 'small_cnn'"),
        ({"preset": "swift"}, "preset must be one of 'smoke', 'teaching', 'quick', 'fast', 'paper', but is 'swift'"),
        ({"entropic_scale": 0}, "entropic_scale must be a number above 0, but is 0"),
        ({"entropic_scale": float("nan")}, "entropic_scale must be a number above 0, but is nan"),
        ({"entropic_scale": "ten"}, "entropic_scale must be a number above 0, but is 'ten'"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": 2**70}, "seed must be a whole number of at least 0 and of at most 4294967295"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"held_out_classes": (10,)}, r"held_out_classes must lie in 0 .. 9 for 'digits', but holds \[10\]"),
        ({"held_out_classes": tuple(range(9))}, "leaves 1 of 10 classes"),
        ({"alpha": 3}, "Experiment has no setting 'alpha'; it has data, backbone, loss, entropic_scale"),
    ],
)
def test_impossible_experiments_say_what_is_accepted(settings, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**settings)


def test_the_id_covers_what_determines_the_network_and_nothing_else():
    base = Experiment()
    assert base.id == Experiment(data="digits", loss="isomax+").id
    changes = [{"loss": "isomax"}, {"seed": 1}, {"entropic_scale": 3}, {"preset": "smoke"}, {"epochs": 3}]
    changes += [{"held_out_classes": (8, 9)}]
    assert len({base.id, *(Experiment(**change).id for change in changes)}) == 1 + len(changes)
    assert Experiment(held_out_classes=(9, 8)).id == Experiment(held_out_classes=[8, 9, 9]).id
    for loss in ("softmax", "isomax2"):  # they have no entropic scale
        assert Experiment(loss=loss, entropic_scale=3).id == Experiment(loss=loss).id
    assert Experiment(epochs=30).id == base.id  # what the preset says anyway


def test_ids_of_earlier_versions_stay_what_they_were():
    """A new setting must not orphan what lies in people's stores: it counts only where it is used."""
    assert Experiment().id == "digits-small_cnn-isomax+-teaching-s0-0ba657bfd8"
    assert Experiment(loss="isomax2", preset="smoke").id == "digits-small_cnn-isomax2-smoke-s0-aa7dbc1ead"
    assert Experiment(loss="softmax", similarity="inner", distance="cosine").id == Experiment(loss="softmax").id


def test_json_round_trip():
    experiment = Experiment(loss="isomax", entropic_scale=2.5, held_out_classes=(3, 1), epochs=4)
    assert Experiment.from_json(experiment.to_json()) == experiment
    with pytest.raises(ValueError, match="This is no JSON"):
        Experiment.from_json("{")
    with pytest.raises(ValueError, match="An experiment is a JSON object"):
        Experiment.from_json("[1]")


def test_milestones_move_with_the_epochs():
    assert Experiment(epochs=6).protocol.milestones == (3, 4, 5)
    assert PRESETS["paper"].milestones == (150, 200, 250) and PRESETS["paper"].epochs == 300


def test_the_same_experiment_gives_the_same_numbers_twice(trained, tmp_path):
    again = Experiment(loss="isomax+", preset="smoke").run(store=tmp_path, progress=False)
    first = trained["isomax+"]
    for name, samples in first.samples.items():
        assert np.array_equal(samples.logits, again.samples[name].logits), name
        assert np.array_equal(samples.features, again.samples[name].features), name
    assert first.history.equals(again.history)
    assert not np.array_equal(
        first.test.logits,
        Experiment(loss="isomax+", preset="smoke", seed=1).run(store=tmp_path, progress=False).test.logits,
    )


def test_global_random_state_is_left_alone(tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    Experiment(loss="isomax", **SMOKE).run(ood="uniform", store=tmp_path, progress=False)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_capture_says_what_the_network_says(trained, loss, session_store):
    capture = trained[loss]
    experiment = Experiment(loss=loss, preset="smoke")
    model = experiment.network(store=session_store)
    data = datasets.load_id("digits")
    assert tuple(capture.ood) == datasets.default_ood("digits")
    for name in ("test", "letters"):
        images = data.test if name == "test" else datasets.load_ood(name, data)
        # Normalised by hand: an oracle for the pipeline of the recording.
        pixels = (images.images[:50] / 255 - data.mean) / data.std
        with torch.no_grad():
            features = model.backbone(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
            logits = model.head(features)
        samples = capture.samples[name]
        assert samples.features[:50] == pytest.approx(features.numpy(), rel=1e-4, abs=1e-4)
        assert samples.logits[:50] == pytest.approx(logits.numpy(), rel=1e-4, abs=1e-3)
        assert np.array_equal(samples.predictions[:50], model.head.class_logits(logits).argmax(dim=1).numpy())
        assert samples.labels[:50].tolist() == (images.labels[:50].tolist() if name == "test" else [-1] * 50)
    if loss == "softmax":
        train = capture.train
        means = [train.features[train.labels == k].astype(float).mean(axis=0) for k in range(10)]
        distances = np.linalg.norm(capture.test.features[:, None].astype(float) - means, axis=2)
        assert "class means" in capture.meta["distances"]
    else:
        prototypes, features = capture.prototypes.astype(float), capture.test.features.astype(float)
        if loss == "isomax+":
            prototypes = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
            features = features / np.linalg.norm(features, axis=1, keepdims=True)
        distances = np.linalg.norm(features[:, None] - prototypes, axis=2)
    assert capture.test.distances == pytest.approx(distances, rel=1e-3, abs=1e-3)
    assert capture.meta["loss"] == loss and capture.meta["preset"] == "smoke"
    assert capture.meta["entropic_scale"] == (10.0 if loss in ("isomax", "isomax+") else None)
    assert capture.meta["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("loss", LOSSES)
def test_the_history_equals_what_the_final_capture_gives(trained, loss):
    """The last epoch's test row, computed by running sums, against the recorded logits in float64."""
    capture = trained[loss]
    row = capture.history.query("split == 'test'").iloc[-1]
    test = capture.test
    assert row["accuracy"] == pytest.approx(test.accuracy)
    assert row["entropy"] == pytest.approx(test.entropies.mean(dtype=float), rel=1e-4)
    assert row["max_probability"] == pytest.approx(test.max_probabilities.mean(dtype=float), rel=1e-4)
    assert row["intra_logit_mean"] == pytest.approx(test.intra_logits.mean(dtype=float), rel=1e-4)
    assert row["intra_logit_std"] == pytest.approx(test.intra_logits.std(dtype=float), rel=1e-3)
    assert row["inter_logit_mean"] == pytest.approx(test.inter_logits.mean(dtype=float), rel=1e-4)
    assert row["inter_logit_std"] == pytest.approx(test.inter_logits.std(dtype=float), rel=1e-3)
    assert row["cross_entropy"] == pytest.approx(row["loss"], rel=1e-5)
    assert list(capture.history["epoch"]) == [1, 1, 2, 2]
    assert list(capture.history["learning_rate"].round(6)) == [0.1, 0.1, 0.01, 0.01]
    learned = {"isomax+": {"distance_scale"}, "isomax2": {"scale_mean", "scale_std", "tilt_mean", "tilt_std"}}
    scales = set(capture.history.columns[capture.history.columns.str.contains("scale|tilt")])
    assert scales == learned.get(loss, set())


def test_epoch_record_against_numpy(rng):
    from isomax_viz.learning.losses import IsoMaxHead

    head, record = IsoMaxHead(3, 4), EpochRecord()
    logits, targets = torch.from_numpy(rng.normal(size=(30, 4))).float(), torch.from_numpy(rng.integers(0, 4, 30))
    for part in (slice(0, 20), slice(20, 30)):  # batches of unequal size
        class_logits = head.class_logits(logits[part])
        record.add(logits[part], class_logits, targets[part], head.loss(logits[part], targets[part]))
    summary = record.summary()
    assert summary["loss"] == pytest.approx(head.loss(logits, targets).item(), rel=1e-5)
    samples = Samples(logits=logits, labels=targets)
    assert summary["entropy"] == pytest.approx(samples.entropies.mean(), rel=1e-5)
    assert summary["inter_logit_std"] == pytest.approx(samples.inter_logits.std(), rel=1e-4)


def test_ood_sets_join_the_stored_capture_without_retraining(tmp_path, monkeypatch):
    experiment = Experiment(loss="isomax", **SMOKE)
    first = experiment.run(ood="uniform", store=tmp_path, progress=False)
    assert list(first.ood) == ["uniform"]
    monkeypatch.setattr("isomax_viz.experiments.run.train", lambda *a, **k: pytest.fail("trained again"))
    second = experiment.run(ood=("letters", "uniform"), store=tmp_path, progress=False)
    assert list(second.ood) == ["letters", "uniform"]
    assert np.array_equal(second.ood["uniform"].logits, first.ood["uniform"].logits)
    mine = datasets.from_arrays(np.full((5, 16, 20, 3), 200, np.uint8), name="mine")
    third = experiment.run(ood=[mine], store=tmp_path, progress=False)
    assert len(third.ood["mine"]) == 5 and third.meta["ood"]["mine"]["fingerprint"] == mine.fingerprint
    # Other pictures under the same name are other data: recorded afresh, never mistaken for the stored ones.
    other = datasets.from_arrays(np.full((7, 8, 8, 1), 10, np.uint8), name="mine")
    assert len(experiment.run(ood=[other], store=tmp_path, progress=False).ood["mine"]) == 7
    assert set(Store(tmp_path).capture(experiment.id).ood) == {"letters", "uniform", "mine"}


def test_a_stored_network_is_built_without_its_data(tmp_path, monkeypatch):
    experiment = Experiment(loss="isomax", held_out_classes=(8, 9), **SMOKE)
    capture = experiment.run(ood="uniform", store=tmp_path, progress=False)
    monkeypatch.setattr(datasets, "load_id", lambda *a, **k: pytest.fail("loaded the data"))
    network = experiment.network(store=tmp_path)
    features = torch.from_numpy(np.array(capture.test.features))
    assert not network.training
    assert network.head(features).detach().numpy() == pytest.approx(capture.test.logits, rel=1e-4, abs=1e-4)


def test_held_out_classes_become_the_unseen_set(tmp_path):
    experiment = Experiment(loss="isomax", held_out_classes=(8, 9), **SMOKE)
    capture = experiment.run(ood=("unseen",), store=tmp_path, progress=False)
    assert capture.test.classes == 8 and len(capture.meta["classes"]) == 8
    assert len(capture.ood["unseen"]) > 50 and set(capture.ood["unseen"].labels) == {-1}
    with pytest.raises(ValueError, match=r"needs classes to train without: Experiment\(held_out_classes"):
        Experiment(**SMOKE).run(ood="unseen", store=tmp_path)


def test_unknown_ood_sets_are_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("isomax_viz.experiments.run.train", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ValueError, match="ood must be one of .*'letters'.*Did you mean 'letters'"):
        Experiment(**SMOKE).run(ood=["leters"], store=tmp_path)


def test_a_damaged_capture_is_recorded_again_from_the_stored_network(tmp_path, caplog):
    experiment = Experiment(loss="isomax2", **SMOKE)
    first = experiment.run(ood="uniform", store=tmp_path, progress=False)
    path = tmp_path / experiment.id / "capture.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CaptureError, match="is damaged and was not read"):
        Store(tmp_path).capture(experiment.id)
    with caplog.at_level(logging.WARNING):
        again = experiment.run(ood="uniform", store=tmp_path, progress=False)
    assert "recorded again" in caplog.text
    assert np.array_equal(again.test.logits, first.test.logits) and again.history.equals(first.history)
    assert np.array_equal(again.ood["uniform"].logits, first.ood["uniform"].logits)


def test_damaged_weights_and_manifests_are_refused(tmp_path):
    experiment = Experiment(loss="isomax", **SMOKE)
    experiment.run(ood="uniform", store=tmp_path, progress=False)
    folder = tmp_path / experiment.id
    weights = bytearray((folder / "network.safetensors").read_bytes())
    weights[-5] ^= 1
    (folder / "network.safetensors").write_bytes(weights)
    with pytest.raises(StoreError, match="checksum does not match.*Delete the folder"):
        experiment.network(store=tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(StoreError, match="format version 99.*Update isomax_viz"):
        experiment.run(store=tmp_path)
    (folder / "manifest.json").write_text('{"format": "isomax_viz.run"')
    with pytest.raises(StoreError, match="is damaged"):
        experiment.run(store=tmp_path)


def test_a_store_that_can_not_be_written_says_so_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("isomax_viz.experiments.run.train", lambda *a, **k: pytest.fail("trained for nothing"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="can't be written: .*set ISOMAX_VIZ_STORE"):
        Experiment(**SMOKE).run(store=tmp_path / "file")


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no write permission there")
def test_a_read_only_store_says_so_and_can_still_be_read(tmp_path):
    """In a process without root's rights, which ignore permissions."""
    experiment = Experiment(loss="isomax", **SMOKE)
    experiment.run(ood="uniform", store=tmp_path / "store", progress=False)
    (tmp_path / "store").chmod(0o555)
    (tmp_path / "store" / ".locks").chmod(0o555)
    code = f"""
import os
from isomax_viz import Experiment
from isomax_viz.store import StoreError
settings = {{"loss": "isomax", **{SMOKE}}}
Experiment(**settings).run(ood="uniform", store={str(tmp_path / "store")!r})  # imports all it needs
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
print(Experiment(**settings).run(ood="uniform", store={str(tmp_path / "store")!r}))
try:
    Experiment(seed=1, **settings).run(ood="uniform", store={str(tmp_path / "store")!r})
except StoreError as error:
    print(error)
"""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder.name.startswith(("pytest", "popen", "test")):
            folder.chmod(folder.stat().st_mode | 0o055)
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    finally:
        (tmp_path / "store").chmod(0o755)
        (tmp_path / "store" / ".locks").chmod(0o755)
    assert "Capture(IsoMax" in done.stdout, done.stderr
    assert "can't be written: Permission denied" in done.stdout, done.stdout + done.stderr


def test_two_who_ask_for_the_same_experiment_train_it_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("isomax_viz.experiments.run.train", lambda *a, **k: (calls.append(1), train(*a, **k))[1])
    captures = []
    threads = [
        threading.Thread(
            target=lambda: captures.append(Experiment(**SMOKE).run(ood="uniform", store=tmp_path, progress=False))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len(calls) == 1 and len(captures) == 2
    assert np.array_equal(captures[0].test.logits, captures[1].test.logits)


def test_nothing_is_left_when_training_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(training.EpochRecord, "summary", lambda self: {"loss": float("nan")})
    with pytest.raises(TrainingError, match="became nan in epoch 1 at learning rate 0.1. Try a lower learning rate"):
        Experiment(**SMOKE).run(store=tmp_path, progress=False)
    assert Store(tmp_path).ids() == []
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_ids_can_not_lead_out_of_the_store(tmp_path):
    for name in ("../x", "/etc", "a/b", "", ".hidden", "a\x00"):
        with pytest.raises(ValueError, match="is no experiment id"):
            Store(tmp_path).path(name)


def test_the_store_lists_and_removes(tmp_path):
    experiment = Experiment(loss="isomax", **SMOKE)
    experiment.run(ood="uniform", store=tmp_path, progress=False)
    store = Store(tmp_path)
    assert store.ids() == [experiment.id] and experiment.id in store
    assert repr(store).endswith("1 experiments)")
    store.remove(experiment.id)
    assert store.ids() == [] and experiment.id not in store
    with pytest.raises(StoreError, match="There is no experiment"):
        experiment.network(store=store)


def test_the_default_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ISOMAX_VIZ_STORE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    monkeypatch.delenv("ISOMAX_VIZ_STORE")
    assert default_folder().name == "runs"


def test_devices():
    assert choose_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device must be one of 'cpu'.*Leave it out"):
            choose_device("cuda")


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(ValueError, match="device must be one of 'cuda', 'cuda:0', 'cpu', but is 'cuda:7'"):
        choose_device("cuda:7")


def test_augmentation_shifts_and_mirrors_whole_pictures():
    images = datasets.from_arrays(np.random.default_rng(0).integers(1, 256, (40, 6, 5, 3), dtype=np.uint8))
    on_device = Batches(images, mean=np.zeros(3), std=np.ones(3), device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    batches = list(on_device.shuffled(16, generator=generator, padding=2, flip=True))
    assert [len(targets) for _, targets in batches] == [16, 16, 8]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    pictures = torch.cat([pictures for pictures, _ in batches]) * 255
    shifts, mirrored = set(), 0
    for picture, index in zip(pictures.round().byte().numpy(), order, strict=True):
        padded = np.pad(np.moveaxis(images.images[index], 2, 0), ((0, 0), (2, 2), (2, 2)))
        found = [
            (row, column, flip)
            for row in range(5)
            for column in range(5)
            for flip in (False, True)
            if np.array_equal(
                picture,
                np.pad(np.moveaxis(images.images[index], 2, 0)[:, :, :: -1 if flip else 1], ((0, 0), (2, 2), (2, 2)))[
                    :, row : row + 6, column : column + 5
                ],
            )
        ]
        assert found, padded.shape
        shifts.add(found[0][:2])
        mirrored += found[0][2]
    assert len(shifts) > 12 and 8 < mirrored < 32


def test_normalisation_uses_the_id_statistics():
    data = datasets.load_id("digits")
    on_device = Batches(data.train, mean=data.mean, std=data.std, device=torch.device("cpu"))
    pictures = torch.cat([pictures for pictures, _ in on_device.in_order(500)])
    assert pictures.mean().item() == pytest.approx(0, abs=1e-5)
    assert pictures.std().item() == pytest.approx(1, abs=1e-3)


def test_a_copy_is_another_experiment_and_is_validated():
    first = Experiment(seed=0)
    assert first.id and first.model_copy(update={"seed": 5}).id == Experiment(seed=5).id
    with pytest.raises(ValueError, match="loss must be one of"):
        first.model_copy(update={"loss": "foo"})
    assert Experiment(held_out_classes=8).held_out_classes == (8,)


def test_own_pictures_can_not_take_the_name_of_another_set(tmp_path, monkeypatch):
    monkeypatch.setattr("isomax_viz.experiments.run.train", lambda *a, **k: pytest.fail("trained"))
    for name in ("letters", "test"):
        mine = datasets.from_arrays(np.zeros((3, 8, 8, 1), np.uint8), name=name)
        with pytest.raises(ValueError, match=f"An ImageSet named '{name}' would be taken for another set.*Rename it"):
            Experiment(**SMOKE).run(ood=[mine], store=tmp_path)
    mine = datasets.from_arrays(np.zeros((3, 8, 8, 1), np.uint8), name="mine")
    with pytest.raises(ValueError, match="Rename it"):
        Experiment(**SMOKE).run(ood=[mine, mine], store=tmp_path)
    with pytest.raises(TypeError, match="ood must be the name of a set, an ImageSet, or several of them, but is 5"):
        Experiment(**SMOKE).run(ood=5, store=tmp_path)


def test_a_capture_of_a_newer_version_is_refused_not_replaced(tmp_path, monkeypatch):
    experiment = Experiment(loss="isomax", **SMOKE)
    experiment.run(ood="uniform", store=tmp_path, progress=False)
    path = tmp_path / experiment.id / "capture.safetensors"
    monkeypatch.setattr("isomax_viz.captures.files.FORMAT_VERSION", 2)
    Store(tmp_path).capture(experiment.id).save(path)
    before = path.read_bytes()
    monkeypatch.setattr("isomax_viz.captures.files.FORMAT_VERSION", 1)
    with pytest.raises(CaptureError, match="Update isomax_viz"):
        experiment.run(ood="uniform", store=tmp_path, progress=False)
    assert path.read_bytes() == before

"""Preset "fast": whitening, start as identities, alternating flips, reflected crops, the triangular rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from isomax_viz import Experiment, datasets
from isomax_viz.learning.backbones import Classifier, FastCNN, fast_cnn, fast_cnn_small, small_cnn
from isomax_viz.learning.losses import IsoMaxPlusHead
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.checkpoint import Checkpoint
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.protocols import PRESETS, Protocol, Recipe, protocol_for
from isomax_viz.learning.training.start import held_out_split, optimizer_for

CPU = torch.device("cpu")
FAST = replace(PRESETS["fast"].with_epochs(3), batch_size=32, validation=0.25)


@pytest.fixture(scope="module")
def data():
    return datasets.load_id("digits").with_examples_per_class(12, seed=0)


def network(seed=0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(FastCNN(1, widths=(8, 8, 12)), IsoMaxPlusHead(12, 10))


def second_moments(pictures: np.ndarray) -> np.ndarray:
    """Of all 2x2 patches, each a vector of (channel, row, column)."""
    n, _, height, width = pictures.shape
    patches = [
        pictures[i, :, y : y + 2, x : x + 2].ravel()
        for i in range(n)
        for y in range(height - 1)
        for x in range(width - 1)
    ]
    return np.mean([np.outer(patch, patch) for patch in patches], axis=0)


def test_whitening_equals_an_eigen_decomposition_by_numpy(rng):
    noise = rng.normal(size=(6, 3, 9, 7))
    pictures = noise + 0.7 * np.roll(noise, 1, axis=3) + 0.4 * np.roll(noise, 1, axis=1)  # neighbours are alike
    backbone = FastCNN(widths=(8, 8, 8))
    backbone.whiten(torch.from_numpy(pictures).float())
    filters = backbone.whitening.weight.numpy().reshape(24, 12).astype(float)
    variances, axes = np.linalg.eigh(second_moments(pictures))
    assert np.allclose(filters[12:], -filters[:12])
    for found, variance, axis in zip(filters[:12], variances[::-1], axes.T[::-1], strict=True):
        expected = axis / np.sqrt(variance + 5e-4)
        assert np.allclose(found, expected, atol=1e-3) or np.allclose(found, -expected, atol=1e-3)
    white = filters[:12] @ second_moments(pictures) @ filters[:12].T
    assert np.allclose(white, np.diag(variances[::-1] / (variances[::-1] + 5e-4)), atol=1e-3)


def test_filters_come_from_the_learned_pictures_alone_and_stay_as_they_are(data):
    model = network()
    train(model, data, FAST, seed=4, device=CPU, progress=False)
    learned, _ = held_out_split(data.train, 0.25, seed=4)
    twin = FastCNN(1, widths=(8, 8, 12))
    twin.whiten(
        torch.cat([pictures for pictures, _ in Batches(learned, mean=data.mean, std=data.std, device=CPU).in_order()])
    )
    torch.testing.assert_close(model.backbone.whitening.weight, twin.whitening.weight)
    fewer = network()
    train(fewer, data, replace(FAST, whitening=3), seed=4, device=CPU, progress=False)
    assert not torch.allclose(fewer.backbone.whitening.weight, twin.whitening.weight)


def test_convolutions_start_by_passing_their_channels_on(data):
    model = network()
    train(model, data, replace(FAST, learning_rate=0.0), device=CPU, progress=False)
    group = model.backbone.groups[2]
    maps = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(group.conv1(maps)[:, :8], maps)
    assert not torch.allclose(group.conv1(maps)[:, 8:], torch.zeros(()))  # what is added starts at random


def test_scales_of_batch_normalisation_stay_and_its_biases_learn_faster(data):
    """One step from the same start; the decay is left out, so that the steps differ by the factor alone."""
    protocol = replace(FAST, epochs=1, batch_size=len(data.train), validation=0.0, identity_start=False)
    protocol = replace(protocol, momentum=0.5, weight_decay=0.0)
    steps = {}
    for factor in (1.0, 8.0):
        model = network()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        train(model, data, replace(protocol, biases_learning_rate=factor), device=CPU, progress=False)
        steps[factor] = {name: value - before[name] for name, value in model.state_dict().items()}
    for name, step in steps[1.0].items():
        if name.endswith(("norm1.weight", "norm2.weight")):
            assert not step.any() and not steps[8.0][name].any()
        elif "running" not in name and "batches" not in name and "whitening" not in name:
            assert step.any()
            torch.testing.assert_close(steps[8.0][name], step * (8 if "norm" in name else 1), rtol=1e-3, atol=1e-6)
    free = network()
    train(free, data, replace(protocol, fixed_scales=False), device=CPU, progress=False)
    assert (free.backbone.groups[0].norm1.weight != 1).any()


def test_a_bias_that_learns_faster_decays_no_faster(data):
    model = network()
    rates = {len(group["params"]): group for group in optimizer_for(model, PRESETS["fast"]).param_groups}
    plain, biases = rates[len(list(model.parameters())) - 6], rates[6]
    factor = PRESETS["fast"].biases_learning_rate
    assert biases["lr"] == factor * plain["lr"] and biases["initial_lr"] == biases["lr"]
    assert biases["lr"] * biases["weight_decay"] == pytest.approx(plain["lr"] * plain["weight_decay"])
    assert {id(bias) for bias in biases["params"]} == {id(p) for n, p in model.named_parameters() if n.endswith("bias")}


def test_flips_alternate_from_epoch_to_epoch(rng):
    images = datasets.from_arrays(rng.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8), np.arange(40) % 2)
    batches = Batches(replace(images, labels=np.arange(40) % 2), mean=np.zeros(3), std=np.full(3, 1 / 255), device=CPU)
    generator, mirrored = torch.Generator().manual_seed(3), []
    plain = {image.transpose(2, 0, 1).tobytes(): i for i, image in enumerate(images.images)}
    turned = {image[:, ::-1].transpose(2, 0, 1).tobytes(): i for i, image in enumerate(images.images)}
    for epoch in (1, 2, 3, 4):
        seen = {}
        for pictures, _ in batches.shuffled(16, generator=generator, flip="alternating", epoch=epoch):
            for picture in pictures.round().byte().numpy():
                key = picture.tobytes()
                seen[plain.get(key, turned.get(key))] = key in turned
        assert sorted(seen) == list(range(40))
        mirrored.append(np.array([seen[i] for i in range(40)]))
    assert 10 < mirrored[0].sum() < 30
    assert np.array_equal(mirrored[1], ~mirrored[0]) and np.array_equal(mirrored[2], mirrored[0])
    assert np.array_equal(mirrored[3], mirrored[1])


def test_reflected_crops_are_those_of_numpy(rng):
    images = datasets.from_arrays(rng.integers(0, 256, (60, 6, 5, 1), dtype=np.uint8))
    batches = Batches(images, mean=np.zeros(1), std=np.full(1, 1 / 255), device=CPU)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    ((pictures, _),) = batches.shuffled(60, generator=generator, padding=2, reflect=True)
    places = set()
    for picture, index in zip(pictures.round().byte().numpy()[:, 0], order, strict=True):
        wide = np.pad(images.images[index, :, :, 0], 2, mode="reflect")
        crops = {(y, x): wide[y : y + 6, x : x + 5] for y in range(5) for x in range(5)}
        places.add(next(place for place, crop in crops.items() if np.array_equal(crop, picture)))
    assert len(places) > 15


def test_the_rate_is_a_triangle():
    protocol = PRESETS["fast"].with_epochs(10)
    rates = [protocol.learning_rate * protocol.learning_rate_factor(epoch, 0.5) for epoch in range(1, 11)]
    assert rates == pytest.approx([0.1, 0.3, 0.375, 0.325, 0.275, 0.225, 0.175, 0.125, 0.075, 0.025])
    assert protocol.learning_rate_factor(10, 1.0) == 0


def test_it_goes_on_from_its_checkpoint_to_the_same_numbers(data, tmp_path, monkeypatch):
    options = {"seed": 3, "padding": 1, "flip": True, "device": CPU, "progress": False}
    whole, begun, resumed = network(), network(), network(seed=9)
    history = train(whole, data, FAST, **options)
    path, keep = tmp_path / "c.safetensors", Checkpoint.keep
    # Killed after two epochs: the rate depends on the length of the whole.
    monkeypatch.setattr(Checkpoint, "keep", lambda self, state: keep(self, state) if state.epoch < 3 else None)
    train(begun, data, FAST, checkpoint=Checkpoint(path, every_s=0), **options)
    again = train(resumed, data, FAST, checkpoint=Checkpoint(path, every_s=0), **options)
    assert again.equals(history)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_sizes_are_those_that_are_told():
    sizes = [sum(p.numel() for p in make().parameters()) for make in (fast_cnn, fast_cnn_small)]
    # The fixed filters, three groups of two convolutions, and two normalisations each.
    by_hand = [
        24 * 12 + sum(9 * (a * b + b * b) + 4 * b for a, b in ((24, first), (first, other), (other, other)))
        for first, other in ((64, 256), (32, 128))
    ]
    assert sizes == by_hand and [round(size / 1e6, 1) for size in sizes] == [2.0, 0.5]
    for side in (4, 8, 17, 32):
        assert fast_cnn_small(1)(torch.zeros(2, 1, side, side)).shape == (2, 128)


def test_tricks_of_the_first_layer_belong_to_networks_that_have_one(data):
    assert protocol_for("fast", data="cifar10", backbone="fast_cnn", loss="isomax") == PRESETS["fast"]
    other = protocol_for("fast", data="cifar10", backbone="small_cnn", loss="isomax")
    assert (other.whitening, other.identity_start, other.alternating_flips) == (0, False, True)
    assert (other.fixed_scales, other.biases_learning_rate) == (False, 1.0)
    tuned = Recipe("energy", "noise", 0.1, margins=(-25.0, -7.0)).protocol(PRESETS["fast"])
    assert (tuned.fixed_scales, tuned.biases_learning_rate) == (True, 1.0)
    model = Classifier(small_cnn(1), IsoMaxPlusHead(128, 10))
    with pytest.raises(ValueError, match="whitening=5000 needs a backbone with a method whiten.*SmallCNN has none"):
        train(model, data, PRESETS["fast"], device=CPU, progress=False)


def test_what_is_not_used_is_not_described():
    assert set(PRESETS["paper"].described()) == {
        "epochs", "milestones", "batch_size", "learning_rate", "momentum", "weight_decay", "augment", "warmup_epochs",
        "one_cycle", "scales_learning_rate", "scales_weight_decay", "select", "validation",
    }  # fmt: skip
    changes = [{"rise": 0.3}, {"padding": 1}, {"reflect": True}, {"alternating_flips": True}, {"whitening": 1}]
    changes += [{"identity_start": True}, {"fixed_scales": True}, {"biases_learning_rate": 2.0}, {}]
    described = [str(replace(Protocol(1, ()), **change).described()) for change in changes]
    assert len(set(described)) == 9


def test_an_experiment_with_the_preset(tmp_path):
    experiment = Experiment(
        backbone="fast_cnn_small", preset="fast", epochs=2, examples_per_class=20, loss="isomax2", precision="bfloat16"
    )
    capture = experiment.run("uniform", store=tmp_path, progress=False)
    assert capture.meta["protocol"]["whitening"] == 5000 and capture.meta["protocol"]["padding"] == 2
    assert capture.test.accuracy > 0.2

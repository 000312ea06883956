"""Folding: the same features with fewer passes, and only where that is certain."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.backbones import BACKBONES, CIFARResNet, Classifier, small_cnn
from isomax_viz.learning.losses import IsoMaxPlusHead
from isomax_viz.learning.recording import network as recording
from isomax_viz.learning.recording.network import folded, record_samples, with_distances_to
from isomax_viz.learning.training.batches import Batches, inference_batch

# How many batch normalisations stay: DenseNets normalise what they have joined, before the convolution.
STAY = {"small_cnn": 0, "resnet34": 0, "resnet110": 0, "densenet_bc100": 48 + 2 + 1}


def trained(network: nn.Module) -> nn.Module:
    """Return the network with weights and running statistics as a training leaves them: none is 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                tensor.data.uniform_(low, high, generator=generator)
    return network.eval()


def normalisations(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", BACKBONES)
def test_folded_networks_agree_with_the_network_itself(name):
    network = trained(BACKBONES[name](3))
    before = deepcopy(network.state_dict())
    pictures = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = deepcopy(network).double()(pictures.double())
        plain, found = network(pictures), folded(network)(pictures)
    error, rounding = ((part - wanted).abs().max().item() for part in (found, plain))
    assert error <= 4 * rounding + 1e-7 * wanted.abs().max().item()  # no worse than float32 is without
    assert normalisations(folded(network)) == STAY[name] < normalisations(network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_what_is_not_folded_is_shared():
    network = trained(BACKBONES["densenet_bc100"](3))
    assert folded(network).features.norm5.weight is network.features.norm5.weight


class Watching(nn.Module):
    """Looks at what is between a convolution and its normalisation, as a network of one's own may."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        between = self.layers[0](images)
        return torch.cat([between, self.layers[1](between)], dim=1).mean(dim=(2, 3))


class Subclass(CIFARResNet):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers[:1](images).mean(dim=(2, 3))


def hooked() -> nn.Module:
    network = small_cnn(3)
    network.layers[1].register_forward_pre_hook(lambda module, inputs: None)
    return network


def patched() -> nn.Module:
    network = small_cnn(3)
    network.layers.forward = lambda images: network.layers[0](images).mean(dim=(2, 3))
    return network


@pytest.mark.parametrize("make", [Watching, lambda: Subclass(8), hooked, patched])
def test_a_network_that_may_look_between_is_left_as_it_is(make):
    network = trained(make())
    assert folded(network) is network


def test_a_network_that_learns_is_left_as_it_is():
    network = small_cnn(3).train()
    assert folded(network) is network
    network.eval().layers[1].train()
    assert folded(network) is network


def test_only_real_neighbours_are_folded():
    relu, batch = nn.ReLU(), nn.BatchNorm2d(4)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, batch, nn.Conv2d(4, 4, 3), batch,
        nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(),
    )  # fmt: skip
    trained_network = network.eval()
    batch.running_mean.uniform_(-1, 1)
    pictures = torch.rand(2, 3, 12, 12)
    again = folded(trained_network)
    assert [type(module).__name__ for module in again] == [
        "Conv2d", "ReLU", "Conv2d", "ReLU", "BatchNorm2d", "Conv2d", "Identity", "Conv2d", "BatchNorm2d", "Flatten",
    ]  # fmt: skip
    with torch.no_grad():
        torch.testing.assert_close(again(pictures), network(pictures), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("size", [(8, 8), (32, 32), (1, 1), (224, 224), (4000, 3000), (0, 0)])
def test_batches_for_inference_are_neither_empty_nor_endless(size, device):
    n = inference_batch(*size, torch.device(device))
    assert 16 <= n <= 1000
    assert n == {("cpu", (32, 32)): 64, ("cuda", (32, 32)): 512}.get((device, size), n)


def test_recording_does_not_copy_what_it_has_made(monkeypatch):
    """A million pictures and a hundred classes would need twice the memory."""
    pictures = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    images, made = ImageSet("noise", pictures, np.arange(9) % 3, tuple("abc")), {}

    def kept(**arrays):
        made.update(arrays)
        return Samples(**arrays)

    monkeypatch.setattr(recording, "Samples", kept)
    model = Classifier(small_cnn(3), IsoMaxPlusHead(128, 3))
    samples = record_samples(model, images, InDistribution("noise", images, images), device="cpu")
    for name in ("logits", "features", "distances"):
        assert np.shares_memory(getattr(samples, name), made[name])
    further = with_distances_to(np.zeros((3, 128), np.float32), Samples(samples.logits, [-1] * 9, samples.features))
    assert np.shares_memory(further.logits, samples.logits) and further.distances.base.shape == (9, 3)


def test_recording_keeps_what_the_network_says():
    rng = np.random.default_rng(0)
    images = ImageSet("noise", rng.integers(0, 256, (90, 32, 32, 3), dtype=np.uint8), np.arange(90) % 3, tuple("abc"))
    data = InDistribution("noise", images, images)
    model = trained(Classifier(small_cnn(3), IsoMaxPlusHead(128, 3)))
    samples = record_samples(model, images, data, device="cpu")  # in two batches
    batches = Batches(images, mean=data.mean, std=data.std, device=torch.device("cpu"))
    with torch.no_grad():
        features = torch.cat([model.backbone(pictures) for pictures, _ in batches.in_order(90)])
    np.testing.assert_allclose(samples.features, features, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(samples.logits, model.head(features).detach(), rtol=1e-4, atol=1e-6)
    assert normalisations(model) == 6

"""Recording a network and its pictures: what it says, in order, without copies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.backbones import Classifier, small_cnn
from isomax_viz.learning.losses import IsoMaxPlusHead
from isomax_viz.learning.recording import network as recording
from isomax_viz.learning.recording.network import gather, record_samples, with_distances_to
from isomax_viz.learning.training.batches import Batches, inference_batch


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


@pytest.mark.parametrize("rows", [0, 3, 10, 100])
def test_batches_become_arrays_whatever_number_was_expected(rows):
    values = torch.arange(20.0).reshape(10, 2)
    parts = [{"logits": part, "predictions": part.long()[:, 0]} for part in values.to(torch.bfloat16).split([1, 4, 5])]
    arrays = gather(parts, rows)
    assert arrays["logits"].dtype == np.float32 and not arrays["logits"].flags.writeable
    assert arrays["logits"].tolist() == values.tolist() and arrays["predictions"].tolist() == values[:, 0].tolist()


def test_recording_keeps_what_the_network_says():
    rng = np.random.default_rng(0)
    images = ImageSet("noise", rng.integers(0, 256, (90, 32, 32, 3), dtype=np.uint8), np.arange(90) % 3, tuple("abc"))
    data = InDistribution("noise", images, images)
    torch.manual_seed(0)
    model = Classifier(small_cnn(3), IsoMaxPlusHead(128, 3)).eval()
    samples = record_samples(model, images, data, device="cpu")  # in two batches
    batches = Batches(images, mean=data.mean, std=data.std, device=torch.device("cpu"))
    with torch.no_grad():
        features = torch.cat([model.backbone(pictures) for pictures, _ in batches.in_order(90)])
    np.testing.assert_allclose(samples.features, features, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(samples.logits, model.head(features).detach(), rtol=1e-4, atol=1e-6)

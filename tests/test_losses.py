"""Heads: values and gradients against the papers' reference, closed forms in float64, and hostile input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from isomax_viz.captures import log_softmax
from isomax_viz.learning.losses import HEADS, IsoMax2Head, IsoMaxHead, IsoMaxPlusHead, SoftMaxHead, parameter_groups
from tests.conftest import GOLDEN

GOLDEN_NAMES = {"softmax": "softmax", "isomax": "isomax", "isomax+": "isomaxplus"}


def golden_head(loss: str, data) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """A head with the reference's parameters, and these by the reference's names."""
    classes, features = data["prototypes"].shape
    head = HEADS[loss](features, classes)
    if loss == "softmax":
        named = {"weights": head.linear.weight, "bias": head.linear.bias}
        values = {"weights": data["weight"], "bias": data["bias"]}
    else:
        named = {"prototypes": head.prototypes}
        values = {"prototypes": data["prototypes"], "distance_scale": data["distance_scale"]}
        if loss == "isomax+":
            named["distance_scale"] = head.distance_scale
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(torch.from_numpy(values[name]))
    return head, named


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("loss", GOLDEN_NAMES)
def test_values_and_gradients_equal_the_reference(loss, batch):
    data = np.load(GOLDEN / f"losses_{batch}.npz")
    key = GOLDEN_NAMES[loss]
    head, named = golden_head(loss, data)
    features = torch.from_numpy(data["features"]).requires_grad_()
    logits = head(features)
    value = head.loss(logits, torch.from_numpy(data["targets"]))
    value.backward()

    def close(ours, reference):
        # Relative to the size of the array: gradients have entries that are zero but for rounding.
        return np.abs(ours - reference).max() <= 1e-5 * np.abs(reference).max()

    assert close(logits.detach().numpy(), data[f"{key}.logits"])
    reference_loss = data[f"{key}.loss"].item()
    if np.isfinite(reference_loss):
        assert value.item() == pytest.approx(reference_loss, rel=1e-5)
        assert close(features.grad.numpy(), data[f"{key}.grad_features"])
        for name, parameter in named.items():
            assert close(parameter.grad.numpy(), data[f"{key}.grad_{name}"]), name
    else:
        assert np.isfinite(value.item())
    log_p = log_softmax(logits.detach().numpy())
    np.testing.assert_allclose(np.exp(log_p).max(axis=1), data[f"{key}.max_probability"], rtol=1e-5)
    entropy = -(np.exp(log_p) * log_p).sum(axis=1)
    finite = np.isfinite(data[f"{key}.entropy"])
    np.testing.assert_allclose(entropy[finite], data[f"{key}.entropy"][finite], rtol=1e-5, atol=1e-7)
    assert np.isfinite(entropy).all()


def test_isomax2_equals_its_closed_form_in_float64(rng):
    features, prototypes = rng.normal(size=(20, 6)), rng.normal(size=(4, 6))
    scales, tilts, targets = rng.uniform(5, 15, 4), rng.normal(size=4), rng.integers(0, 4, 20)
    distances = np.sqrt(((features[:, None] - prototypes) ** 2).sum(axis=2))
    exponents = -scales * distances - tilts
    # Equation 2 of the paper, term by term.
    probabilities = np.exp(exponents) / np.exp(exponents).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(20), targets]).mean()

    head = IsoMax2Head(6, 4)
    with torch.no_grad():
        head.prototypes.copy_(torch.from_numpy(prototypes))
        head.class_scales.copy_(torch.from_numpy(scales))
        head.class_tilts.copy_(torch.from_numpy(tilts))
    logits = head(torch.from_numpy(features).float())
    np.testing.assert_allclose(logits.detach().numpy(), -distances, rtol=1e-5)
    np.testing.assert_allclose(head.class_logits(logits).detach().numpy(), exponents, rtol=1e-5, atol=1e-5)
    assert head.loss(logits, torch.from_numpy(targets)).item() == pytest.approx(expected, rel=1e-5)


def test_isomaxplus_equals_its_closed_form_in_float64(rng):
    features, prototypes, scale = rng.normal(size=(20, 6)), rng.normal(size=(4, 6)), -1.7
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (features, prototypes)]
    distances = np.linalg.norm(unit[0][:, None] - unit[1], axis=2)
    head = IsoMaxPlusHead(6, 4)
    with torch.no_grad():
        head.prototypes.copy_(torch.from_numpy(prototypes))
        head.distance_scale.fill_(scale)
    tensor = torch.from_numpy(features).float()
    np.testing.assert_allclose(head.distances(tensor).detach().numpy(), distances, rtol=1e-5)
    np.testing.assert_allclose(head(tensor).detach().numpy(), -abs(scale) * distances, rtol=1e-5)
    assert head.scales() == {"distance_scale": pytest.approx(1.7)}


def test_initial_parameters_follow_the_papers():
    assert IsoMaxHead(8, 3).prototypes.abs().sum() == 0
    assert IsoMax2Head(8, 3).prototypes.abs().sum() == 0
    assert IsoMax2Head(8, 3).class_scales.tolist() == [10.0] * 3
    assert IsoMax2Head(8, 3).class_tilts.tolist() == [0.0] * 3
    torch.manual_seed(0)
    plus = IsoMaxPlusHead(500, 100)
    assert plus.prototypes.std().item() == pytest.approx(1, rel=0.02)
    assert plus.distance_scale.item() == 1.0


@pytest.mark.parametrize("gap", [100.0, 200.0, 1000.0])
def test_the_loss_is_finite_and_exact_at_large_scaled_gaps(gap):
    """Softmax and then log would give infinity; the true value is the gap itself."""
    head = IsoMaxHead(2, 2)
    logits = torch.tensor([[0.0, -gap / 10]], requires_grad=True)
    value = head.loss(logits, torch.tensor([1]))
    value.backward()
    assert value.item() == pytest.approx(gap)
    assert logits.grad.tolist() == [[pytest.approx(10.0), pytest.approx(-10.0)]]


@pytest.mark.parametrize("loss", HEADS)
def test_every_head_has_the_same_interface(loss, tmp_path):
    torch.manual_seed(0)
    head = HEADS[loss](7, 5)
    model = nn.Sequential(nn.Linear(3, 7), nn.ReLU(), head)  # a drop-in for nn.Linear(7, 5)
    images, targets = torch.randn(11, 3), torch.arange(11) % 5
    logits = model(images)
    assert logits.shape == (11, 5) and logits.dtype == torch.float32
    value = head.loss(logits, targets)
    expected = -torch.log_softmax(head.class_logits(logits).double(), dim=1)[range(11), targets].mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    value.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    torch.save(model.state_dict(), tmp_path / "model.pt")
    again = nn.Sequential(nn.Linear(3, 7), nn.ReLU(), HEADS[loss](7, 5))
    again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(again(images), logits)
    assert "num_features=7, num_classes=5" in repr(head)
    assert set(head.state_dict()) == set(dict(head.named_parameters()))


@pytest.mark.parametrize("loss", HEADS)
def test_gradients_at_distance_zero_and_at_zero_features_are_of_ordinary_size(loss):
    torch.manual_seed(0)
    head = HEADS[loss](4, 3)
    features = torch.zeros(6, 4, requires_grad=True)  # IsoMax: on the prototypes; IsoMax+: no direction at all
    head.loss(head(features), torch.arange(6) % 3).backward()
    gradients = [features.grad, *(p.grad for p in head.parameters())]
    assert all(torch.isfinite(g).all() and g.abs().max() < 100 for g in gradients)
    if loss != "softmax":
        with torch.no_grad():
            at_prototypes = head.prototypes.clone()
        at_prototypes.requires_grad_()
        head.loss(head(at_prototypes), torch.arange(3)).backward()
        assert torch.isfinite(at_prototypes.grad).all() and torch.isfinite(head.prototypes.grad).all()


@pytest.mark.parametrize("loss", HEADS)
def test_heads_compute_in_float32_under_autocast(loss):
    torch.manual_seed(0)
    head, features = HEADS[loss](16, 4), torch.randn(8, 16)
    expected = head(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(features)
        value = head.loss(head(features.bfloat16()), torch.arange(8) % 4)
    assert logits.dtype == value.dtype == torch.float32
    assert torch.equal(logits, expected)


def test_only_the_scales_and_tilts_of_isomax2_learn_slowly():
    model = nn.Sequential(nn.Linear(3, 8), IsoMax2Head(8, 4))
    fast, slow = parameter_groups(model, lr=0.1, weight_decay=1e-4)
    assert [id(p) for p in slow["params"]] == [id(model[1].class_scales), id(model[1].class_tilts)]
    assert (slow["lr"], slow["weight_decay"]) == (pytest.approx(0.01), 0.0)
    assert len(fast["params"]) == 3
    assert len(parameter_groups(nn.Sequential(SoftMaxHead(3, 2)), lr=0.1, weight_decay=0.0)) == 1
    assert len(parameter_groups(IsoMax2Head(8, 4), lr=0.1, weight_decay=0.0)[1]["params"]) == 2  # the head alone


def test_impossible_sizes_and_scales_are_refused():
    with pytest.raises(ValueError, match="num_classes must be a whole number of at least 2, but is 1"):
        IsoMaxHead(8, 1)
    with pytest.raises(ValueError, match="entropic_scale must be a number above 0, but is 0"):
        IsoMaxPlusHead(8, 3, entropic_scale=0)
    with pytest.raises(TypeError, match="num_features must be a whole number"):
        SoftMaxHead(8.5, 3)

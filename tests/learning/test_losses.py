"""Heads: values and gradients against the papers' reference, closed forms in float64, and hostile input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

from isomax_viz import Experiment
from isomax_viz.analysis.loss_blocks import CENTRES, plane_table
from isomax_viz.captures.samples import log_softmax
from isomax_viz.catalog.losses import LOSSES
from isomax_viz.explorer.lessons import loss_lesson, mathml
from isomax_viz.learning.losses import (
    DISTANCES,
    FUNCTIONS,
    HEADS,
    SIMILARITIES,
    DisMaxHead,
    GeneralizedOdinHead,
    IsoMax2Head,
    IsoMaxHead,
    IsoMaxPlusHead,
    LogitNormHead,
    ScaledCosineHead,
    SoftMaxHead,
    parameter_groups,
)
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
    log_p = log_softmax(data[f"{key}.logits"])
    entropy = -(np.exp(log_p) * log_p).sum(axis=1)
    wide = special.log_softmax(data[f"{key}.logits"].astype(np.float64), axis=1)
    np.testing.assert_allclose(entropy, -(np.exp(wide) * wide).sum(axis=1), rtol=1e-6, atol=0)
    # The reference rounds log p where p is nearly 1: on its own logits it is off by up to 1.8e-7.
    finite = np.isfinite(data[f"{key}.entropy"])
    np.testing.assert_allclose(entropy[finite], data[f"{key}.entropy"][finite], rtol=1e-5, atol=2e-7)
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
    features = model[:2](images)
    logits = model(images)
    assert logits.shape == (11, 5) and logits.dtype == torch.float32
    again, class_logits = head.both_logits(features)
    assert torch.equal(again, logits)
    value = head.criterion(class_logits, targets)
    expected = -torch.log_softmax(class_logits.double(), dim=1)[range(11), targets].mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    value.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    torch.save(model.state_dict(), tmp_path / "model.pt")
    again = nn.Sequential(nn.Linear(3, 7), nn.ReLU(), HEADS[loss](7, 5))
    again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    model.eval(), again.eval()
    assert torch.equal(again(images), model(images))
    assert torch.equal(again[2].both_logits(features)[1], head.both_logits(features)[1])
    assert "num_features=7, num_classes=5" in repr(head)


@pytest.mark.parametrize("loss", HEADS)
def test_gradients_at_distance_zero_and_at_zero_features_are_of_ordinary_size(loss):
    torch.manual_seed(0)
    head = HEADS[loss](4, 3)
    features = torch.zeros(6, 4, requires_grad=True)  # IsoMax: on the prototypes; IsoMax+: no direction at all
    head.criterion(head.both_logits(features)[1], torch.arange(6) % 3).backward()
    gradients = [features.grad, *(p.grad for p in head.parameters())]
    assert all(torch.isfinite(g).all() and g.abs().max() < 100 for g in gradients)
    if hasattr(head, "prototypes"):
        with torch.no_grad():
            at_prototypes = head.prototypes.clone()
        at_prototypes.requires_grad_()
        head.criterion(head.both_logits(at_prototypes)[1], torch.arange(3)).backward()
        assert torch.isfinite(at_prototypes.grad).all() and torch.isfinite(head.prototypes.grad).all()


@pytest.mark.parametrize("loss", HEADS)
def test_heads_compute_in_float32_under_autocast(loss):
    torch.manual_seed(0)
    head, features = HEADS[loss](16, 4), torch.randn(8, 16)
    expected = head(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(features)
        value = head.criterion(head.both_logits(features.bfloat16())[1], torch.arange(8) % 4)
    assert logits.dtype == value.dtype == torch.float32
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("loss", HEADS)
def test_heads_in_float64_pass_the_gradient_check(loss):
    torch.manual_seed(0)
    head, features = HEADS[loss](4, 3).double(), torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    if loss != "softmax" and hasattr(head, "prototypes"):
        nn.init.normal_(head.prototypes)
    logits, class_logits = head.both_logits(features)
    assert logits.dtype == class_logits.dtype == head(features).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda it: head.criterion(head.both_logits(it)[1], torch.arange(5) % 3), features)


def test_only_the_scales_and_tilts_of_isomax2_learn_slowly():
    model = nn.Sequential(nn.Linear(3, 8), IsoMax2Head(8, 4))
    fast, slow = parameter_groups(model, lr=0.1, weight_decay=1e-4)
    assert [id(p) for p in slow["params"]] == [id(model[1].class_scales), id(model[1].class_tilts)]
    assert (slow["lr"], slow["weight_decay"]) == (pytest.approx(0.01), 0.0)
    assert len(fast["params"]) == 3
    assert len(parameter_groups(nn.Sequential(SoftMaxHead(3, 2)), lr=0.1, weight_decay=0.0)) == 1
    assert len(parameter_groups(IsoMax2Head(8, 4), lr=0.1, weight_decay=0.0)[1]["params"]) == 2  # the head alone


def test_what_heads_declare_undecayed_is_undecayed():
    model = nn.Sequential(nn.Linear(3, 8), GeneralizedOdinHead(8, 4, similarity="inner"))
    decayed, undecayed = parameter_groups(model, lr=0.1, weight_decay=1e-4)
    assert [id(p) for p in undecayed["params"]] == [id(model[1].weights), id(model[1].bias)]
    assert (undecayed["lr"], undecayed["weight_decay"], decayed["weight_decay"]) == (0.1, 0.0, 1e-4)
    assert len(decayed["params"]) == 6  # two of the linear layer, four of the scale
    decayed, undecayed = parameter_groups(ScaledCosineHead(8, 4), lr=0.1, weight_decay=1e-4)  # the whole head
    assert not decayed["params"] and len(undecayed["params"]) == 5


def distance_by_hand(name: str, a: np.ndarray, b: np.ndarray) -> float:
    difference = [x - y for x, y in zip(a, b, strict=True)]
    if name == "manhattan":
        return sum(abs(x) for x in difference)
    if name == "chebyshev":
        return max(abs(x) for x in difference)
    if name == "cosine":
        return 1 - (a @ b) / (a @ a) ** 0.5 / (b @ b) ** 0.5
    square = sum(x * x for x in difference)
    return square if name == "squared" else square**0.5


BY_HAND = {
    "identity": lambda x: x,
    "scaled": lambda x: 3 * x,
    "square": lambda x: x * x,
    "log": lambda x: np.log(1 + x),
}


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_dismax_equals_its_equations_in_float64(distance, function, rng):
    features, prototypes, targets = rng.normal(size=(9, 5)), rng.normal(size=(4, 5)), rng.integers(0, 4, 9)
    d = np.array([[distance_by_hand(distance, f, p) for p in prototypes] for f in features])
    g, h = BY_HAND[function](d), BY_HAND["square" if function == "log" else function](d)
    expected = np.mean([g[i, k] + np.log(sum(np.exp(-g[i, j]) for j in range(4))) for i, k in enumerate(targets)])
    detection = "square" if function == "log" else function
    head = DisMaxHead(
        5, 4, distance=distance, training_function=function, detection_function=detection, entropic_scale=3.0
    )
    with torch.no_grad():
        head.prototypes.copy_(torch.from_numpy(prototypes))
    tensor = torch.from_numpy(features).float()
    logits, class_logits = head.both_logits(tensor)
    np.testing.assert_allclose(head.distances(tensor).detach().numpy(), d, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logits.detach().numpy(), -h, rtol=1e-4, atol=1e-6)
    assert torch.equal(head(tensor), logits)
    assert head.criterion(class_logits, torch.from_numpy(targets)).item() == pytest.approx(expected, rel=1e-4)


def test_isomax_is_the_dismax_of_euclidean_distance_identity_and_alpha():
    torch.manual_seed(0)
    features, targets = torch.randn(30, 6), torch.arange(30) % 4
    isomax, dismax = IsoMaxHead(6, 4, entropic_scale=7.0), DisMaxHead(6, 4, entropic_scale=7.0)
    assert (dismax.distance, dismax.training_function, dismax.detection_function) == ("euclidean", "scaled", "identity")
    prototypes = torch.randn(4, 6)
    for head in (isomax, dismax):
        with torch.no_grad():
            head.prototypes.copy_(prototypes)
        head.loss(head(features), targets).backward()
    assert torch.equal(isomax(features), dismax(features))
    assert torch.equal(isomax.class_logits(isomax(features)), dismax.class_logits(dismax(features)))
    assert torch.equal(isomax.prototypes.grad, dismax.prototypes.grad)


def test_dismax_takes_functions_of_ones_own():
    head = DisMaxHead(
        2, 3, distance=lambda f, p: (f[:, None] - p).abs().sum(2), training_function=torch.sqrt, detection_function=abs
    )
    features = torch.tensor([[9.0, 16.0]])
    logits, class_logits = head.both_logits(features)
    assert logits.tolist() == [[-25.0] * 3] and class_logits.tolist() == [[-5.0] * 3]
    assert "training_function=sqrt, detection_function=abs" in repr(head)


def scale_by_hand(head, features: np.ndarray, *, mean: float | None, variance: float | None) -> np.ndarray:
    """Batch-normalised by the batch's own moments, or by those given."""
    weight, bias = (p.detach().double().numpy() for p in (head.scale_map.weight[0], head.scale_map.bias[0]))
    gamma, beta = (p.item() for p in (head.scale_norm.weight, head.scale_norm.bias))
    z = np.array([sum(w * x for w, x in zip(weight, f, strict=True)) + bias for f in features])
    centre, spread = (z.mean(), z.var()) if mean is None else (mean, variance)
    return gamma * (z - centre) / np.sqrt(spread + 1e-5) + beta


def randomised(head: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
        head.scale_norm.running_mean.fill_(0.3)
        head.scale_norm.running_var.fill_(2.5)
    return head


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("similarity", ["scaled", *SIMILARITIES])
def test_heads_with_a_scale_of_each_sample_equal_their_equations_in_float64(similarity, training, rng):
    features, targets = rng.normal(size=(9, 5)), rng.integers(0, 4, 9)
    head = ScaledCosineHead(5, 4) if similarity == "scaled" else GeneralizedOdinHead(5, 4, similarity=similarity)
    randomised(head).train(training)
    vectors = (head.prototypes if similarity == "scaled" else head.weights).detach().double().numpy()
    moments = {"mean": None, "variance": None} if training else {"mean": 0.3, "variance": 2.5}
    z = scale_by_hand(head, features, **moments)
    if similarity == "inner":
        h = np.array([[f @ w + b for w, b in zip(vectors, head.bias.tolist(), strict=True)] for f in features])
    elif similarity == "euclidean":
        h = -np.array([[distance_by_hand("squared", f, w) for w in vectors] for f in features])
    else:
        h = 1 - np.array([[distance_by_hand("cosine", f, w) for w in vectors] for f in features])
    exponents = h * np.exp(z)[:, None] if similarity == "scaled" else h / (1 / (1 + np.exp(-z)))[:, None]
    expected = np.mean([np.log(np.exp(row - row[k]).sum()) for row, k in zip(exponents, targets, strict=True)])

    tensor = torch.from_numpy(features).float()
    logits, class_logits = head.both_logits(tensor)
    np.testing.assert_allclose(logits.detach().numpy(), h, rtol=1e-4, atol=1e-5)
    assert head.criterion(class_logits, torch.from_numpy(targets)).item() == pytest.approx(expected, rel=1e-4)
    if similarity == "scaled":
        np.testing.assert_allclose(head.distances(tensor).detach().numpy(), 1 - h, atol=1e-5)


def test_logit_normalisation_equals_pytorch_ood(rng):
    from pytorch_ood.loss import LogitNorm

    head, features = LogitNormHead(5, 4, temperature=0.2), torch.from_numpy(rng.normal(size=(9, 5))).float()
    logits, targets = head(features), torch.from_numpy(rng.integers(0, 4, 9))
    torch.testing.assert_close(logits, features @ head.linear.weight.T + head.linear.bias)
    torch.testing.assert_close(head.loss(logits, targets), LogitNorm(t=0.2)(logits, targets))


@pytest.mark.parametrize(
    "head", [ScaledCosineHead(5, 4), DisMaxHead(5, 4, detection_function="log")], ids=["cos", "dis"]
)
def test_class_logits_that_need_the_features_say_so(head):
    with pytest.raises(TypeError, match=r"reads its class logits from the features.*call head.both_logits\(features\)"):
        head.loss(head(torch.randn(2, 5)), torch.tensor([0, 1]))


@pytest.mark.parametrize("loss", HEADS)
def test_every_loss_through_an_experiment(loss, tmp_path):
    experiment = Experiment(loss=loss, preset="smoke", examples_per_class=7)
    assert Experiment.from_json(experiment.to_json()).id == experiment.id
    capture = experiment.run(ood="uniform", store=tmp_path, progress=False)
    head = experiment.network(store=tmp_path).head
    assert type(head) is HEADS[loss] and not head.training
    features = torch.from_numpy(capture.test.features.copy())
    logits, class_logits = head.both_logits(features)
    np.testing.assert_allclose(capture.test.logits, logits.detach().numpy(), rtol=1e-4, atol=1e-4)
    assert np.array_equal(capture.test.predictions, class_logits.argmax(dim=1).numpy())
    # What the history says of the last epoch is the cross-entropy of the class logits that were recorded.
    labels = torch.tensor(capture.test.labels)
    expected = -torch.log_softmax(class_logits.double(), dim=1).gather(1, labels[:, None]).mean().item()
    assert capture.history.query("split == 'test'")["loss"].iloc[-1] == pytest.approx(expected, rel=1e-3)


def test_impossible_sizes_and_scales_are_refused():
    with pytest.raises(ValueError, match="distance must be one of 'euclidean', .*, but is 'mahalanobis'"):
        DisMaxHead(8, 3, distance="mahalanobis")
    with pytest.raises(ValueError, match="detection_function must be one of 'identity', 'scaled', 'square', 'log'"):
        DisMaxHead(8, 3, detection_function="cube")
    with pytest.raises(ValueError, match="similarity must be one of 'cosine', 'euclidean', 'inner', but is 'dot'"):
        GeneralizedOdinHead(8, 3, similarity="dot")
    with pytest.raises(ValueError, match="temperature must be a number above 0, but is 0"):
        LogitNormHead(8, 3, temperature=0)
    with pytest.raises(ValueError, match="num_classes must be a whole number of at least 2, but is 1"):
        IsoMaxHead(8, 1)
    with pytest.raises(ValueError, match="entropic_scale must be a number above 0, but is 0"):
        IsoMaxPlusHead(8, 3, entropic_scale=0)
    with pytest.raises(TypeError, match="num_features must be a whole number"):
        SoftMaxHead(8.5, 3)


def test_every_head_has_its_record_and_every_record_its_head():
    assert HEADS.keys() == LOSSES.keys()
    for loss, record in LOSSES.items():
        assert record.sentence.endswith(".") and record.source and mathml(record.formula).count("<mfrac>") >= 1
        assert record.prototypes == hasattr(HEADS[loss](3, 2), "prototypes")
        words = loss_lesson(loss)
        assert words["label"] == record.look.label and words["formula"].count("<math") == 1


@pytest.mark.parametrize("loss", HEADS)
def test_the_plane_of_a_block_diagram_is_what_the_head_gives(loss):
    head = HEADS[loss](2, 3).eval()
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if parameter.shape == (3, 2):
                parameter.copy_(torch.tensor(CENTRES))
            elif name.endswith("bias"):
                parameter.zero_()
            elif name == "distance_scale":
                parameter.fill_(3.0)
        plane = plane_table(loss, points=6)
        points = torch.tensor(plane[["x", "y"]].to_numpy(), dtype=torch.float32)
        probabilities = torch.softmax(head(points), dim=1)
    np.testing.assert_allclose(plane["max_probability"], probabilities.max(dim=1).values, rtol=1e-5)
    others = probabilities[:, 1:].max(dim=1).values
    np.testing.assert_allclose(plane["lead_0"], probabilities[:, 0] - others, atol=1e-5)

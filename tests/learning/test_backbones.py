"""Backbones against the literature and hand-made sums; surgery on torchvision's networks and on hostile ones."""

from __future__ import annotations

import importlib.util
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from isomax_viz.datasets import InDistribution, load_id
from isomax_viz.learning.backbones import BACKBONES, CIFARResNet, Classifier, small_cnn
from isomax_viz.learning.losses import HEADS, Head, IsoMaxHead, IsoMaxPlusHead, SoftMaxHead, parameter_groups
from isomax_viz.learning.recording.network import record_capture
from isomax_viz.learning.surgery import as_classifier, replace_last_linear
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.protocols import Protocol

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "finetune_torchvision.py"
FEATURES = {
    "small_cnn": 128,
    "fast_cnn": 256,
    "fast_cnn_small": 128,
    "resnet34": 512,
    "resnet110": 64,
    "densenet_bc100": 342,
}


def residual_parameters(stem: int, stages: list[tuple[int, int]], *, convolved: bool) -> int:
    """Sum of a basic-block residual network, layer by layer: 3x3 convolutions, two numbers per normalised channel."""
    total, width = 3 * stem * 9 + 2 * stem, stem
    for stage_width, blocks in stages:
        for _ in range(blocks):
            total += 9 * width * stage_width + 9 * stage_width**2 + 4 * stage_width
            if convolved and width != stage_width:
                total += width * stage_width + 2 * stage_width
            width = stage_width
    return total + 10 * width + 10


def densenet_parameters(growth: int, blocks: tuple[int, ...]) -> int:
    """Sum of a DenseNet-BC: each layer is norm, 1x1 to 4 k channels, norm, 3x3 to k channels; transitions halve."""
    width = 2 * growth
    total = 3 * width * 9
    for block, layers in enumerate(blocks):
        for _ in range(layers):
            total += 2 * width + width * 4 * growth + 2 * 4 * growth + 4 * growth * growth * 9
            width += growth
        if block < len(blocks) - 1:
            total += 2 * width + width * (width // 2)
            width //= 2
    return total + 2 * width + 10 * width + 10


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "published", "by_hand"),
    [
        ("resnet34", 21_282_122, residual_parameters(64, [(64, 3), (128, 4), (256, 6), (512, 3)], convolved=True)),
        ("resnet110", 1_727_962, residual_parameters(16, [(16, 18), (32, 18), (64, 18)], convolved=False)),
        ("densenet_bc100", 769_162, densenet_parameters(12, (16, 16, 16))),
        ("small_cnn", 288_746, 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 2 * 448 + 1290),
    ],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_literature(name, published, by_hand):
    backbone = BACKBONES[name]()
    assert backbone.num_features == FEATURES[name]
    assert count(Classifier(backbone, SoftMaxHead(backbone.num_features, 10))) == published == by_hand


@pytest.mark.parametrize(("name", "layer", "side"), [
    ("resnet34", "layer1", 32), ("resnet34", "layer4", 4),
    ("densenet_bc100", "features.conv0", 32), ("densenet_bc100", "features.norm5", 8),
    ("resnet110", "layers.2", 32), ("resnet110", "layers.56", 8),
])  # fmt: skip
def test_small_pictures_keep_their_resolution_at_first(name, layer, side):
    shapes = []
    backbone = BACKBONES[name]().eval()
    backbone.get_submodule(layer).register_forward_hook(lambda *call: shapes.append(call[2].shape[2:]))
    with torch.no_grad():
        backbone(torch.zeros(1, 3, 32, 32))
    assert shapes == [(side, side)]


@pytest.mark.parametrize("name", BACKBONES)
def test_any_size_and_precision_and_a_second_life(name, tmp_path):
    torch.manual_seed(0)
    backbone, again = BACKBONES[name]().eval(), BACKBONES[name]().eval()
    torch.save(backbone.state_dict(), tmp_path / "weights.pt")
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    head = IsoMaxPlusHead(backbone.num_features, 10)
    with torch.no_grad():
        for side in (28, 32, 64):
            images = torch.randn(2, 3, side, side)
            features = backbone(images)
            assert features.shape == (2, FEATURES[name]) and features.isfinite().all()
            assert torch.equal(again(images), features)
            if side == 28:
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    half = backbone(images)
                    assert head(half).dtype == torch.float32
                assert (half.float() - features).norm() < 0.05 * features.norm()
        assert BACKBONES[name](in_channels=1).eval()(torch.zeros(1, 1, 28, 28)).shape == (1, FEATURES[name])


@pytest.mark.parametrize("name", BACKBONES)
def test_gradients_reach_every_parameter(name):
    torch.manual_seed(0)
    backbone = BACKBONES[name]()
    model = Classifier(backbone, SoftMaxHead(backbone.num_features, 10))
    model.head.loss(model(torch.randn(4, 3, 16, 16)), torch.arange(4)).backward()
    learned = [(key, parameter) for key, parameter in model.named_parameters() if key != "backbone.whitening.weight"]
    for key, parameter in learned:
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), key


@pytest.mark.parametrize("name", ["resnet34", "resnet110", "densenet_bc100"])
def test_convolutions_start_with_the_variance_of_he(name):
    torch.manual_seed(0)
    for module in BACKBONES[name]().modules():
        if isinstance(module, nn.Conv2d):
            size = module.kernel_size[0] ** 2 * module.out_channels
            standardised = module.weight.std().item() / math.sqrt(2 / size)
            assert standardised == pytest.approx(1, abs=5 / math.sqrt(2 * module.weight.numel())), module
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()


def test_the_shortcut_without_parameters_equals_its_definition(rng):
    backbone = CIFARResNet(8)
    block = next(m for m in backbone.modules() if getattr(m, "downsample", None) is not None)
    images = rng.normal(size=(2, 16, 7, 6)).astype(np.float32)
    expected = np.zeros((2, 32, 4, 3), np.float32)
    expected[:, 8:24] = images[:, :, ::2, ::2]
    np.testing.assert_array_equal(block.downsample(torch.from_numpy(images)).numpy(), expected)


def test_impossible_backbones_are_refused():
    with pytest.raises(ValueError, match=r"depth must be 6 n \+ 2 for n blocks per stage, but is 100. Take 98"):
        CIFARResNet(100)
    for name in ("resnet34", "resnet110", "densenet_bc100"):
        with pytest.raises(ValueError, match="in_channels must be a whole number of at least 1, but is 0"):
            BACKBONES[name](in_channels=0)


def tiny_densenet() -> nn.Module:
    return models.DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=16, num_classes=10)


def tiny_vit() -> nn.Module:
    return models.VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10)


def tiny_mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 32 * 32, 24), nn.ReLU(), nn.Linear(24, 10, bias=False), nn.Dropout(0)
    )


NETWORKS = {
    "fc": lambda: models.resnet18(weights=None, num_classes=10),
    "classifier.3": lambda: models.mobilenet_v3_small(weights=None, num_classes=10),
    "classifier": tiny_densenet,
    "heads.head": tiny_vit,
    "3": tiny_mlp,
}


@pytest.mark.parametrize("layer", NETWORKS)
def test_the_last_layer_of_any_classifier_is_replaced(layer, caplog):
    torch.manual_seed(0)
    model, images = NETWORKS[layer]().eval(), torch.randn(4, 3, 32, 32)
    if layer == "heads.head":
        nn.init.normal_(model.heads.head.weight)  # torchvision starts it at zero, which would hide a mistake
    before, logits = model.get_submodule(layer), model(images)

    # SoftMax is the same function, with the same weights.
    with caplog.at_level(logging.INFO, logger="isomax_viz.learning.surgery"):
        replaced = replace_last_linear(model, "softmax")
    assert (replaced.name, replaced.before, replaced.model) == (layer, before, model)
    assert model.get_submodule(layer) is replaced.head and not replaced.head.training
    assert caplog.messages == [repr(replaced)] and f"{layer!r} of {type(model).__name__}: Linear(in" in repr(replaced)
    assert torch.equal(model(images), logits)

    # IsoMax+ sees the features that the linear layer saw, and trains the whole network.
    again = replace_last_linear(model, "isomax+", entropic_scale=3.0)
    assert again.name == layer and again.head.entropic_scale == 3.0
    classifier = as_classifier(model).eval()
    features = classifier.backbone(images)
    assert torch.allclose(functional.linear(features, before.weight, before.bias), logits, atol=1e-6)
    expected = -torch.cdist(functional.normalize(features), functional.normalize(again.head.prototypes))
    assert torch.allclose(model(images), expected, atol=1e-4)
    assert torch.equal(classifier(images), model(images))
    model.train()
    again.head.loss(model(images), torch.arange(4)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not again.head._forward_pre_hooks
    assert sorted(p.data_ptr() for p in classifier.parameters()) == sorted(p.data_ptr() for p in model.parameters())
    assert len(classifier.state_dict()) == len(model.state_dict())


def test_the_parameters_of_a_replaced_head_keep_their_own_pace():
    model = replace_last_linear(tiny_mlp(), "isomax2").model
    for network in (model, as_classifier(model)):
        fast, slow = parameter_groups(network, lr=0.1, weight_decay=1e-4)
        assert [id(p) for p in slow["params"]] == [id(model[3].class_scales), id(model[3].class_tilts)]
        assert len(fast["params"]) == 3


class DoubledHead(IsoMaxHead):
    """A head of the user's own, with an option."""

    settings = ("entropic_scale", "factor")

    def __init__(self, num_features, num_classes, *, entropic_scale=10.0, factor=2.0):
        super().__init__(num_features, num_classes, entropic_scale=entropic_scale)
        self.factor = factor


def test_a_head_of_your_own_needs_no_registration():
    head = replace_last_linear(tiny_mlp(), DoubledHead, factor=3.0).head
    assert (type(head), head.factor, head.num_features, head.num_classes) == (DoubledHead, 3.0, 24, 10)
    mine = DoubledHead(24, 7)
    assert replace_last_linear(tiny_mlp(), mine).model[3] is mine
    assert replace_last_linear(tiny_mlp(), "isomax2", num_classes=4).head.num_classes == 4


def test_softmax_keeps_weights_only_where_they_mean_the_same():
    model = tiny_mlp()
    weight = model[3].weight.detach().clone()
    first = replace_last_linear(model, "softmax").head
    assert torch.equal(first.linear.weight, weight) and not first.linear.bias.any()
    second = replace_last_linear(model, "softmax").head
    assert second is not first and torch.equal(second.linear.weight, weight)
    assert replace_last_linear(model, "softmax", num_classes=11).head.linear.weight.shape == (11, 24)


class Network(nn.Module):
    """A user's network: its layers by name, in the order of definition."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


class TwoOutputs(Network):
    """As timm's: the network says which layer classifies."""

    def get_classifier(self):
        return self.head


def test_the_layer_can_be_named_where_the_order_of_definition_does_not_tell():
    late = {"fc": nn.Linear(8, 3), "convolution": nn.Conv2d(3, 8, 3)}
    with pytest.raises(ValueError, match="layer of Network is 'fc', but Conv2d 'convolution' is defined after"):
        replace_last_linear(Network(**late))
    assert replace_last_linear(Network(**late), layer="fc").name == "fc"
    parallel = {"body": nn.Linear(4, 8), "head": nn.Linear(8, 3), "auxiliary": nn.Linear(8, 3)}
    with pytest.raises(ValueError, match="'head' and 'auxiliary' of Network are linear layers side by side.*layer=..."):
        replace_last_linear(Network(**parallel))
    with pytest.raises(ValueError, match="must be one of 'body', 'head', 'auxiliary', but is 'haed'.*mean 'head'"):
        replace_last_linear(Network(**parallel), layer="haed")
    assert replace_last_linear(Network(**parallel), layer="head").name == "head"
    told = TwoOutputs(head=nn.Linear(8, 3), activation=nn.ReLU())
    assert [replace_last_linear(told, loss).name for loss in HEADS] == ["head"] * len(HEADS)


class Both(Network):
    """Returns the mean of what both layers give."""

    def forward(self, x):
        return (self.a(x) + self.b(x)) / 2


class First(Network):
    """Returns what the first layer gives, times a factor."""

    factor = 1.0

    def forward(self, x):
        return self.factor * self.a(x), self.b(x)


def test_the_layer_is_found_by_what_the_network_returns():
    images = torch.randn(4, 8)
    model = First(a=nn.Linear(8, 3), b=nn.Linear(8, 5)).train()
    assert replace_last_linear(model, "isomax", images=images).name == "a" and model.training
    ensemble = Both(a=nn.Linear(8, 3), b=nn.Linear(8, 3))
    with pytest.raises(
        ValueError, match=r"'a' and 'b' of Both are linear layers side by side.*images=...\), or name it"
    ):
        replace_last_linear(ensemble)
    with pytest.raises(ValueError, match=r"returns something else than its layers give \('a', 'b'\)"):
        replace_last_linear(ensemble, images=images)
    with pytest.raises(ValueError, match="side by side"):
        replace_last_linear(Network(deep=nn.Sequential(ensemble), wide=nn.Linear(4, 3)))
    model = First(a=nn.Linear(8, 3), b=nn.Linear(8, 5))
    model.factor = 0.5
    with pytest.raises(
        ValueError, match="logits of First come from 'a' and are multiplied by 0.5 afterwards.*layer=..."
    ):
        replace_last_linear(model, images=images)
    with pytest.raises(ValueError, match="come from 'a' and are made by several layers"):
        replace_last_linear(First(a=Both(a=nn.Linear(8, 3), b=nn.Linear(8, 3)), b=nn.Linear(8, 5)), images=images)
    normed = nn.Sequential(nn.Linear(8, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    expected = normed(images)
    assert torch.allclose(replace_last_linear(normed, "softmax").model(images), expected)


def test_what_follows_the_logits_or_only_looks_like_a_layer_is_refused():
    with pytest.raises(ValueError, match="layer of Network is 'fc', but LogSoftmax 'out' is defined after it"):
        replace_last_linear(Network(fc=nn.Linear(8, 3), out=nn.LogSoftmax(dim=1)))
    with pytest.raises(ValueError, match="'fc', but MultiheadAttention 'attention' is defined after it"):
        replace_last_linear(Network(fc=nn.Linear(8, 3), attention=nn.MultiheadAttention(8, 2)))
    with pytest.raises(ValueError, match="contain a torch.nn.Linear that gives the logits, but Network has none"):
        replace_last_linear(Network(attention=nn.MultiheadAttention(8, 2)))
    with pytest.raises(ValueError, match="but Network has none. Put a head behind .*Classifier"):
        replace_last_linear(Network(convolution=nn.Conv2d(3, 8, 3)))
    with pytest.raises(ValueError, match=r"is itself Linear\(in_features=8, .*\). Use the head alone"):
        replace_last_linear(nn.Linear(8, 3))
    with pytest.raises(ValueError, match="does not know its size yet. Run the network on one batch"):
        replace_last_linear(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, but is str"):
        replace_last_linear("resnet18")


def test_a_head_that_does_not_fit_is_refused_and_nothing_changes():
    model = tiny_mlp()
    with pytest.raises(ValueError, match="loss must be one of 'softmax'.*but is 'isomx'.*A Head of your own"):
        replace_last_linear(model, "isomx")
    with pytest.raises(ValueError, match="loss must be one of 'softmax'.*class or an instance"):
        replace_last_linear(model, nn.Linear)
    with pytest.raises(ValueError, match="IsoMaxHead must be one of 'entropic_scale', 'initialisation', but is 'temp"):
        replace_last_linear(model, "isomax", temperature=2.0)
    with pytest.raises(ValueError, match="entropic_scale must be a number above 0, but is -1"):
        replace_last_linear(model, "isomax", entropic_scale=-1)
    with pytest.raises(ValueError, match=r"a head of 24 features, as Linear\(.*but is IsoMaxHead\(num_features=8"):
        replace_last_linear(model, IsoMaxHead(8, 10))
    with pytest.raises(TypeError, match="A head brings its own entropic_scale, num_classes"):
        replace_last_linear(model, IsoMaxHead(24, 10), entropic_scale=1.0, num_classes=3)
    assert isinstance(model[3], nn.Linear)


def test_a_layer_that_stands_in_two_places_is_replaced_in_both():
    shared = nn.Linear(8, 3)
    model = Network(body=nn.Linear(4, 8), wrapped=nn.Sequential(shared), fc=shared)
    head = replace_last_linear(model, "isomax").head
    assert model.fc is head and model.wrapped[0] is head


class Chatty(nn.Module):
    """Answers with log-probabilities and more beside them, as many a user's network does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = small_cnn(1)
        self.fc = nn.Linear(128, 10)

    def forward(self, images):
        features = self.body(images)
        return functional.log_softmax(self.fc(features), dim=1), features


def test_a_network_with_more_than_logits_is_trained_and_recorded():
    torch.manual_seed(0)
    model = Chatty()
    head = replace_last_linear(model, "isomax").head
    classifier, digits = as_classifier(model), load_id("digits")
    assert as_classifier(classifier) is classifier
    data = InDistribution("digits", digits.train.subset(range(200)), digits.test.subset(range(60)))
    start = model.body.layers[0].weight.detach().clone()
    history = train(classifier, data, Protocol(epochs=2, milestones=(1,)), progress=False, device="cpu")
    assert history.loss[0] > history.loss[2] and not torch.equal(model.body.layers[0].weight, start)
    capture = record_capture(classifier, data, meta={"loss": "isomax"}, device="cpu")
    pictures = torch.from_numpy(np.moveaxis(data.test.images, 3, 1) / 255).float()
    with torch.no_grad():
        features = model((pictures - data.mean[0]) / data.std[0])[1]
    np.testing.assert_allclose(capture.test.features, features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(capture.test.logits, -torch.cdist(features, head.prototypes).detach(), atol=1e-3)
    np.testing.assert_array_equal(capture.prototypes, head.prototypes.detach())


def test_a_compiled_backbone_gives_the_same_features():
    torch.manual_seed(0)
    model = replace_last_linear(tiny_mlp(), "isomax").model
    backbone, images = as_classifier(model).backbone, torch.randn(3, 3, 32, 32)
    compiled = torch.compile(backbone, backend="eager")
    for batch in (images, images + 1):
        assert torch.equal(compiled(batch), backbone(batch))


class Stubborn(nn.Module):
    """Calls its head never, or too often."""

    def __init__(self, shapes) -> None:
        super().__init__()
        self.shapes = shapes
        self.fc: Head = IsoMaxHead(4, 3)

    def forward(self, images):
        return [self.fc(torch.zeros(shape)) for shape in self.shapes]


@pytest.mark.parametrize(("shapes", "told"), [([], "nothing"), ([(2, 4)] * 2, r"\(2, 4\), \(2, 4\)")])
def test_a_head_that_is_not_called_once_is_reported(shapes, told):
    classifier = as_classifier(Stubborn(shapes))
    with pytest.raises(ValueError, match=f"must call its head 'fc' once, .* but gave it {told}. Pool over"):
        classifier.backbone(torch.zeros(2, 3, 8, 8))
    assert not classifier.head._forward_pre_hooks


def test_a_head_on_every_token_is_reported():
    model = nn.Sequential(nn.Unflatten(1, (2, 4)), IsoMaxHead(4, 3))
    with pytest.raises(ValueError, match=r"head '1' once, with one feature vector per image, but gave it \(5, 2, 4\)"):
        as_classifier(model).backbone(torch.zeros(5, 8))


def test_a_network_needs_exactly_one_head():
    with pytest.raises(ValueError, match="one head, but Sequential has none inside.*replace_last_linear"):
        as_classifier(tiny_mlp())
    with pytest.raises(ValueError, match="but Network has 2 inside"):
        as_classifier(Network(a=IsoMaxHead(4, 3), b=IsoMaxHead(4, 3)))
    with pytest.raises(ValueError, match="but IsoMaxHead has none inside"):
        as_classifier(IsoMaxHead(4, 3))


def test_the_example_runs(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("finetune_torchvision", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    whole = load_id("digits")
    few = InDistribution("digits", whole.train.subset(range(64)), whole.test.subset(range(32)))
    monkeypatch.setattr(example, "load_id", lambda name: few)
    example.main(epochs=1)
    told = capsys.readouterr().out
    assert "Replaced('fc' of ResNet: Linear(in_features=512, out_features=1000" in told
    assert "test accuracy: " in told and "TNR@TPR95" in told and told.count(" letters ") == 3

"""Recording any classifier: the capture holds what the network says, and the network is left as it was."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import isomax_viz as iv
from isomax_viz import datasets
from isomax_viz.learning.losses import Head, IsoMax2Head, IsoMaxHead
from isomax_viz.learning.surgery import as_classifier, replace_last_linear


class Network(nn.Module):
    """Convolution, batch normalisation and dropout behind which the mode can be seen; a softmax after the logits."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(24, classes)

    def forward(self, images):
        return self.fc(self.dropout(self.stem(images).flatten(1))).softmax(dim=1)


@pytest.fixture
def model() -> Network:
    torch.manual_seed(0)
    network = Network()
    with torch.no_grad():  # as after a training
        network.stem[1].running_mean.normal_()
        network.stem[1].running_var.uniform_(0.5, 2)
    return network


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(23, 1, 8, 8, generator=torch.Generator().manual_seed(1))


LABELS = torch.arange(23) % 10


def by_hand(model: Network, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits, layer by layer in evaluation mode."""
    norm = model.stem[1]
    x = nn.functional.conv2d(images, model.stem[0].weight, model.stem[0].bias)
    x = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
    x = x * norm.weight[:, None, None] + norm.bias[:, None, None]
    features = nn.functional.adaptive_avg_pool2d(x.clamp(min=0), 2).flatten(1).detach().numpy()
    return features, features @ model.fc.weight.detach().numpy().T + model.fc.bias.detach().numpy()


@pytest.mark.parametrize("kind", ["tensors", "arrays", "loader", "batches"])
def test_features_and_logits_are_those_of_the_last_linear_layer(model, images, kind):
    features, logits = by_hand(model, images)
    data = {
        "tensors": (images, LABELS),
        "arrays": (images.double().numpy(), LABELS.tolist()),
        "loader": DataLoader(TensorDataset(images, LABELS), batch_size=5),
        "batches": [(images[:20], LABELS[:20], "more"), (images[20:], LABELS[20:], "more")],
    }[kind]
    other = {"far": 3 * images, "loader": DataLoader(TensorDataset(images[:7] - 1), batch_size=3)}
    capture = iv.record(model, data, other, batch_size=4)
    np.testing.assert_allclose(capture.test.features, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(capture.test.logits, logits, rtol=1e-4, atol=1e-5)
    assert np.array_equal(capture.test.labels, LABELS) and capture.test.distances is None
    np.testing.assert_allclose(capture.ood["far"].logits, by_hand(model, 3 * images)[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(capture.ood["loader"].logits, by_hand(model, images[:7] - 1)[1], rtol=1e-4, atol=1e-5)
    assert set(capture.ood["far"].labels) == {-1}
    assert capture.meta["layer"] == "fc" and capture.loss == "softmax"
    assert len(iv.evaluate(capture)) == 2 * 2  # MPS and ES, without distances


def test_the_network_is_left_as_it_was(model, images):
    model.train()
    model.stem[1].eval()  # a frozen part
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = {name: module.training for name, module in model.named_modules()}
    iv.record(model, (images, LABELS), {"far": images + 2})
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not model.fc._forward_hooks and all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="labels"):
        iv.record(model, (images, LABELS[:5]))
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert not model.fc._forward_hooks


def test_pictures_are_normalised_with_the_statistics_of_the_training_data(model):
    data = datasets.load_id("digits").with_examples_per_class(20, seed=0)
    capture = iv.record(model, data, {"letters": "letters", "mine": datasets.load_ood("uniform", data, n=9)})
    for name, pictures in (("test", data.test), ("letters", datasets.load_ood("letters", data))):
        pixels = (pictures.images / 255 - data.mean) / data.std
        expected = by_hand(model, torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
        np.testing.assert_allclose(capture.samples[name].features, expected[0], rtol=1e-3, atol=1e-4)
    assert len(capture.ood["mine"]) == 9
    # Distances as an experiment with SoftMax has them: to the class means of the training features.
    train = capture.train
    means = np.stack([train.features[train.labels == label].mean(axis=0) for label in range(10)])
    expected = np.linalg.norm(capture.test.features[:, None] - means, axis=2)
    np.testing.assert_allclose(capture.test.distances, expected, rtol=1e-3, atol=1e-4)
    assert "class means" in capture.meta["distances"] and capture.meta["data"] == "digits"
    assert capture.meta["ood"]["letters"]["fingerprint"] == datasets.load_ood("letters", data).fingerprint
    plain = iv.record(model, data.test, normalise=(0, 1))
    pixels = torch.from_numpy(data.test.images / 255).permute(0, 3, 1, 2).float()
    np.testing.assert_allclose(plain.test.logits, by_hand(model, pixels)[1], rtol=1e-3, atol=1e-4)


def test_a_recorded_experiment_equals_its_own_capture(trained, session_store):
    """The same network, recorded by the experiment and as if it were anyone's."""
    experiment, own = iv.Experiment(loss="isomax2", preset="smoke"), trained["isomax2"]
    network = experiment.network(store=session_store)
    capture = iv.record(network, datasets.load_id("digits"), {"letters": "letters"})
    assert capture.loss == "isomax2" and capture.meta["layer"] == "head"
    for name in ("train", "test", "letters"):
        for array in ("features", "logits", "distances"):
            ours, theirs = getattr(capture.samples[name], array), getattr(own.samples[name], array)
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
        assert np.array_equal(capture.samples[name].predictions, own.samples[name].predictions)
    np.testing.assert_allclose(capture.prototypes, own.prototypes)


def test_networks_of_torchvision_with_their_own_or_another_head():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model, images = resnet18(num_classes=4), torch.randn(6, 3, 32, 32)
    capture = iv.record(
        model, (images, torch.arange(6) % 4), {"noise": torch.rand(5, 3, 32, 32)}, train=(images, [0, 1, 2, 3, 0, 1])
    )
    with torch.no_grad():
        np.testing.assert_allclose(capture.test.logits, model.eval()(images).numpy(), rtol=1e-4, atol=1e-4)
    assert capture.test.features.shape == (6, 512) and capture.meta["backbone"] == "ResNet"
    assert iv.plot_scores(capture, ood="noise", score="mds").get_title(loc="left")
    head = replace_last_linear(model, "isomax+").head
    capture = iv.record(model, (images, torch.arange(6) % 4), {"noise": torch.rand(5, 3, 32, 32)})
    features = torch.from_numpy(capture.test.features.copy())
    np.testing.assert_allclose(capture.test.distances, head.distances(features).detach().numpy(), rtol=1e-4)
    assert capture.loss == "isomax+" and "mds" in set(iv.evaluate(capture)["score"])


def test_another_layer_can_be_named(images):
    torch.manual_seed(0)
    model = nn.ModuleDict({"body": nn.Linear(64, 5), "left": nn.Linear(5, 3), "right": nn.Linear(5, 4)})
    model.forward = lambda x: (model["left"](model["body"](x.flatten(1))), model["right"](model["body"](x.flatten(1))))
    assert iv.record(model, (images, LABELS % 3)).meta["layer"] == "left"  # the first that it returns
    assert iv.record(model, (images, LABELS % 4), layer="right", loss="mine").loss == "mine"


def test_half_precision_networks_are_recorded_in_float32(model, images):
    expected = iv.record(model, (images, LABELS)).test.logits
    capture = iv.record(model.to(torch.bfloat16), (images, LABELS))
    assert capture.test.logits.dtype == np.float32
    np.testing.assert_allclose(capture.test.logits, expected, atol=0.1)
    assert model.fc.weight.dtype == torch.bfloat16


class Scale(nn.Module):
    """One factor for each class, which is no constant."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.linspace(0.5, 2, 10))

    def forward(self, logits):
        return self.factors * logits


class Adapted(nn.Module):
    """A linear layer with a low-rank adapter beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.down, self.up = nn.Linear(24, 10), nn.Linear(24, 2), nn.Linear(2, 10)

    def forward(self, features):
        return self.base(features) + self.up(self.down(features))


class Answers(Network):
    """Returns what a function makes of the features; further layers by name."""

    def __init__(self, answer, **layers: nn.Module) -> None:
        super().__init__()
        self.answer = answer
        for name, layer in layers.items():
            setattr(self, name, layer)

    def features(self, images):
        return self.stem(images).flatten(1)

    def forward(self, images):
        return self.answer(self, self.features(images))


class Output(SimpleNamespace):
    """As the transformers library returns it, but no mapping."""


@pytest.mark.parametrize(
    ("layer", "answer", "layers", "logits"),
    [
        ("fc", lambda net, x: (net.fc(x), net.other(x)), {"other": nn.Linear(24, 8)}, lambda net, x: net.fc(x)),
        ("fc", lambda net, x: [net.fc(x), x], {}, lambda net, x: net.fc(x)),
        ("fc", lambda net, x: {"loss": None, "logits": net.fc(x)}, {}, lambda net, x: net.fc(x)),
        ("fc", lambda net, x: Output(logits=net.fc(x)), {"other": nn.Linear(24, 10)}, lambda net, x: net.fc(x)),
        ("fc", lambda net, x: net.fc(x).log_softmax(dim=1), {}, lambda net, x: net.fc(x)),
        ("fc", lambda net, x: net.fc(x) / 4, {}, lambda net, x: net.fc(x) / 4),
        ("fc", lambda net, x: (4 * net.fc(x)).softmax(dim=1), {}, lambda net, x: 4 * net.fc(x)),
        ("fc", lambda net, x: (net.fc(x) / 3).log_softmax(dim=1), {}, lambda net, x: net.fc(x) / 3),
        ("fc", lambda net, x: net.fc(x), {"fc": Adapted()}, lambda net, x: net.fc(x)),
        ("fc", lambda net, x: net.fc(x), {"fc": nn.Sequential(nn.Linear(24, 10), Scale())}, lambda net, x: net.fc(x)),
        ("fc.1", lambda net, x: net.fc(x), {"fc": nn.Sequential(nn.Linear(24, 24), nn.Linear(24, 10))},
         lambda net, x: net.fc(x)),
        ("fc", lambda net, x: net.fc.class_logits(net.fc(x)), {"fc": IsoMaxHead(24, 10)}, lambda net, x: net.fc(x)),
        ("fc", lambda net, x: net.fc.class_logits(net.fc(x)), {"fc": IsoMax2Head(24, 10)}, lambda net, x: net.fc(x)),
        ("fc", lambda net, x: net.fc(x), {"fc": parametrizations.weight_norm(nn.Linear(24, 10))},
         lambda net, x: net.fc(x)),
        ("fc", lambda net, x: net.fc(x), {"fc": parametrizations.spectral_norm(nn.Linear(24, 10))},
         lambda net, x: net.fc(x)),
    ],
)  # fmt: skip
def test_the_logits_recorded_are_those_that_the_network_returns(images, layer, answer, layers, logits):
    torch.manual_seed(0)
    network = Answers(answer, **layers).eval()
    if isinstance(network.fc, Head):
        nn.init.normal_(network.fc.prototypes)
    with torch.no_grad():
        expected = logits(network, network.features(images)).numpy()
        received = network.features(images)
        received = (network.fc[0](received) if layer == "fc.1" else received).numpy()
    capture = iv.record(network, (images, LABELS), {"far": images + 1}, batch_size=5)
    np.testing.assert_allclose(capture.test.logits, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(capture.test.features, received, rtol=1e-4, atol=1e-5)
    assert capture.meta["layer"] == layer


@pytest.mark.parametrize(
    "answer",
    [
        lambda net, x: (net.fc(x) + net.other(x)) / 2,
        lambda net, x: (net.fc(x).softmax(dim=1) + net.other(x).softmax(dim=1)) / 2,
        lambda net, x: net.scale(net.fc(x)),
        lambda net, x: net.fc(x) + x[:, :10],
        lambda net, x: nn.functional.normalize(net.fc(x)),
        lambda net, x: -net.fc(x),
        lambda net, x: net.fc(x).sigmoid(),
    ],
)
def test_a_network_that_returns_something_else_than_its_layers_give_is_refused(answer, images, caplog):
    torch.manual_seed(0)
    network = Answers(answer, other=nn.Linear(24, 10), scale=Scale())
    with pytest.raises(
        ValueError, match=r"than its layers give \('fc', 'other'\).*\(layer=...\), or compute the logits"
    ):
        iv.record(network, (images, LABELS))
    capture = iv.record(network, (images, LABELS), layer="fc")
    np.testing.assert_allclose(capture.test.logits, by_hand(network, images)[1], rtol=1e-4, atol=1e-5)
    assert "Layer 'fc' is recorded as you say, but Answers returns something else" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        lambda net, x: (net.other(x), net.fc(x)),
        lambda net, x: [net.other(x), x, net.fc(x).softmax(dim=1)],
        lambda net, x: (lambda hidden: (hidden, net.behind(hidden)))(net.other(x)),
    ],
)
def test_several_answers_are_said_for_the_first_is_taken(answer, images, caplog):
    network = Answers(answer, other=nn.Linear(24, 12), behind=nn.Linear(12, 10))
    assert iv.record(network, (images, LABELS)).meta["layer"] == "other"
    assert re.search("returns what several layers give; the first, of 'other', .*one of '(fc|behind)'", caplog.text)


def test_a_network_that_changes_its_mind_is_noticed(images):
    """Agrees on the first images only."""
    network = Answers(lambda net, x: net.fc(x) + (x.sum() > 30) * x[:, :10])
    with pytest.raises(ValueError, match="returns something else than its layers give"):
        iv.record(network, (images, LABELS), {"far": 100 * images})


@pytest.mark.parametrize("answer", [lambda net, x: {"out": net.fc(x)}, lambda net, x: (None, net.fc(x))])
def test_an_answer_that_is_not_understood_is_refused_unless_the_layer_is_named(answer, images, caplog):
    network = Answers(answer)
    with pytest.raises(ValueError, match="returns a .*not known which part of that are the logits.*one of 'fc'"):
        iv.record(network, (images, LABELS))
    assert iv.record(network, (images, LABELS), layer="fc").test.classes == 10
    assert not caplog.text


def test_compiled_and_spread_networks_are_recorded_as_they_are(model, images):
    expected = iv.record(model, (images, LABELS)).test
    inner, place = nn.Sequential(model), nn.Sequential(torch.compile(model, backend="eager"))
    in_place = nn.Sequential(model)
    in_place.compile(backend="eager")
    in_place.eval()(images)
    for network in (torch.compile(inner, backend="eager"), place, in_place, nn.DataParallel(inner)):
        found = iv.record(network, (images, LABELS))
        assert np.array_equal(found.test.logits, expected.logits) and found.meta["layer"].endswith("fc")
        assert np.array_equal(found.test.features, expected.features)


def test_what_has_no_layers_to_read_says_what_it_is(model, images):
    script, traced = torch.jit.script(model), torch.jit.trace(model.eval(), images)
    exported = torch.export.export(model.eval(), (images,))
    for program, kind in ((script, "RecursiveScriptModule"), (traced, "TopLevelTracedModule"),
                          (exported, "ExportedProgram"), (exported.module(), "GraphModule")):  # fmt: skip
        with pytest.raises(TypeError, match=f"model is a {kind}: it was scripted, traced or exported.*it was made of"):
            iv.record(program, (images, LABELS))
    parts = {"quantised": torch.ao.nn.quantized.dynamic.Linear(24, 10), "scripted": torch.jit.script(nn.Linear(24, 10))}
    for kind, part in parts.items():
        for body in (model.stem, nn.Sequential(model.stem, nn.Flatten(), nn.Linear(24, 24))):
            network = nn.Sequential(body, nn.Flatten(), part)
            with pytest.raises(ValueError, match=f"The layer '2' of Sequential is {kind}.*as it was before"):
                iv.record(network, (images, LABELS))


def nan_network() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    nn.init.constant_(model[1].weight, float("nan"))
    return model


class Named(Network):
    """Calls its last layer by keyword, and gives more than logits."""

    def forward(self, images):
        features = self.dropout(self.stem(images).flatten(1))
        return {"logits": self.fc(input=features), "all": (features, images)}


def test_what_a_network_returns_and_how_it_calls_its_layer_does_not_matter(model, images):
    named = Named().eval()
    named.load_state_dict(model.state_dict())
    capture = iv.record(named, (images, LABELS))
    np.testing.assert_allclose(capture.test.logits, by_hand(model, images)[1], rtol=1e-4, atol=1e-5)


def test_a_head_that_is_called_by_keyword_has_features_too(model, images):
    class ByName(Network):
        def forward(self, images):
            return self.fc(features=self.stem(images).flatten(1))

    network = ByName().eval()
    network.load_state_dict(model.state_dict())
    replace_last_linear(network, "softmax")
    np.testing.assert_allclose(
        as_classifier(network).backbone(images).detach(), by_hand(model, images)[0], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["a\\b", 'it\'s "mine"', "two\nlines", "é\u200b"])
def test_sets_keep_their_names_whatever_is_in_them(model, images, name):
    data = datasets.load_id("digits").with_examples_per_class(20, seed=0)
    assert list(iv.record(model, (images, LABELS), {name: images}).ood) == [name]
    capture = iv.record(model, data, {name: datasets.load_ood("uniform", data, n=3)})
    assert list(capture.ood) == list(capture.meta["ood"]) == [name]


def distributed(*, shuffle: bool) -> DistributedSampler:
    return DistributedSampler(LABELS, num_replicas=2, rank=0, shuffle=shuffle)


class Endless(IterableDataset):
    """Each worker reads all of it."""

    def __iter__(self):
        return iter([(torch.zeros(1, 8, 8), 0)] * 4)


class Reversing(SequentialSampler):
    """Has another order than what it is derived from."""

    def __iter__(self):
        return iter(range(22, -1, -1))


class Buckets(Sampler):
    """Batches of its own making."""

    def __iter__(self):
        return iter([list(range(9, 23)), list(range(9))])


@pytest.mark.parametrize(
    ("options", "unordered", "warnings"),
    [
        ({}, False, []),
        ({"sampler": list(range(22, -1, -1))}, False, []),
        ({"shuffle": True}, True, ["test is drawn by a RandomSampler: its images may come in another order"]),
        ({"sampler": WeightedRandomSampler([1.0] * 23, 23)}, True, ["test is drawn by a WeightedRandomSampler"]),
        (
            {"sampler": SubsetRandomSampler(range(20))},
            True,
            ["test is drawn by a SubsetRandomSampler", "test has 23 images, but its DataLoader gave 20"],
        ),
        ({"batch_sampler": Buckets()}, True, ["test is drawn by a Buckets"]),
        ({"batch_sampler": [list(range(23))]}, False, []),
        ({"sampler": np.arange(22, -1, -1)}, False, []),
        ({"sampler": Reversing(LABELS)}, True, ["test is drawn by a Reversing"]),
        ({"batch_sampler": BatchSampler(RandomSampler(LABELS), 7, False)}, True, ["test is drawn by a RandomSampler"]),
        (
            {"batch_sampler": BatchSampler(SequentialSampler(LABELS), 7, True)},
            False,
            ["test has 23 images, but its DataLoader gave 21"],
        ),
        ({"drop_last": True}, False, ["test has 23 images, but its DataLoader gave 21: look at .* drop_last"]),
        ({"sampler": distributed(shuffle=False)}, False, ["test has 23 images, but its DataLoader gave 12"]),
        (
            {"sampler": distributed(shuffle=True)},
            True,
            ["test is drawn by a DistributedSampler", "test has 23 images, but its DataLoader gave 12"],
        ),
    ],
)
def test_what_a_loader_leaves_out_or_draws_at_random_is_said(model, images, options, unordered, warnings, caplog):
    size = {} if "batch_sampler" in options else {"batch_size": 7}
    loader = DataLoader(TensorDataset(images, LABELS), **size, **options)
    train = DataLoader(TensorDataset(images, LABELS), batch_size=11, shuffle=True, drop_last=True)
    capture = iv.record(model, loader, {"far": images}, train=train)
    assert capture.meta.get("unordered", []) == ["test"] * unordered
    assert len(caplog.records) == len(warnings)
    for record, expected in zip(caplog.records, warnings, strict=True):
        assert re.match(expected, record.getMessage())


def test_ready_batches_that_are_shuffled_are_said(model, images, caplog):
    """Without a batch size, the loader's sampler draws whole batches."""
    ready = list(zip(images.split(6), LABELS.split(6), strict=True))
    assert "unordered" not in iv.record(model, DataLoader(ready, batch_size=None)).meta and not caplog.text
    assert iv.record(model, DataLoader(ready, batch_size=None, shuffle=True)).meta["unordered"] == ["test"]
    assert "test is drawn by a RandomSampler" in caplog.text


def test_an_iterable_set_whose_last_batch_may_be_dropped_is_said(model, images, caplog):
    """Nobody knows how many images it has."""
    iv.record(model, (images, LABELS), {"far": DataLoader(Endless(), batch_size=3, drop_last=True)})
    assert "ood['far'] may lack its last images: its DataLoader drops an incomplete batch" in caplog.text


def test_several_workers_of_an_iterable_set_are_said(model, images, caplog):
    loader = DataLoader(Endless(), batch_size=4, num_workers=2)
    capture = iv.record(model, (images, LABELS), {"far": loader})
    assert len(capture.ood["far"]) == 8 and capture.meta["unordered"] == ["far"]
    assert "ood['far'] is read by 2 workers, of which each may read all of it" in caplog.text


def test_captures_in_different_orders_are_not_compared(model, images):
    shuffled = DataLoader(TensorDataset(images, LABELS), batch_size=7, shuffle=True)
    plain, other = (iv.record(model, (images, LABELS), {"far": far}) for far in (images + 1, shuffled))
    assert iv.compare((plain, "mps"), (plain.replace(), "es"), resamples=2).difference <= 1
    assert iv.compare((other, "mps"), (other, "es"), resamples=2).difference <= 1  # of the same recording
    with pytest.raises(ValueError, match="'far' of b was recorded in a random order, .*Record it again.*shuffle=False"):
        iv.compare((plain, "mps"), (other, "mps"), resamples=2)
    first = iv.record(model, shuffled, {"far": images})
    with pytest.raises(ValueError, match="'test' of a was recorded in a random order"):
        iv.compare((first, "mps"), (plain, "mps"), resamples=2)


def test_an_error_of_the_network_tells_which_images_it_was_given(model, images):
    with pytest.raises(RuntimeError) as caught:
        iv.record(model, (images, LABELS), {"colour": torch.zeros(2, 3, 8, 8)})
    assert caught.value.__notes__ == ["Network was given images of ood['colour'], shape (2, 3, 8, 8)."]


ONE = torch.zeros(4, 1, 8, 8)
THREE = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


@pytest.mark.parametrize(
    ("model", "data", "options", "message"),
    [
        (nn.Conv2d(1, 3, 3), (ONE, [0] * 4), {}, "must contain a torch.nn.Linear that gives the logits"),
        (THREE, (ONE, [0, 1, 2]), {}, r"The labels of test must be one .* each of 4 images, but have shape \(3,\)"),
        (THREE, (ONE, [0, 1, 2, 3]), {}, "The labels of test must lie in 0 .. 2.*range from 0 to 3"),
        (THREE, (ONE, [0, 1, 2, -1]), {}, "labels of test must lie in 0 .. 2 .*range from -1 to 2"),
        (THREE, (ONE, [[0]] * 4), {}, r"one class number for each of 4 images, but have shape \(4, 1\)"),
        (THREE, DataLoader(TensorDataset(ONE)), {}, "test has no labels. In-distribution data needs them"),
        (THREE, [], {}, "test is empty: it gave no image"),
        (THREE, (ONE[:0], []), {}, "test is empty: it gave no image"),
        (THREE, (ONE, [0] * 4), {"ood": {"far": ONE[:0]}}, r"ood\['far'\] is empty"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), (ONE, [0] * 4), {}, "gives 1 logit per image; at least 2"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(64, 3)), (ONE, [0] * 4), {}, r"of shape \(4, 1, 3\).*or pool over"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(64, 3), nn.Flatten()), (ONE, [0] * 4), {"layer": "1"},
         r"called once, .* but: a tensor of shape \(4, 1, 64\) -> a tensor of shape \(4, 1, 3\)"),
        (nan_network(), (ONE, [0] * 4), {}, "The logits of test has 12 of 12 values that are NaN"),
        (THREE, (ONE, [0] * 4), {"layer": "2"}, "layer must be one of '1', but is '2'"),
        (THREE, (ONE, [0] * 4), {"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        (THREE, datasets.load_id("digits").test, {}, "nothing says how the network wants its pictures"),
        (THREE, datasets.load_id("digits").test, {"normalise": (127, 60)}, r"scale \[0, 1\].*mean is \[127.0\]"),
        (THREE, datasets.load_id("digits").test, {"normalise": (0.5, 0)}, "std above 0"),
        (THREE, datasets.load_id("digits").test, {"normalise": ([0.5] * 3, 1)}, "a mean of 3 channels, but test has 1"),
        (THREE, [ONE, torch.zeros(4)], {}, r"a list of batches without labels.*in a tuple: \(images, labels\)"),
        (THREE, (ONE / 0, [0] * 4), {}, "test holds images with NaN or infinite numbers. Mend the preprocessing"),
        (THREE, (ONE, 3), {}, r"one class number for each of 4 images, but have shape \(\)"),
        (THREE, (ONE, [0] * 4), {"ood": {"test": ONE}}, "ood='test' is the name of the in-distribution samples"),
    ],
)  # fmt: skip
def test_what_can_not_be_recorded_says_why(model, data, options, message):
    with pytest.raises(ValueError, match=message):
        iv.record(model, data, **options)


@pytest.mark.parametrize(
    ("model", "data", "ood", "message"),
    [
        (len, (ONE, [0] * 4), None, "model must be a torch.nn.Module, but is builtin_function_or_method"),
        (THREE, 5, None, "test must be an ImageSet, .* or a DataLoader, but is int"),
        (THREE, (ONE.byte(), [0] * 4), None, "preprocessed images as floats, but their dtype is torch.uint8"),
        (THREE, TensorDataset(ONE), None, "but is TensorDataset. Wrap a Dataset in a DataLoader"),
        (
            THREE,
            [{"pixels": ONE, "labels": [0] * 4}],
            None,
            "but is a dict with the keys 'pixels', 'labels'. Give them",
        ),
        (THREE, (ONE, [0] * 4), {1: ONE}, "A name in ood must be text, but is 1"),
        (THREE, (ONE, [0] * 4), [ONE], "ood must map names to data.*but is list"),
        (THREE, (ONE, [0] * 4), {"letters": "letters"}, "needs id_data to be an ImageSet or an InDistribution"),
    ],
)
def test_what_is_no_data_says_so(model, data, ood, message):
    with pytest.raises(TypeError, match=message):
        iv.record(model, data, ood)


def test_a_normalisation_that_is_none_says_so():
    with pytest.raises(TypeError, match=r"normalise must be \(mean, std\).*but is 0.5"):
        iv.record(THREE, datasets.load_id("digits").test, normalise=0.5)


def test_pictures_of_other_classes_than_the_networks_are_told():
    pictures, network = np.zeros((6, 8, 8, 1), np.uint8), Network(classes=5)
    options = {"normalise": (0, 1)}
    many = datasets.from_arrays(pictures, range(6))
    with pytest.raises(ValueError, match="test has 6 classes, but the network tells 5 apart. Number the pictures by"):
        iv.record(network, many, **options)
    with pytest.warns(UserWarning, match="test has 3 classes, .* likely stand for other classes"):
        iv.record(network, datasets.from_arrays(pictures, [0, 1, 2] * 2), **options)
    with pytest.raises(ValueError, match="test is an ImageSet without labels"):
        iv.record(network, datasets.from_arrays(pictures), **options)
    few = datasets.from_arrays(pictures, [0, 1, 2] * 2, class_names=list("abcde"))
    assert len(iv.record(network, few, {"any": many}, **options).test) == 6

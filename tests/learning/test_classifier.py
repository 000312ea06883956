"""Recording any classifier: the capture holds what the network says, and the network is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import isomax_viz as iv
from isomax_viz import datasets
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


def test_a_recorded_experiment_equals_its_own_capture(trained, tmp_path_factory):
    """The same network, recorded by the experiment and as if it were anyone's."""
    experiment, own = iv.Experiment(loss="isomax2", preset="smoke"), trained["isomax2"]
    network = experiment.network(store=tmp_path_factory.getbasetemp() / "store")
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
    with pytest.raises(ValueError, match="side by side.*Name the layer that gives the logits"):
        iv.record(model, (images, LABELS % 3))
    assert iv.record(model, (images, LABELS % 3), layer="left").test.classes == 3
    assert iv.record(model, (images, LABELS % 4), layer="right", loss="mine").loss == "mine"


def test_half_precision_networks_are_recorded_in_float32(model, images):
    expected = iv.record(model, (images, LABELS)).test.logits
    capture = iv.record(model.to(torch.bfloat16), (images, LABELS))
    assert capture.test.logits.dtype == np.float32
    np.testing.assert_allclose(capture.test.logits, expected, atol=0.1)
    assert model.fc.weight.dtype == torch.bfloat16


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


def test_a_shuffled_set_is_recorded_with_a_warning(model, images, caplog):
    loader = DataLoader(TensorDataset(images, LABELS), batch_size=7, shuffle=True)
    assert sorted(iv.record(model, loader, train=loader).test.labels) == sorted(LABELS.tolist())
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["test is shuffled"]


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
        (THREE, (ONE, [0, 1, 2]), {}, "test has 4 images but 3 labels. Give one label per image"),
        (THREE, (ONE, [0, 1, 2, 3]), {}, "The labels of test must lie in -1 .. 2.*range from 0 to 3"),
        (THREE, (ONE, [0, 1, 2, -1]), {}, "The labels of test hold -1; -1 is for out-of-distribution images only"),
        (THREE, (ONE, [[0]] * 4), {}, r"one class number per image, but have shape \(4, 1\)"),
        (THREE, DataLoader(TensorDataset(ONE)), {}, "test has no labels. In-distribution data needs them"),
        (THREE, [], {}, "test is empty: it gave no image"),
        (THREE, (ONE[:0], []), {}, "test is empty: it gave no image"),
        (THREE, (ONE, [0] * 4), {"ood": {"far": ONE[:0]}}, r"ood\['far'\] is empty"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), (ONE, [0] * 4), {}, "gives 1 logit per image; at least 2"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(64, 3)), (ONE, [0] * 4), {}, r"called once, .* but: \(4, 1, 64\)"),
        (nan_network(), (ONE, [0] * 4), {}, "The logits of test has 12 of 12 values that are NaN"),
        (THREE, (ONE, [0] * 4), {"layer": "2"}, "layer must be one of '1', but is '2'"),
        (THREE, (ONE, [0] * 4), {"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        (THREE, datasets.load_id("digits").test, {}, "nothing says how the network wants its pictures"),
        (THREE, datasets.load_id("digits").test, {"normalise": (127, 60)}, r"scale \[0, 1\].*mean is \[127.0\]"),
        (THREE, datasets.load_id("digits").test, {"normalise": (0.5, 0)}, "std above 0"),
        (THREE, datasets.load_id("digits").test, {"normalise": ([0.5] * 3, 1)}, "a mean of 3 channels, but test has 1"),
        (THREE, [ONE, torch.zeros(4)], {}, r"a list of batches without labels.*in a tuple: \(images, labels\)"),
        (THREE, (ONE / 0, [0] * 4), {}, "test holds images with NaN or infinite numbers. Mend the preprocessing"),
        (THREE, (ONE, [0] * 4), {"ood": {"test": ONE}}, "is named 'test'. Its name must be a text, neither empty"),
        (THREE, (ONE, [0] * 4), {"ood": {1: ONE}}, "is named 1. Its name must be a text"),
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
        (THREE, (ONE, 3), None, "The labels of test must be one class number per image, but are 3"),
        (THREE, TensorDataset(ONE), None, "but is TensorDataset. Wrap a Dataset in a DataLoader"),
        (
            THREE,
            [{"pixels": ONE, "labels": [0] * 4}],
            None,
            "but is a dict with the keys 'pixels', 'labels'. Give them",
        ),
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

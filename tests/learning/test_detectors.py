"""Detectors against hand-written examples, scipy and pytorch-ood called directly; their errors; their way to views."""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

import isomax_viz as iv
from isomax_viz import Experiment, Samples, figures, metrics
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.experiments import add_scores as scoring
from isomax_viz.explorer.lessons import score_lesson
from isomax_viz.figures._canvas import png
from isomax_viz.learning.backbones import Classifier, small_cnn
from isomax_viz.learning.detectors import (
    DETECTORS,
    GODIN,
    ODIN,
    Ensemble,
    FeatureDetector,
    Gram,
    KLMatching,
    KNearest,
    Known,
    Layers,
    Mahalanobis,
    MahalanobisFeatures,
    MCDropout,
    NotFittedError,
    ReAct,
    ViM,
    adversarial,
)
from isomax_viz.learning.detectors.base import option
from isomax_viz.learning.detectors.gaussians import Gaussians
from isomax_viz.learning.detectors.lee import _regression
from isomax_viz.learning.losses import HEADS, IsoMaxHead, SoftMaxHead
from isomax_viz.learning.recording.network import record_capture
from isomax_viz.learning.surgery import replace_last_linear

library = pytest.importorskip("pytorch_ood.detector")


@pytest.fixture(scope="module")
def network(trained, session_store):
    return Experiment(loss="softmax", preset="smoke").network(store=session_store)


@pytest.fixture(scope="module")
def data():
    return iv.datasets.load_id("digits")


@pytest.fixture(scope="module")
def capture(trained):
    """The smoke training on digits, with the set that is drawn fastest."""
    return trained["softmax"].replace(ood={"uniform": trained["softmax"].ood["uniform"]})


@pytest.fixture(scope="module")
def known(capture, network, data):
    return Known(capture, network, data)


@pytest.fixture(scope="module")
def uniform(known):
    return scoring.pictures_of(known, "uniform", {})


def inputs_of(known: Known, images: ImageSet) -> torch.Tensor:
    return torch.cat(list(known.inputs(images)))


# ------------------------------------------------------------------------------------------- a network small enough


WEIGHTS = np.array([[1.0, -2.0, 0.5, 3.0], [-1.0, 0.3, 2.0, -0.2], [0.1, 0.2, -0.3, 0.4]])
BIAS = np.array([0.1, -0.2, 0.3])
STD = 0.25


@pytest.fixture
def linear():
    """Pictures of 2x2 pixels, one linear layer, no backbone: gradients can be written down."""
    head = SoftMaxHead(4, 3)
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor(WEIGHTS))
        head.linear.bias.copy_(torch.tensor(BIAS))
    images = np.random.default_rng(0).integers(0, 256, (30, 2, 2, 1), dtype=np.uint8)
    data = InDistribution("mine", *[ImageSet("mine", images, np.arange(30) % 3, ("a", "b", "c"))] * 2)
    data = SimpleNamespace(name="mine", train=data.train, test=data.test, mean=np.array([0.5]), std=np.array([STD]))
    logits = ((images.reshape(30, 4) / 255 - 0.5) / STD) @ WEIGHTS.T + BIAS
    capture = iv.Capture.from_arrays(logits, np.arange(30) % 3)
    return Known(capture, Classifier(nn.Flatten(), head), data)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("temperature", "step"), [(1.0, 0.0), (1.0, 0.01), (10.0, 0.02), (1000.0, 0.0014)])
def test_odin_is_its_two_equations(linear, temperature, step):
    x = inputs_of(linear, linear.data.test).flatten(1).double().numpy()
    logits = x @ WEIGHTS.T + BIAS
    p, chosen = softmax(logits / temperature), logits.argmax(axis=1)
    gradient = (p - np.eye(3)[chosen]) @ WEIGHTS / temperature  # of -log p of the chosen class
    moved = x - step / STD * np.sign(gradient)
    wanted = softmax((moved @ WEIGHTS.T + BIAS) / temperature).max(axis=1)
    detector = ODIN(temperatures=[temperature], steps=[step]).fit(linear)
    found = detector.score(inputs_of(linear, linear.data.test))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6, atol=0)
    assert detector.settings == {"temperature": temperature, "step": step}


def test_godin_moves_towards_the_largest_logit_and_takes_the_step_that_lifts_the_mean_most(linear):
    x = inputs_of(linear, linear.data.test).flatten(1).double().numpy()
    chosen = (x @ WEIGHTS.T + BIAS).argmax(axis=1)
    steps = (0.01, 0.3)
    wanted = {step: ((x + step / STD * np.sign(WEIGHTS[chosen])) @ WEIGHTS.T + BIAS).max(axis=1) for step in steps}
    detector = GODIN(steps=steps).fit(linear)
    assert detector.settings == {"step": max(steps, key=lambda step: wanted[step].mean())}
    found = detector.score(inputs_of(linear, linear.data.test))
    np.testing.assert_allclose(found.numpy(), wanted[detector.step], rtol=1e-5)


def test_adversarial_pictures_take_one_step_up_the_loss_and_stay_pictures(linear):
    pictures, labels = linear.some_training_pictures(30)
    found = adversarial(linear, pictures, labels, step=0.05).flatten(1).double().numpy()
    x = pictures.flatten(1).double().numpy()
    gradient = (softmax(x @ WEIGHTS.T + BIAS) - np.eye(3)[labels.numpy()]) @ WEIGHTS
    wanted = np.clip(x + 0.05 / STD * np.sign(gradient), (0 - 0.5) / STD, (1 - 0.5) / STD)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_odin_takes_the_setting_that_tells_training_from_adversarial_pictures_best(known):
    grid = [(temperature, step) for temperature in (1.0, 1000.0) for step in (0.0, 0.005)]
    real, labels = known.some_training_pictures(60)
    fooled = adversarial(known, real, labels)
    judged = {}
    for temperature, step in grid:
        fixed = ODIN(temperatures=[temperature], steps=[step]).fit(known)
        found = metrics.ood_metrics(fixed.score(real).numpy(), fixed.score(fooled).numpy())
        judged[temperature, step] = (round(found["TNR@TPR95"], 6), round(found["AUROC"], 4))
    tuned = ODIN(temperatures=(1.0, 1000.0), steps=(0.0, 0.005), pictures=60).fit(known)
    assert judged[tuned.temperature, tuned.step] == max(judged.values())
    blind = Known(known.capture.replace(ood={}), known.network, known.data)  # unknown pictures play no part
    assert ODIN(temperatures=(1.0, 1000.0), steps=(0.0, 0.005), pictures=60).fit(blind).settings == tuned.settings


# ------------------------------------------------------------------------------------------------------ Mahalanobis


def gaussian(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    means = np.stack([features[labels == label].mean(axis=0) for label in range(10)])
    covariance = np.cov(features - means[labels], rowvar=False, bias=True)
    return means, np.linalg.inv(covariance + 1e-6 / len(features) * np.eye(features.shape[1]))


def confidence(features: np.ndarray, means: np.ndarray, precision: np.ndarray) -> np.ndarray:
    return -0.5 * (cdist(features, means, "mahalanobis", VI=precision) ** 2).min(axis=1)


def test_mahalanobis_on_features_is_scipys_distance(capture):
    scored = iv.add_scores(capture, "mahalanobis_features")
    fitted = gaussian(capture.train.features.astype(float), capture.train.labels)
    for name, samples in (("test", capture.test), ("uniform", capture.ood["uniform"])):
        wanted = confidence(samples.features.astype(float), *fitted)
        np.testing.assert_allclose(
            scored.samples[name].extra_scores["mahalanobis_features"], wanted, rtol=2e-3, atol=1e-3 * wanted.std()
        )


@pytest.mark.parametrize("directions", [12, 40])
def test_mahalanobis_survives_features_that_depend_on_each_other(directions, rng):
    """Fewer directions than features, or fewer pictures: inverted in float32, the covariance is noise."""
    n, mixed = 400 if directions == 12 else 30, rng.normal(size=(directions, 60))
    labels = np.arange(n) % 10
    train, test = ((rng.normal(size=(size, directions)) @ mixed).astype(np.float32) for size in (n, 50))
    means, precision = gaussian(train.astype(float), labels)
    wanted = confidence(test.astype(float), means, (precision + precision.T) / 2)
    fitted = Gaussians(torch.tensor(train), torch.tensor(labels))
    found = fitted.confidence(torch.tensor(test)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=2e-3)
    with pytest.raises(ValueError, match=r"Classes \[3\] have no training sample"):
        Gaussians(torch.tensor(train[labels != 3]), torch.tensor(labels[labels != 3]))


def pooled(network: Classifier, inputs: torch.Tensor, stop: int) -> torch.Tensor:
    """Layer by layer, as the network is written; without hooks."""
    return network.backbone.layers[:stop](inputs).mean(dim=(2, 3))


STOPS = (6, 13, 20)


@pytest.fixture(scope="module")
def lee(known):
    return Mahalanobis(steps=[0.0, 0.002], pictures=60).fit(known)


def test_mahalanobis_scores_of_each_layer_are_scipys_distances(lee, known, data):
    train, test = inputs_of(known, data.train), inputs_of(known, data.test)[:50]
    found = lee.layer_scores(test, 0.0).numpy()
    with torch.no_grad():
        for number, stop in enumerate(STOPS):
            fitted = gaussian(pooled(known.network, train, stop).double().numpy(), data.train.labels)
            wanted = confidence(pooled(known.network, test, stop).double().numpy(), *fitted)
            np.testing.assert_allclose(found[:, number], wanted, rtol=5e-3, atol=2e-3 * wanted.std())


def test_mahalanobis_moves_pictures_up_the_confidence_of_each_layer(lee, known, data):
    train, test = inputs_of(known, data.train), inputs_of(known, data.test)[:20]
    found = lee.layer_scores(test, 0.002).numpy()
    std = torch.tensor(data.std, dtype=torch.float32)[:, None, None]
    for number, stop in enumerate(STOPS):
        with torch.no_grad():
            means, precision = gaussian(pooled(known.network, train, stop).double().numpy(), data.train.labels)
        means, precision = torch.tensor(means), torch.tensor(precision)

        def scores(inputs, stop=stop, means=means, precision=precision):
            away = pooled(known.network, inputs, stop).double()[:, None] - means
            return -0.5 * torch.einsum("ncf,fg,ncg->nc", away, precision, away).min(dim=1).values

        inputs = test.clone().requires_grad_()
        scores(inputs).sum().backward()
        with torch.no_grad():
            wanted = scores(test + 0.002 / std * inputs.grad.sign()).numpy()
            before = scores(test).numpy()
        assert (wanted > before).mean() > 0.9  # a small step up does go up
        np.testing.assert_allclose(found[:, number], wanted, rtol=5e-3, atol=5e-3 * before.std())


def test_mahalanobis_weighs_layers_as_the_regression_does(lee, known, data, rng):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    test = inputs_of(known, data.test)[:30]
    assert lee.step in (0.0, 0.002) and lee.settings["layers"] == ["layers.5", "layers.12", "features"]
    wanted = lee.layer_scores(test, lee.step).numpy() @ np.array(lee.settings["weights"])
    np.testing.assert_allclose(lee.score(test).numpy(), wanted)
    sides = rng.normal(1, [1, 10, 0.1], (40, 3)), rng.normal(0, [1, 10, 0.1], (40, 3))
    weights = _regression(*map(torch.tensor, sides)).numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(np.concatenate(sides), np.repeat([1, 0], 40))
    offset = model.decision_function(sides[0]) - sides[0] @ weights
    np.testing.assert_allclose(offset, offset[0])  # but for the intercept


def test_layers_are_the_last_maps_of_each_size(known, data):
    inputs = inputs_of(known, data.test)[:5]
    layers = Layers(known.network.backbone, inputs)
    with torch.no_grad():
        found = layers.pooled(inputs)
        for number, stop in enumerate(STOPS):
            wanted = pooled(known.network, inputs, stop)
            torch.testing.assert_close(found[number], wanted)
            torch.testing.assert_close(layers.pooled_one(inputs, number), wanted)
    assert not any(module._forward_hooks for module in known.network.modules())
    with pytest.raises(ValueError, match="Flatten has no feature maps"):
        Layers(nn.Flatten(), inputs)


@pytest.mark.parametrize("name", ["resnet34", "resnet110", "densenet_bc100"])
def test_layers_of_the_papers_networks_are_their_stages(name):
    from isomax_viz.learning.backbones import BACKBONES

    wanted = {
        "resnet34": ["layer1", "layer2", "layer3", "layer4"],
        "resnet110": ["layers.20", "layers.38", "layers.56"],
        "densenet_bc100": ["features.transition1.conv", "features.transition2.conv", "features"],
    }
    assert Layers(BACKBONES[name](3).eval(), torch.zeros(1, 3, 16, 16)).names == wanted[name]


# ------------------------------------------------------------------------------- pytorch-ood, called on the pictures


def direct(key: str, network: Classifier):
    """The detector as its documentation shows it, with the network as its encoder."""
    head = network.head
    return {
        "mahalanobis_features": lambda: library.Mahalanobis(network.backbone),
        "knn": lambda: library.KNN(network.backbone, k=50),
        "vim": lambda: library.ViM(network.backbone, d=64, w=head.linear.weight, b=head.linear.bias),
        "she": lambda: library.SHE(network.backbone, head),
        "react": lambda: library.ReAct(network.backbone, head, percentile=0.9),
        "kl_matching": lambda: library.KLMatching(network),
        "gram": lambda: library.Gram(
            nn.Sequential(*network.backbone.layers[20:], head),
            [network.backbone.layers[start:stop] for start, stop in zip((0, *STOPS[:-1]), STOPS, strict=True)],
            num_classes=10, num_poles_list=list(range(1, 11)),
        ),
    }[key]()  # fmt: skip


@pytest.mark.parametrize("key", ["mahalanobis_features", "knn", "vim", "she", "react", "kl_matching", "gram"])
def test_adaptors_agree_with_pytorch_ood_but_for_the_sign(key, capture, known, data, uniform):
    ours = DETECTORS[key]().fit(known)
    column = ours.column("uniform", capture.ood["uniform"], lambda: uniform)
    with torch.no_grad():
        torch.manual_seed(0)
        theirs = direct(key, known.network).to("cpu").fit(_loader(known, data.train))
        wanted = theirs.predict(inputs_of(known, uniform)).numpy().copy()
        again = ours.score(inputs_of(known, uniform)[:100]).numpy()
    if key == "mahalanobis_features":  # theirs is of the sum of squares, ours of the covariance
        wanted *= len(data.train)
    scale = wanted.std()
    np.testing.assert_allclose(-column, wanted, rtol=2e-3, atol=2e-3 * scale)
    np.testing.assert_allclose(again, column[:100], rtol=2e-3, atol=2e-3 * scale)
    assert ours.extra_parameters > 0


def _loader(known: Known, images: ImageSet) -> list[tuple[torch.Tensor, torch.Tensor]]:
    # A list: a DataLoader would draw from the random numbers that split the training pictures.
    return list(known.batches(images).in_order(200))


def test_dropout_of_the_networks_own_is_pytorch_oods(known, data):
    noisy = Classifier(nn.Sequential(known.network.backbone, nn.Dropout(0.5)), known.network.head).eval()
    inputs = inputs_of(known, data.test)[:40]
    detector = MCDropout(passes=5, seed=3).fit(Known(known.capture, noisy, data))
    torch.manual_seed(3)
    wanted = library.MCD(noisy, samples=5, mode="mean").predict(inputs)
    torch.testing.assert_close(detector.score(inputs), -wanted)
    assert not noisy.training and detector.settings == {"passes": 5, "seed": 3, "rate": None}


def test_dropout_before_the_head_averages_probabilities(known, data):
    inputs = inputs_of(known, data.test)[:40]
    detector = MCDropout(passes=4, rate=0.3, seed=1).fit(known)
    with torch.no_grad():
        features = known.network.backbone(inputs)
        torch.manual_seed(1)
        wanted = sum(known.network.head(nn.functional.dropout(features, 0.3)).softmax(dim=1) for _ in range(4)) / 4
    state = torch.get_rng_state()
    torch.testing.assert_close(detector.score(inputs), wanted.max(dim=1).values)
    assert torch.equal(state, torch.get_rng_state())


def test_the_ensemble_is_the_mean_of_its_members(trained, capture, known, data):
    member = trained["isomax"]  # any network that saw the same pictures
    scored = iv.add_scores(capture, "ensemble", members=[member])
    for name in ("test", "uniform"):
        mean = (capture.samples[name].probabilities.astype(float) + member.samples[name].probabilities) / 2
        np.testing.assert_allclose(scored.samples[name].extra_scores["ensemble"], mean.max(axis=1), rtol=1e-6)
    other = {"uniform": member.meta["ood"]["uniform"] | {"fingerprint": "other pictures"}}
    with pytest.raises(ValueError, match="no capture of the same pictures of the set 'uniform'"):
        iv.add_scores(capture, "ensemble", members=[member.replace(meta=dict(member.meta) | {"ood": other})])
    detector = Ensemble(members=[member], networks=[known.network]).fit(known)
    inputs = inputs_of(known, data.test)[:20]
    np.testing.assert_allclose(detector.score(inputs).numpy(), capture.test.max_probabilities[:20], rtol=1e-4)


# --------------------------------------------------------------------------------------------- the way to the views

FAST = (ODIN(temperatures=[1000], steps=[0.0014]), GODIN(steps=[0.01]), MahalanobisFeatures(), KNearest(), ViM(), "she",
        ReAct(), KLMatching(), Gram(orders=2), MCDropout(passes=2), "ensemble")  # fmt: skip


@pytest.fixture(scope="module")
def scored(capture, trained, session_store, lee):
    methods = (*FAST, Mahalanobis(steps=[0.0], pictures=40))
    return iv.add_scores(capture, methods, members=[trained["isomax"]], store=session_store, device="cpu")


def test_every_method_runs_through_evaluate_and_the_explorer(scored, tmp_path):
    loaded = iv.Capture.load(scored.save(tmp_path / "capture.safetensors"))
    assert set(loaded.test.extra_scores) == set(DETECTORS) == set(loaded.meta["detectors"])
    table = iv.evaluate(loaded, scores=tuple(DETECTORS))
    assert table["score"].tolist() == list(DETECTORS) and table["AUROC"].between(0, 1).all()
    view = iv.explore(loaded)
    for key in DETECTORS:
        view.restore({"score": key})
        assert view.state()["score"] == key
    drawn = view._repr_mimebundle_()[0]["image/png"]
    threshold = float(f"{iv.thresholds.find_threshold(loaded, ['uniform'], score=key):.9g}")
    assert drawn == png(figures.plot_operating_point(loaded, ["uniform"], score=key, threshold=threshold))
    words = score_lesson(iv.scores.words("mahalanobis"))
    assert "<math" in words["formula"] and "Lee et al. 2018" in words["source"]
    view.close()


def test_what_was_chosen_is_kept_and_need_not_be_chosen_again(scored, known):
    told = scored.meta["detectors"]
    assert told["odin"]["settings"] == {"temperature": 1000.0, "step": 0.0014} and told["odin"]["fit_s"] >= 0
    for key, detector in DETECTORS.items():
        if key != "ensemble":
            assert (
                detector.from_settings(told[key]["settings"]).fit(known).settings.keys() == told[key]["settings"].keys()
            )
    again = KNearest.from_settings({"k": 3})
    assert MCDropout.from_settings({"passes": 2, "seed": 7, "rate": 0.3}).seed == 7
    assert Gram.from_settings({"orders": 2, "seed": 7, "layers": []}).seed == 7
    assert again.k == 3 and ReAct.from_settings({"percentile": 0.8}).percentile == 0.8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ODIN(steps=[]), "steps is empty. Give at least one number to choose among"),
        (lambda: ODIN(temperatures=()), "temperatures is empty"),
        (lambda: GODIN(steps=()), "steps is empty"),
        (lambda: Mahalanobis(steps=()), "steps is empty"),
        (lambda: ODIN(temperatures=[0]), "temperatures must be a number above 0, but is 0"),
    ],
)
def test_there_must_be_something_to_choose_among(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_all_that_computes_a_score_uses_as_many_threads_as_the_network(known):
    """Pictures of digits get one thread, and what scikit-learn and NumPy bring of their own must not take more."""
    from threadpoolctl import threadpool_info, threadpool_limits

    def counted() -> set[int]:
        return {library["num_threads"] for library in threadpool_info()} | {torch.get_num_threads()}

    before = torch.get_num_threads()
    detector = KNearest(k=3).fit(known)
    try:
        with threadpool_limits(2):
            torch.set_num_threads(2)
            with known.threads():
                inside = counted()
                detector.score_features(known.features[:5], known.features[:5])
                assert detector._detector.knn.n_jobs == 1
            assert counted() == {2}
    finally:
        torch.set_num_threads(before)
    assert inside == {1}


def test_a_network_and_pictures_of_ones_own(capture, network, data, uniform):
    mine = capture.replace(ood={"mine": capture.ood["uniform"]}, meta={"loss": "softmax"})
    fixed = ODIN(temperatures=[10], steps=[0.001])
    scored = iv.add_scores(mine, fixed, network=network, data=data, images={"mine": uniform}, device="cpu")
    named = iv.add_scores(capture, ODIN(temperatures=[10], steps=[0.001]), network=network, data=data, device="cpu")
    assert scored.ood["mine"].extra_scores["odin"].tolist() == named.ood["uniform"].extra_scores["odin"].tolist()
    few = iv.datasets.load_ood("uniform", data, n=5)
    told = {"uniform": {"fingerprint": few.fingerprint}}
    drawn = capture.replace(
        ood={"uniform": iv.Samples(logits=np.zeros((5, 10)), labels=[-1] * 5)}, meta={**capture.meta, "ood": told}
    )
    assert scoring.pictures_of(Known(drawn, network, data), "uniform", {}).fingerprint == few.fingerprint
    with pytest.raises(ValueError, match="The pictures of the set 'mine' are needed. Pass images="):
        iv.add_scores(mine, fixed, network=network, data=data)
    with pytest.raises(ValueError, match="'mine' are not those that were captured"):
        iv.add_scores(mine, fixed, network=network, data=data, images={"mine": uniform.subset(np.arange(5))})
    with pytest.raises(ValueError, match="does not say which experiment recorded it. Pass network="):
        iv.add_scores(mine, fixed)


def test_a_capture_of_every_other_picture_is_scored_on_these(capture, network, data, uniform):
    fixed = ODIN(temperatures=[10], steps=[0.001])
    whole = iv.add_scores(capture, fixed, network=network, device="cpu")
    # Of 599 pictures every other one is 300: a drawn set is asked for 600, of which the same 300 are kept.
    told = {"uniform": {"fingerprint": uniform.every(2).fingerprint}}
    thinned = capture.every(2)
    thinned = thinned.replace(meta={**thinned.meta, "ood": told})
    mine = thinned.replace(ood={"mine": thinned.ood["uniform"]})
    ways = {"uniform": (thinned, {}), "mine": (mine, {"data": data, "images": {"mine": uniform}})}
    for name, (item, options) in ways.items():
        scored = iv.add_scores(item, fixed, network=network, device="cpu", **options)
        for one, other in ((scored.test, whole.test), (scored.ood[name], whole.ood["uniform"])):
            np.testing.assert_allclose(one.extra_scores["odin"], other.extra_scores["odin"][::2], rtol=1e-5)
    letters = iv.datasets.load_ood("letters", data)
    lettered = thinned.replace(ood={"letters": thinned.ood["uniform"]})
    found = scoring.pictures_of(Known(lettered, network, data), "letters", {})
    np.testing.assert_array_equal(found.images, letters.images[::2])


@pytest.mark.parametrize("key", ["vim", "she", "react"])
def test_a_plain_network_is_asked_as_one_with_backbone_and_head(key, capture, network):
    plain = nn.Sequential(network.backbone, network.head.linear)
    expected, found = (iv.add_scores(capture, key, network=item, device="cpu") for item in (network, plain))
    for name in ("test", "uniform"):
        one, other = (item.samples[name].extra_scores[key] for item in (expected, found))
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)
    warm = capture.replace(test=replace(capture.test, logits=capture.test.logits / 4))
    warm = warm.replace(meta={"layer": "1", "logits_factor": 0.25})
    assert iv.add_scores(warm, key, network=plain, device="cpu").test.extra_scores[key].shape == (len(warm.test),)
    if key != "vim":
        replaced = replace_last_linear(nn.Sequential(network.backbone, nn.Linear(128, 10)), network.head).model
        again = iv.add_scores(capture, key, network=replaced, device="cpu").test.extra_scores[key]
        np.testing.assert_allclose(again, expected.test.extra_scores[key], rtol=1e-5, atol=1e-5)


class Adapted(nn.Linear):
    """A linear layer with a low-rank adapter, as one layer."""

    def __init__(self) -> None:
        super().__init__(128, 10)
        self.adapter = nn.Linear(128, 10, bias=False)

    def forward(self, features):
        return super().forward(features) + self.adapter(features)


class Wrapped(nn.Module):
    """The same as a module around the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.down, self.up = nn.Linear(128, 10), nn.Linear(128, 2), nn.Linear(2, 10)

    def forward(self, features):
        return self.base(features) + self.up(self.down(features))


@pytest.mark.parametrize("kind", [Adapted, Wrapped])
def test_a_last_layer_with_an_adapter_is_asked_as_a_whole(kind, network, data):
    torch.manual_seed(0)
    few, layer = data.with_examples_per_class(8, seed=0), kind()
    model = nn.Sequential(network.backbone, layer, nn.Softmax(dim=1)).eval()
    capture = iv.record(model, few)
    features = torch.tensor(capture.test.features)
    scored = iv.add_scores(capture, ["react", "knn"], network=model, device="cpu")
    cut = torch.quantile(torch.tensor(capture.train.features), 0.9)
    with torch.no_grad():
        wanted = layer(features.clamp(max=cut)).logsumexp(dim=1)
    np.testing.assert_allclose(scored.test.extra_scores["react"], wanted, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match=f"'vim' needs a linear last layer, but this one is an? {kind.__name__}"):
        iv.add_scores(capture, "vim", network=model, device="cpu")


@dataclass(kw_only=True, repr=False, eq=False)
class Furthest(FeatureDetector):
    """A detector of one's own: distance to the mean training feature, in a power."""

    key = "furthest"
    power: float = option(1.0, above=0)

    def learn(self, known):
        self.mean = known.features.mean(dim=0)

    def score_features(self, features, logits):
        return -(torch.linalg.vector_norm(features - self.mean, dim=1) ** self.power)


def test_a_detector_of_ones_own_needs_its_key_what_it_learns_and_its_score(capture):
    scored = iv.add_scores(capture, Furthest(power=2), device="cpu")
    away = capture.test.features - capture.train.features.mean(axis=0)
    np.testing.assert_allclose(scored.test.extra_scores["furthest"], -(away**2).sum(axis=1), rtol=1e-4)
    told = scored.meta["detectors"]["furthest"]["settings"]
    assert told == {"power": 2.0} and Furthest.from_settings(told).power == 2.0
    with pytest.raises(ValueError, match="power must be a number above 0, but is 0"):
        Furthest(power=0)


def test_she_needs_a_known_picture_of_each_class(capture, network):
    train = replace(capture.train, predictions=np.where(capture.train.labels == 3, 4, capture.train.predictions))
    with pytest.raises(ValueError, match=r"'she' needs a training picture of each class.* none of \[3\]. Use another"):
        iv.add_scores(capture.replace(train=train), "she", network=network, device="cpu")


def test_another_network_than_the_recorded_one_is_refused(capture, network):
    heads = (IsoMaxHead(128, 10), nn.Linear(128, 10))
    others = [Classifier(network.backbone, heads[0]), nn.Sequential(network.backbone, heads[1])]
    for other in (*others, nn.Sequential(nn.Flatten(), nn.Linear(64, 10))):
        with pytest.raises(ValueError, match="not the one behind this capture: it gives other logits for the captured"):
            iv.add_scores(capture, "she", network=other, device="cpu")
    named = capture.replace(meta={**capture.meta, "layer": "0"})
    with pytest.raises(ValueError, match="needs a linear last layer or a head, but '0' of Sequential is a SmallCNN"):
        iv.add_scores(named, "vim", network=nn.Sequential(network.backbone, network.head.linear))
    with pytest.raises(
        ValueError, match="network is the experiment .*-s9-.*but the capture was recorded by .*Pass that"
    ):
        iv.add_scores(capture, "she", network=iv.Experiment(loss="softmax", preset="smoke", seed=9))


@pytest.mark.parametrize("key", ["odin", "she"])
def test_a_network_that_differs_below_its_head_is_refused_by_a_few_pictures(key, capture, network, data):
    """The head is the recorded one, so captured features alone do not tell."""
    torch.manual_seed(1)
    other = small_cnn(1)
    for strange in (Classifier(other, network.head), nn.Sequential(other, network.head.linear)):
        with pytest.raises(ValueError, match="not the one behind this capture: it gives other logits for the test pic"):
            iv.add_scores(capture, key, network=strange, data=data, device="cpu")
    plain = nn.Sequential(network.backbone, network.head.linear)
    bare = capture.replace(test=replace(capture.test, features=None), ood={})
    for item in (capture, bare):  # the captured logits are enough
        with pytest.raises(ValueError, match="it gives other logits for the test pictures. Pass the network and the"):
            iv.add_scores(item, "odin", network=strange, data=data, device="cpu")
    turned = replace(data.test, images=data.test.images[::-1])
    with pytest.raises(ValueError, match="it gives other logits for the test pictures"):
        iv.add_scores(capture, "odin", network=plain, data=replace(data, test=turned), device="cpu")
    assert key in iv.add_scores(capture, key, network=plain, data=data, device="cpu").test.extra_scores


def test_a_network_in_half_precision_is_known_by_its_pictures(capture, network, data):
    half = nn.Sequential(copy.deepcopy(network.backbone), copy.deepcopy(network.head.linear)).half()
    assert "she" in iv.add_scores(capture, "she", network=half, data=data, device="cpu").test.extra_scores


@pytest.mark.parametrize("loss", HEADS)
def test_networks_with_any_head_can_be_asked(loss, data):
    few = data.with_examples_per_class(8, seed=0)
    torch.manual_seed(0)
    network = Classifier(small_cnn(1), HEADS[loss](128, 10)).eval()
    for weights in network.head.parameters():
        if weights.ndim == 2:
            nn.init.normal_(weights)  # prototypes start at zero, where all logits are equal
    on = Known(record_capture(network, few, meta={"loss": loss}, device="cpu"), network, few)
    fixed = ODIN(temperatures=[1000], steps=[0.001]), GODIN(steps=[0.001]), Mahalanobis(steps=[0.001], pictures=40)
    inputs = inputs_of(on, few.test)[:30]
    for detector in (*fixed, KNearest(k=3), KLMatching(), Gram(orders=1), MCDropout(passes=2)):
        found = detector.fit(on).score(inputs)
        assert found.shape == (30,) and torch.isfinite(found).all() and found.std() > 0, detector


# ----------------------------------------------------------------------------------------------------------- errors

OWN = ("ensemble", "godin", "mahalanobis", "mahalanobis_features")  # need nothing of pytorch-ood


@pytest.mark.parametrize("key", [key for key in DETECTORS if key != "ensemble"])
def test_unfitted_detectors_say_so(key):
    detector = DETECTORS[key]()
    with pytest.raises(
        NotFittedError, match=rf"is not fitted. Call .fit\(known\) first, or use iv.add_scores\(capture, '{key}'\)"
    ):
        detector.score(torch.zeros(1, 1, 8, 8))
    if hasattr(detector, "score_features"):
        with pytest.raises(NotFittedError, match="is not fitted"):
            detector.score_features(torch.zeros(1, 128), torch.zeros(1, 10))


@pytest.mark.parametrize("key", ["mahalanobis_features", "knn", "she", "vim", "react"])
def test_other_features_are_refused(key, capture, known):
    detector = DETECTORS[key]().fit(known)
    test = capture.test
    short = Samples(logits=test.logits, labels=test.labels, features=test.features[:, :100])
    with pytest.raises(ValueError, match=f"The set 'test' has 100 features, but '{key}' was fitted on 128"):
        detector.column("test", short, lambda: None)
    without = Samples(logits=test.logits, labels=test.labels)
    with pytest.raises(ValueError, match=f"The set 'test' carries no features, which the score '{key}' needs"):
        detector.column("test", without, lambda: None)


def test_what_is_missing_is_named(capture, known, data):
    with pytest.raises(ValueError, match="The capture carries no training features"):
        iv.add_scores(capture.replace(train=None), "knn")
    with pytest.raises(ValueError, match="The score 'odin' needs the network, but network is not given"):
        ODIN().fit(Known(capture))
    with pytest.raises(ValueError, match="The score 'gram' needs the training pictures, but data is not given"):
        Gram().fit(Known(capture, known.network))
    with pytest.raises(ValueError, match="methods must be one of 'odin', .*but is 'es'.*need no column"):
        iv.add_scores(capture, "es")
    with pytest.raises(ValueError, match="members must hold at least one capture of another seed"):
        iv.add_scores(capture, "ensemble")
    with pytest.raises(TypeError, match="members must hold captures, but holds a str"):
        Ensemble(members=["capture"])
    with pytest.raises(ValueError, match="the same test pictures, but their labels differ"):
        Ensemble(members=[capture.replace(test=capture.ood["uniform"], ood={})]).fit(known)
    with pytest.raises(ValueError, match="k must be at most the .* training samples, but is 100000"):
        KNearest(k=100_000).fit(known)
    with pytest.raises(ValueError, match="dimension must be below the number of features, 128, but is 128"):
        ViM(dimension=128).fit(known)
    odd = Known(capture, Classifier(known.network.backbone, IsoMaxHead(128, 10)), data)
    with pytest.raises(ValueError, match="'vim' needs a linear last layer, but this one is a IsoMaxHead"):
        ViM().fit(odd)
    other = capture.replace(meta={**capture.meta, "epochs": 77})
    with pytest.raises(ValueError, match="but its settings describe .* here. Run the experiment again"):
        iv.add_scores(other, "odin")
    with pytest.raises(ValueError, match="its training labels differ"):
        iv.add_scores(capture, "odin", network=known.network, data=data.with_examples_per_class(10, seed=0))


@pytest.mark.parametrize("key", [key for key in DETECTORS if key not in OWN])
def test_without_pytorch_ood_the_message_says_how_to_get_it(key, known, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_ood.detector", None)
    with pytest.raises(ImportError, match="pytorch-ood is needed to compute this score.*pip install pytorch-ood"):
        DETECTORS[key]().fit(known)

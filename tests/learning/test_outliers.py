"""Training with extra data: every term against an oracle, the update it makes, what a run refuses and what it tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import nn

import isomax_viz as iv
from isomax_viz import Experiment, datasets
from isomax_viz.learning.backbones import Classifier, small_cnn
from isomax_viz.learning.losses import IsoMaxHead, ScaledCosineHead, SoftMaxHead
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.checkpoint import Checkpoint
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.outliers import (
    Outliers,
    adversarial_noise,
    energy_hinges,
    load_outliers,
    max_log_confidence,
    uniform_cross_entropy,
)
from isomax_viz.learning.training.protocols import Protocol, Recipe
from isomax_viz.store.folder import Store, StoreError

CPU = torch.device("cpu")
TINY = {"preset": "smoke", "examples_per_class": 20}
RECIPES = {
    "oe": Recipe("oe", "noise", 0.5),
    "acet": Recipe("acet", "noise", 1.0, radius=0.3, steps=2),
    "energy": Recipe("energy", "noise", 0.1, margins=(-12.0, -4.0)),
}


@pytest.fixture(scope="module")
def data():
    return datasets.load_id("digits").with_examples_per_class(12, seed=0)


def probabilities(logits: np.ndarray) -> np.ndarray:
    return np.array([[np.exp(z) / sum(np.exp(row)) for z in row] for row in logits])


def test_terms_equal_their_formulas_in_float64(rng):
    known, unknown = 5 * rng.normal(size=(2, 30, 7))
    p = probabilities(unknown)
    tensors = [torch.from_numpy(part) for part in (known, unknown)]
    expected = np.mean([-sum(np.log(q) / 7 for q in row) for row in p])
    assert uniform_cross_entropy(tensors[1]).item() == pytest.approx(expected)
    assert max_log_confidence(tensors[1]).item() == pytest.approx(np.mean([np.log(max(row)) for row in p]))
    energies = [[-np.log(sum(np.exp(row))) for row in part] for part in (known, unknown)]
    expected = np.mean([max(0, e + 9) ** 2 for e in energies[0]]) + np.mean([max(0, -7 - e) ** 2 for e in energies[1]])
    assert energy_hinges(*tensors, (-9.0, -7.0)).item() == pytest.approx(expected)


def test_terms_equal_those_of_pytorch_ood(rng):
    from pytorch_ood.loss import EnergyRegularizedLoss, OutlierExposureLoss

    logits = torch.from_numpy(5 * rng.normal(size=(20, 6)))
    known, unknown, targets = logits[:12], logits[12:], torch.arange(12) % 6
    cross_entropy = nn.functional.cross_entropy(known, targets)
    labels = torch.cat([targets, torch.full((8,), -1)])
    theirs = EnergyRegularizedLoss(alpha=0.1, margin_in=-9, margin_out=-7)(logits, labels)
    assert (cross_entropy + 0.1 * energy_hinges(known, unknown, (-9.0, -7.0))).item() == pytest.approx(theirs.item())
    each = OutlierExposureLoss(alpha=0.5, reduction="none")(logits.float(), labels)[12:]  # of the outliers only
    ours = Outliers(RECIPES["oe"], None).term(known, unknown)
    assert ours.item() == pytest.approx(each.mean().item(), rel=1e-5)


def test_isomax_is_least_certain_where_distances_are_equal():
    head = IsoMaxHead(2, 3)
    with torch.no_grad():
        head.prototypes.copy_(torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]]))
    centre, elsewhere = torch.zeros(1, 2), torch.tensor([[0.4, 0.2]])
    at_centre = uniform_cross_entropy(head.class_logits(head(centre)))
    assert at_centre.item() == pytest.approx(np.log(3), rel=1e-5)
    assert uniform_cross_entropy(head.class_logits(head(elsewhere))) > at_centre


def test_adversarial_noise_reaches_the_corner_that_a_linear_network_is_surest_of(rng):
    """With two classes the confidence grows along the sign of the weights' difference: the best corner is known."""
    flat = nn.Flatten()
    flat.num_features = 16
    model = Classifier(flat, SoftMaxHead(16, 2)).train()
    pictures = torch.from_numpy(rng.uniform(0, 1, size=(40, 1, 4, 4))).float()
    radius, lowest, highest = (torch.full((1, 1, 1), value) for value in (0.15, 0.0, 1.0))
    found = adversarial_noise(model, pictures, radius=radius, lowest=lowest, highest=highest, steps=5)
    logits = model(pictures)
    surest = logits.argmax(dim=1)
    weight = model.head.linear.weight.detach()
    direction = (weight[surest] - weight[1 - surest]).sign().reshape(pictures.shape)
    torch.testing.assert_close(found, (pictures + 0.15 * direction).clamp(0, 1), atol=1e-5, rtol=0)
    assert not found.requires_grad and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("head", [IsoMaxHead, ScaledCosineHead])
def test_the_attack_raises_the_confidence_and_leaves_the_network_alone(head, data):
    torch.manual_seed(0)
    model = Classifier(small_cnn(1), head(128, 10))
    train(model, data, Protocol(epochs=1, milestones=()), device=CPU, progress=False)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    noise = load_outliers("noise", data)
    pictures, _ = next(Batches(noise, mean=data.mean, std=data.std, device=CPU).in_order(32))
    hard = Outliers(replace(RECIPES["acet"], steps=5), noise).made_hard(model, pictures, data)
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    pixels = [(part * torch.tensor(data.std) + torch.tensor(data.mean)) for part in (pictures, hard)]
    assert (pixels[0] - pixels[1]).abs().max() <= 0.3 + 1e-6
    assert pixels[1].min() >= -1e-6 and pixels[1].max() <= 1 + 1e-6
    model.eval()
    with torch.no_grad():
        sure = []
        for part in (pictures, hard):
            sure.append(max_log_confidence(model.head.both_logits(model.backbone(part))[1]))
    assert sure[1] > sure[0]


@pytest.mark.parametrize("method", ["oe", "energy"])
def test_one_step_minimises_cross_entropy_plus_term_over_one_joint_batch(method, data):
    torch.manual_seed(0)
    model = Classifier(small_cnn(1), SoftMaxHead(128, 10))
    twin = Classifier(small_cnn(1), SoftMaxHead(128, 10))
    twin.load_state_dict(model.state_dict())
    noise, n = load_outliers("noise", data), len(data.train)
    one = Protocol(epochs=1, milestones=(), batch_size=n, augment=False)
    history = train(model, data, one, seed=0, device=CPU, progress=False, outliers=Outliers(RECIPES[method], noise))
    options = {"mean": data.mean, "std": data.std, "device": CPU}
    generator = torch.Generator().manual_seed(0)
    images, targets = next(Batches(data.train, **options).shuffled(n, generator=generator))
    beside, _ = next(Batches(noise, **options).shuffled(n, generator=generator))
    logits = twin.train()(torch.cat([images, beside]))
    if method == "oe":
        term = 0.5 * (torch.logsumexp(logits[n:], 1) - logits[n:].mean(1)).mean()
    else:
        energies = -torch.logsumexp(logits, 1)
        term = (
            0.1 * ((energies[:n] + 12).clamp(min=0) ** 2).mean() + 0.1 * ((-4 - energies[n:]).clamp(min=0) ** 2).mean()
        )
    loss = nn.functional.cross_entropy(logits[:n], targets) + term
    before = {name: value.detach().clone() for name, value in twin.named_parameters()}
    loss.backward()
    for (name, after), gradient in zip(model.named_parameters(), (p.grad for p in twin.parameters()), strict=True):
        expected = before[name] - 0.1 * 1.9 * (gradient + 1e-4 * before[name])
        torch.testing.assert_close(after, expected, rtol=1e-3, atol=1e-4, msg=name)
    learned = history.query("split == 'train'").iloc[0]
    assert learned["loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert learned["loss"] - learned["cross_entropy"] == pytest.approx(term.item(), rel=1e-3)


@pytest.mark.parametrize("method", RECIPES)
def test_a_training_with_outliers_goes_on_from_its_checkpoint_to_identical_weights(method, data, tmp_path):
    outliers = Outliers(RECIPES[method], load_outliers("noise", data).subset(np.arange(50)))  # fewer than to learn
    protocol = Protocol(epochs=3, milestones=(2,))
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(Classifier(small_cnn(1), IsoMaxHead(128, 10)))
    whole, parts, resumed = models
    parts.load_state_dict(whole.state_dict())
    options = {"seed": 3, "padding": 1, "device": CPU, "progress": False, "outliers": outliers}
    history = train(whole, data, protocol, **options)
    path = tmp_path / "checkpoint"
    train(parts, data, replace(protocol, epochs=2), checkpoint=Checkpoint(path, every_s=0), **options)
    again = train(resumed, data, protocol, checkpoint=Checkpoint(path, every_s=0), **options)
    assert again.equals(history)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_permuted_pictures_keep_their_pixels_and_noise_has_full_contrast(data):
    permuted, noise = (load_outliers(name, data) for name in ("permuted", "noise"))
    pixels = [np.sort(images.images.reshape(len(images), -1), axis=1) for images in (data.train, permuted)]
    assert np.array_equal(*pixels) and (permuted.images != data.train.images).any(axis=(1, 2, 3)).all()
    assert len(noise) == len(permuted) == len(data.train)
    assert set(noise.images.min(axis=(1, 2, 3))) == {0} and set(noise.images.max(axis=(1, 2, 3))) == {255}
    # Blurred: neighbours are alike, as they are not in the uniform noise that detection is measured on.
    uniform = datasets.load_ood("uniform", data).images.astype(float)
    steps = [np.abs(np.diff(images, axis=2)).mean() for images in (noise.images.astype(float), uniform)]
    assert steps[0] < 0.7 * steps[1]
    assert load_outliers("noise", data).fingerprint == noise.fingerprint
    assert len(load_outliers("patches", data)) == len(data.train)
    with pytest.raises(ValueError, match="outlier_data must be one of 'noise', 'permuted', .*but is 'unseen'"):
        load_outliers("unseen", data)


def test_ids_know_extra_data_only_where_it_is_used():
    plain = Experiment(loss="softmax")
    unused = {"outlier_data": "permuted", "outlier_weight": 3.0, "energy_margins": (-9, -1), "adversarial_steps": 9}
    assert Experiment(loss="softmax", adversarial_radius=0.1, **unused).id == plain.id
    oe = Experiment(loss="softmax", outliers="oe")
    assert Experiment(loss="softmax", outliers="oe", outlier_weight=0.5, adversarial_steps=9).id == oe.id
    changes = [{"outlier_data": "permuted"}, {"outlier_weight": 1.0}, {"outliers": "energy"}, {"outliers": "acet"}]
    changes += [{"outliers": "acet", "adversarial_steps": 9}, {"outliers": "acet", "adversarial_radius": 0.1}]
    changes += [{"outliers": "energy", "energy_margins": (-9, -1)}]
    ids = {oe.model_copy(update=change).id for change in changes}
    assert len({plain.id, oe.id, *ids}) == 2 + len(changes)
    assert Experiment.from_json(oe.to_json()) == oe and oe.method == "softmax+oe"
    assert Experiment(outliers="acet", preset="paper").recipe.steps == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outliers": "OE"}, "outliers must be one of 'oe', 'acet', 'energy', but is 'OE'"),
        ({"outliers": "oe", "outlier_data": "letter"}, "outlier_data must be one of .*Did you mean 'letters'"),
        ({"outliers": "oe", "data": "mnist", "outlier_data": "mnist"}, "is what the network learns. Choose another"),
        ({"outliers": "energy", "loss": "isomax"}, "margins for SoftMax only .*'isomax' has energies of another range"),
        ({"outliers": "energy", "loss": "softmax", "energy_margins": (-1, -9)}, r"must be \(lower, higher\), but is"),
        ({"outlier_weight": 0}, "outlier_weight must be a number above 0, but is 0"),
        ({"adversarial_radius": 2}, "adversarial_radius must be a number above 0 and of at most 1, but is 2"),
        ({"adversarial_steps": 0}, "adversarial_steps must be a whole number of at least 1, but is 0"),
    ],
)
def test_impossible_trainings_with_extra_data_say_what_is_accepted(settings, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**settings)


def test_what_was_trained_against_can_not_measure_detection(tmp_path, monkeypatch):
    monkeypatch.setattr("isomax_viz.experiments.run.train", lambda *a, **k: pytest.fail("trained"))
    experiment = Experiment(outliers="oe", outlier_data="patches", **TINY)
    with pytest.raises(
        ValueError, match="ood='patches' can't measure detection here: .*as outlier_data. Choose another"
    ):
        experiment.run(ood=("letters", "patches"), store=tmp_path)
    noise = replace(load_outliers("noise", datasets.load_id("digits")), name="noise")
    with pytest.raises(ValueError, match="ood='noise' can't measure detection"):
        Experiment(outliers="oe", **TINY).run(ood=[noise], store=tmp_path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    store = tmp_path_factory.mktemp("outliers")
    settings = {
        "plain": {"loss": "softmax"},
        "oe": {"loss": "softmax", "outliers": "oe", "outlier_data": "patches"},
        "acet": {"loss": "isomax", "outliers": "acet", "adversarial_steps": 1},
        "energy": {"loss": "softmax", "outliers": "energy"},
    }
    options = {"store": store, "progress": False}
    return {name: Experiment(**TINY, **chosen).run(**options) for name, chosen in settings.items()}, store


def test_captures_tables_and_figures_say_that_extra_data_was_used(runs):
    captures, _ = runs
    assert list(captures["oe"].ood) == ["letters", "gaussian", "uniform"]  # by default all but what was learned against
    assert [capture.loss for capture in captures.values()] == ["softmax", "softmax+oe", "isomax+acet", "softmax+energy"]
    told = captures["oe"].meta["extra_data"]
    assert (told["method"], told["data"], told["weight"], told["n"]) == ("oe", "patches", 0.5, 200)
    assert (
        told["fingerprint"]
        == load_outliers("patches", datasets.load_id("digits").with_examples_per_class(20, seed=0)).fingerprint
    )
    assert "extra_data" not in captures["plain"].meta and "outliers" not in captures["plain"].meta
    assert captures["acet"].meta["extra_data"]["steps"] == 1 and captures["acet"].meta["outlier_data"] == "noise"
    table = iv.evaluate(captures.values(), scores="es", ood="letters")
    assert list(table["loss"]) == ["softmax", "softmax+oe", "isomax+acet", "softmax+energy"]
    assert "SoftMax + outliers" in iv.plot_logits(captures["oe"], ood="letters").get_title(loc="left")
    assert Experiment.from_meta(captures["acet"].meta).id == captures["acet"].meta["id"]


def test_the_energy_method_fine_tunes_the_network_without_extra_data(runs):
    captures, store = runs
    tuned, plain = captures["energy"], captures["plain"]
    assert tuned.meta["extra_data"]["started_from"] == plain.meta["id"] in Store(store).ids()
    assert tuned.meta["protocol"]["learning_rate"] == 0.001 and tuned.meta["protocol"]["epochs"] == 2
    weights = [load(Store(store).weights(capture.meta["id"]))["head.linear.weight"] for capture in (plain, tuned)]
    change = np.abs(weights[0] - weights[1]).max()
    assert 0 < change < 0.2 * np.abs(weights[0]).max()  # trained on, not anew
    data = datasets.load_id("digits").with_examples_per_class(20, seed=0)
    outliers, hinges = load_outliers("noise", data), []
    for capture in (plain, tuned):
        network = Experiment.from_meta(capture.meta).network(store=store)
        said = iv.record(network, data, {"outliers": outliers})
        known, unknown = (torch.from_numpy(said.samples[name].logits.copy()) for name in ("train", "outliers"))
        hinges.append(energy_hinges(known, unknown, (-25.0, -7.0)).item())
    assert hinges[1] < hinges[0]


def test_fine_tuning_does_not_start_from_a_network_of_other_pictures(tmp_path, monkeypatch):
    experiment = Experiment(loss="softmax", outliers="energy", preset="smoke")
    fewer = datasets.load_id("digits").with_examples_per_class(20, seed=0)
    with monkeypatch.context() as changed:
        changed.setattr(datasets, "load_id", lambda name, **options: fewer)
        experiment.model_copy(update={"outliers": None}).run((), store=tmp_path, progress=False)
    with pytest.raises(StoreError, match="was trained on other pictures than 'digits' has now"):
        experiment.run((), store=tmp_path, progress=False)

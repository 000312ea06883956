"""Fooling images: sure of the fooled network by its own arithmetic, deterministic, cached, usable as a set by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import isomax_viz as iv
from isomax_viz.learning import fooling_images as fooling
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.protocols import Protocol

FOOLED = fooling._fooled_network  # as it is outside the fixture


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The fooling images of the digits and the fooled network, from a short training, in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISOMAX_VIZ_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setattr(fooling, "_PROTOCOL", Protocol(epochs=3, milestones=(2,)))
        network = fooling._fooled_network(iv.datasets.load_id("digits"))
        patch.setattr(fooling, "_fooled_network", lambda data: network)
        yield fooling.make_fooling("digits"), network, patch


def test_the_fooled_network_is_over_99_percent_sure_of_every_image(made):
    images, network, _ = made
    digits = iv.datasets.load_id("digits")
    # As recording sees them: uint8 pictures, normalised with the statistics of the digits.
    batches = Batches(images, mean=digits.mean, std=digits.std, device=torch.device("cpu"))
    with torch.no_grad():
        probabilities = torch.cat([torch.softmax(network(pictures), dim=1) for pictures, _ in batches.in_order(100)])
    assert len(images) == len(digits.test) and images.size == (8, 8)
    assert probabilities[torch.arange(len(images)), torch.tensor(images.labels)].min() > 0.99
    assert np.bincount(images.labels).max() - np.bincount(images.labels).min() <= 1


def test_they_are_noise_and_no_digits(made):
    images, _, _ = made
    digits = iv.datasets.load_id("digits")
    known = digits.train.images.reshape(-1, 64).astype(np.float32)

    def nearest(part):
        others = part.images.reshape(-1, 64).astype(np.float32)
        return np.median([np.sqrt(((known - one) ** 2).sum(axis=1).min()) for one in others[:100]])

    # No nearer to a digit that was learned than plain noise is, and much farther than a digit that was not learned.
    noise = iv.datasets.load_ood("uniform", digits)
    assert nearest(images) > 0.9 * nearest(noise) > 2 * nearest(digits.test)


def test_made_twice_they_are_the_same_and_the_second_time_read_from_disk(made):
    images, _, patch = made
    assert fooling._made(iv.datasets.load_id("digits")).fingerprint == images.fingerprint
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(fooling, "_made", lambda data: pytest.fail("made again"))
        assert fooling.make_fooling("digits").fingerprint == images.fingerprint
        part = fooling.make_fooling(iv.datasets.load_id("digits", held_out_classes=(8, 9)), n=20)
    np.testing.assert_array_equal(part.images, images.images[:20])


@pytest.mark.parametrize("changed", [{"milestones": (1,)}, {"learning_rate": 0.05}])
def test_pictures_of_another_recipe_are_not_taken_for_these(made, changed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fooling, "_PROTOCOL", replace(fooling._PROTOCOL, **changed))
        patch.setattr(fooling, "_made", lambda data: (_ for _ in ()).throw(RuntimeError("made anew")))
        with pytest.raises(RuntimeError, match="made anew"):
            fooling.make_fooling("digits")


def test_they_are_made_in_parts_so_that_large_sets_fit_into_memory(made):
    images, _, _ = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fooling, "_AT_ONCE", 100)
        parts = []
        patch.setattr(
            fooling, "_ascend", lambda *args, ascend=fooling._ascend: parts.append(len(args[1])) or ascend(*args)
        )
        again = fooling._made(iv.datasets.load_id("digits"))
    assert parts[:6] == [100] * 5 + [99]
    # Sums over other batches round differently, which turns the sign of a slope at a pixel now and then.
    assert (again.images != images.images).mean() < 0.01


def test_pictures_in_colour_are_made_too(monkeypatch):
    monkeypatch.setattr(fooling, "_PROTOCOL", Protocol(epochs=8, milestones=(6,)))
    monkeypatch.setattr(fooling, "_fooled_network", FOOLED)
    labels = np.arange(300) % 3
    pictures = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    pictures[np.arange(300), :, :, labels] //= 8  # a class is the colour that is darker
    known = iv.datasets.ImageSet("colours", pictures, labels, ("red", "green", "blue"))
    images = fooling._made(iv.datasets.InDistribution("colours", known, known.subset(range(12))))
    assert images.images.shape == (12, 8, 8, 3) and images.labels.tolist() == [0, 1, 2] * 4
    means = images.images.mean(axis=(1, 2))
    assert (means.argmin(axis=1) == images.labels).mean() > 0.7  # and so the noise was driven, too


def test_an_experiment_takes_them_by_name(made, tmp_path):
    images, _, _ = made
    experiment = iv.Experiment(loss="softmax", preset="smoke")
    capture = experiment.run(ood=["fooling"], store=tmp_path, progress=False)
    assert list(capture.ood) == ["fooling"] and len(capture.ood["fooling"]) == len(images)
    assert (capture.ood["fooling"].labels == -1).all()
    assert capture.meta["ood"]["fooling"]["fingerprint"] == images.fingerprint
    assert "gradient ascent" in capture.meta["ood"]["fooling"]["provenance"]["made"]
    renamed = replace(images, name="the same pictures")
    expected = experiment.run(ood=[renamed], store=tmp_path, progress=False)
    np.testing.assert_array_equal(capture.ood["fooling"].logits, expected.ood["the same pictures"].logits)


def test_what_cannot_be_made_is_said(made):
    with pytest.raises(ValueError, match="data must be one of .*'cifar10'.*, but is 'cifar'"):
        fooling.make_fooling("cifar")
    with pytest.raises(ValueError, match="n must be a whole number of at least 1 and of at most 599, but is 600"):
        fooling.make_fooling("digits", n=600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fooling, "CONFIDENCE", 1.0)
        patch.setattr(fooling, "_STEPS", ((1, 1),))
        with pytest.raises(
            fooling.FoolingError, match="599 of 599 noise images are not over 100% sure after 10 starts"
        ):
            fooling._made(iv.datasets.load_id("digits"))

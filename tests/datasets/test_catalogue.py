"""Names, embedded sets, held-out classes, defaults and the table."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from dataset_files import random_images
from sklearn.datasets import load_digits, load_sample_images

from isomax_viz import datasets
from isomax_viz.datasets.builtin import LETTERS

DRAWN = ("letters", "patches", "gaussian", "uniform")


@pytest.fixture(scope="module")
def digits():
    return datasets.load_id("digits")


def test_digits_hold_every_scan_once(digits):
    scans = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    both = np.concatenate([digits.train.images, digits.test.images])[..., 0]
    assert sorted(map(bytes, both)) == sorted(map(bytes, scans))
    assert (len(digits.train), len(digits.test)) == (1198, 599)


def test_digits_split_is_stratified(digits):
    train, test = (np.bincount(part.labels, minlength=10) for part in (digits.train, digits.test))
    np.testing.assert_array_equal(train + test, np.bincount(load_digits().target))
    assert (np.abs(test - (train + test) / 3) <= 0.5).all()


def test_digits_labels_fit_the_scans(digits):
    label = {bytes(image.astype(np.uint8)): int(target) for image, target in zip(*_scans(), strict=True)}
    for part in (digits.train, digits.test):
        back = np.rint(part.images[..., 0] / 255 * 16).astype(np.uint8)
        assert [label[bytes(image)] for image in back] == part.labels.tolist()


def _scans():
    bunch = load_digits()
    return bunch.images, bunch.target


def test_digits_split_is_the_same_for_ever(digits):
    assert digits.train.fingerprint == "8019d1d1015d53e07a8aec446fa5a0b59f0685097ee0a0f06c529c3c98a725b9"
    assert digits.test.fingerprint == "35295c79827ce2cb21506fcf3206e857fe741742d6fbb3307c83a95ccdb033ba"


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(("size", "channels"), [((8, 8), 1), ((32, 32), 3), ((28, 20), 1)])
def test_drawn_sets_are_made_at_any_size_and_repeat(name, size, channels):
    like = datasets.from_arrays(random_images(30, *size, channels))
    first, second = datasets.load_ood(name, like), datasets.load_ood(name, like)
    assert first.images.shape == (30, *size, channels)
    assert first.fingerprint == second.fingerprint
    assert first.provenance["conversions"] == []
    assert len(datasets.load_ood(name, like, n=7)) == 7
    # No two pictures are the same.
    assert len({image.tobytes() for image in first.images}) == 30


def test_letters_resemble_the_digits_in_ink(digits):
    letters = datasets.load_ood("letters", digits)
    assert len(letters) == len(digits.test) == 599
    ours, theirs = letters.images / 255, digits.test.images / 255
    assert abs(ours.mean() - theirs.mean()) < 0.02
    assert abs(ours.std() - theirs.std()) < 0.02
    assert abs(ours.mean(axis=(1, 2, 3)).std() - theirs.mean(axis=(1, 2, 3)).std()) < 0.02


def test_letters_that_look_like_digits_are_left_out(digits):
    letters = datasets.load_ood("letters", digits, n=42)
    assert not set(LETTERS) & set("BbIlOoSsZz")
    assert "look like digits" in letters.provenance["left out"]
    assert np.bincount(letters.labels).tolist() == [2] * 21


def test_patches_come_from_the_photographs():
    like = datasets.from_arrays(random_images(40, 16, 16, 3))
    patches = datasets.load_ood("patches", like)
    photographs = load_sample_images().images
    for label in range(2):
        colours = patches.images[patches.labels == label].reshape(-1, 3).mean(axis=0)
        distance = [np.abs(colours - other.reshape(-1, 3).mean(axis=0)).sum() for other in photographs]
        assert int(np.argmin(distance)) == label
    assert (patches.images.std(axis=(1, 2)).mean(axis=1) > 10).mean() > 0.9


def test_noise_has_the_moments_of_its_definition():
    like = datasets.from_arrays(random_images(400, 16, 16, 3))
    uniform = datasets.load_ood("uniform", like).images / 255
    np.testing.assert_allclose([uniform.mean(), uniform.var()], [1 / 2, 1 / 12], atol=2e-3)
    gaussian = datasets.load_ood("gaussian", like).images / 255
    # P(N(0.5, 1) <= 0) = Phi(-0.5) = 0.3085; the half step of rounding adds 0.5/255 of the density there.
    np.testing.assert_allclose((gaussian == 0).mean(), 0.3085 + 0.352 * 0.5 / 255, atol=2e-3)
    np.testing.assert_allclose(gaussian.mean(), 0.5, atol=2e-3)


def test_held_out_classes_leave_training_and_test(digits):
    part = datasets.load_id("digits", held_out_classes=("3", 7))
    assert part.class_names == ("0", "1", "2", "4", "5", "6", "8", "9")
    assert part.unseen.class_names == ("3", "7")
    assert len(part.train) + len(part.test) + len(part.unseen) == 1797
    for whole, kept in ((digits.train, part.train), (digits.test, part.test)):
        mask = ~np.isin(whole.labels, [3, 7])
        np.testing.assert_array_equal(kept.images, whole.images[mask])
        names = np.array(kept.class_names)[kept.labels]
        np.testing.assert_array_equal(names, whole.labels[mask].astype(str))
    unseen = np.concatenate([whole.images[np.isin(whole.labels, [3, 7])] for whole in (digits.train, digits.test)])
    np.testing.assert_array_equal(part.unseen.images, unseen)
    assert datasets.load_ood("unseen", part).fingerprint == part.unseen.fingerprint
    assert len(datasets.load_ood("unseen", part, n=10)) == 10


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (("eight",), "held_out_classes must be one of '0'"),
        ((10,), "held_out_classes must be one of .* but is 10"),
        (tuple("012345678"), "must leave at least 2 of the 10 classes"),
    ],
)
def test_bad_held_out_classes(held_out, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_id("digits", held_out_classes=held_out)


def test_unknown_names_are_refused(digits):
    with pytest.raises(ValueError, match="data must be one of .* Did you mean 'digits'"):
        datasets.load_id("digit")
    with pytest.raises(ValueError, match="data must be one of"):
        datasets.default_ood("nothing")
    with pytest.raises(ValueError, match="ood must be one of .* Did you mean 'letters'.* pass an ImageSet"):
        datasets.load_ood("leters", digits)
    with pytest.raises(ValueError, match=r"Experiment\(held_out_classes="):
        datasets.load_ood("unseen", digits)
    with pytest.raises(TypeError, match="like must be an InDistribution .* but is str"):
        datasets.load_ood("letters", "digits")
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        datasets.load_ood("letters", digits, n=0)


def test_own_pictures_are_matched(digits):
    mine = datasets.from_arrays(random_images(9, 40, 20, 3), name="holiday")
    ood = datasets.load_ood(mine, digits)
    assert ood.images.shape == (9, 8, 8, 1) and ood.name == "holiday"
    assert len(ood.provenance["conversions"]) == 3
    np.testing.assert_array_equal(datasets.load_ood(mine, digits, n=3).images, ood.images[[0, 3, 6]])


def test_defaults_exist_and_are_never_the_set_itself():
    for name, source in datasets.ID_SETS.items():
        assert source.ood == datasets.default_ood(name)
        assert source.ood and name not in source.ood and set(source.ood) <= set(datasets.OOD_SETS)
    padded = {name: source.padding for name, source in datasets.ID_SETS.items() if source.padding}
    assert padded == {"cifar10": 4, "cifar100": 4, "svhn": 4, "tinyimagenet": 8}


def test_the_table_has_a_row_for_each_set_and_terms():
    table = datasets.describe()
    assert set(table.index) == set(datasets.ID_SETS) | set(datasets.OOD_SETS)
    assert table.index.is_unique
    assert (table["licence"] != "").all()
    assert table.loc["svhn", "role"] == "ID, OOD"
    assert table.loc["cifar10", "available"] == "train and test to be downloaded"
    assert table.loc[list(DRAWN), "available"].tolist() == ["yes"] * 4


def test_import_and_loading_leave_torch_and_scikit_learn_out():
    code = (
        "import sys, isomax_viz.datasets as d;"
        "light = [m for m in ('torch', 'sklearn', 'matplotlib') if m in sys.modules];"
        "like = d.load_id('digits'); [d.load_ood(n, like) for n in d.default_ood('digits')]; d.describe();"
        "late = [m for m in ('torch', 'sklearn') if m in sys.modules];"
        "sys.exit(str(light + late) if light + late else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

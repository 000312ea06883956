"""The papers' sets from small files in their original formats."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle

import numpy as np
import pytest
from dataset_files import (
    NAMES,
    Malice,
    batch,
    cifar10_files,
    encoded,
    idx_bytes,
    random_images,
    tar_bytes,
    zip_bytes,
)
from scipy.io import savemat

from isomax_viz import datasets
from isomax_viz.datasets import papers


def test_cifar10(cifar10):
    data = datasets.load_id("cifar10")
    np.testing.assert_array_equal(data.train.images, cifar10[0])
    np.testing.assert_array_equal(data.test.images, cifar10[1])
    assert data.train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert data.class_names == tuple(NAMES)
    assert data.train.provenance["md5"] == papers.FILES["cifar10"].md5
    assert "Krizhevsky" in data.train.provenance["citation"]


def test_cifar10_is_read_as_torchvision_reads_it(place, tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    files = cifar10_files(random_images(10, 32, 32, 3), random_images(4, 32, 32, 3, seed=1))
    place("cifar10", tar_bytes(files.items()))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    meta = hashlib.md5(files["cifar-10-batches-py/batches.meta"]).hexdigest()
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": meta})
    for train in (True, False):
        expected = CIFAR10(tmp_path, train=train)
        ours = papers.load("cifar10", "train" if train else "test")
        np.testing.assert_array_equal(ours.images, expected.data)
        assert ours.labels.tolist() == expected.targets and list(ours.class_names) == expected.classes


def test_cifar100_has_its_fine_classes(place):
    names = [f"class {number}" for number in range(100)]
    train, test = random_images(3, 32, 32, 3), random_images(2, 32, 32, 3, seed=1)
    files = {
        "cifar-100-python/train": batch(train, fine_labels=[99, 0, 5], coarse_labels=[1, 1, 1]),
        "cifar-100-python/test": batch(test, fine_labels=[7, 8], coarse_labels=[1, 1]),
        "cifar-100-python/meta": pickle.dumps({"fine_label_names": names, "coarse_label_names": []}, protocol=2),
    }
    place("cifar100", tar_bytes(files.items()))
    data = datasets.load_id("cifar100")
    assert data.train.labels.tolist() == [99, 0, 5] and data.class_names == tuple(names)
    ood = datasets.load_ood("cifar100", datasets.load_id("digits"))
    assert ood.images.shape == (2, 8, 8, 1) and ood.labels.tolist() == [7, 8]


@pytest.mark.parametrize("value", [Malice(), {"data": Malice()}, {"data": functools.partial(print)}])
def test_a_batch_cannot_run_code(place, value, capfd):
    files = cifar10_files(random_images(10, 32, 32, 3), random_images(4, 32, 32, 3))
    files["cifar-10-batches-py/test_batch"] = pickle.dumps(value, protocol=2)
    place("cifar10", tar_bytes(files.items()))
    with pytest.raises(pickle.UnpicklingError, match="it asks for .*, which no picture file needs"):
        papers.load("cifar10", "test")
    assert "harm" not in capfd.readouterr().out


def svhn_bytes(images, labels) -> bytes:
    file = io.BytesIO()
    savemat(file, {"X": images.transpose(1, 2, 3, 0), "y": np.array(labels, np.uint8)[:, None]})
    return file.getvalue()


def test_svhn(place):
    train, test = random_images(3, 32, 32, 3), random_images(4, 32, 32, 3, seed=1)
    place("svhn-train", svhn_bytes(train, [1, 10, 9]))
    place("svhn-test", svhn_bytes(test, [10, 2, 3, 4]))
    data = datasets.load_id("svhn")
    np.testing.assert_array_equal(data.train.images, train)
    np.testing.assert_array_equal(data.test.images, test)
    assert data.train.labels.tolist() == [1, 0, 9] and data.test.labels.tolist() == [0, 2, 3, 4]


def test_svhn_as_ood_needs_the_test_file_only(place, cifar10):
    place("svhn-test", svhn_bytes(random_images(4, 32, 32, 3), [1, 2, 3, 4]))
    assert len(datasets.load_ood("svhn", datasets.load_id("cifar10"))) == 4
    assert datasets.describe().loc["svhn", "available"] == "train to be downloaded"


@pytest.mark.parametrize(("name", "third"), [("mnist", "3"), ("fashion_mnist", "Dress")])
def test_mnist_like_sets(place, name, third):
    images, labels = random_images(5, 28, 28), np.array([3, 1, 4, 1, 5], np.uint8)
    for split in ("train", "test"):
        place(f"{name}-{split}-images", idx_bytes(images))
        place(f"{name}-{split}-labels", idx_bytes(labels))
    data = datasets.load_id(name)
    np.testing.assert_array_equal(data.test.images[..., 0], images)
    assert data.train.labels.tolist() == labels.tolist() and data.class_names[3] == third


def test_tinyimagenet_with_a_grey_picture(place):
    train, val = random_images(3, 64, 64, 3), random_images(2, 64, 64, 3, seed=1)
    root = "tiny-imagenet-200/"
    files = {
        root + "wnids.txt": b"n02\nn01\nn03\n",
        root + "words.txt": b"n01\tcat, true cat\nn02\tcrane\nn03\tcrane\n",
        root + "train/n01/images/n01_0.JPEG": encoded(train[0]),
        root + "train/n02/images/n02_0.JPEG": encoded(train[1]),
        root + "train/n03/images/n03_0.JPEG": encoded(train[2][..., 0]),
        root + "train/n01/n01_boxes.txt": b"",
        root + "val/images/val_1.JPEG": encoded(val[1]),
        root + "val/images/val_0.JPEG": encoded(val[0]),
        root + "val/val_annotations.txt": b"val_0.JPEG\tn03\t0\t0\t1\t1\nval_1.JPEG\tn01\t0\t0\t1\t1\n",
        root + "test/images/test_0.JPEG": b"never read",
    }
    place("tinyimagenet", zip_bytes(files.items()))
    data = datasets.load_id("tinyimagenet")
    assert data.class_names == ("cat", "crane (n02)", "crane (n03)")
    assert data.train.labels.tolist() == [0, 1, 2] and data.test.labels.tolist() == [0, 2]
    np.testing.assert_array_equal(data.train.images[:2], train[:2])
    np.testing.assert_array_equal(data.train.images[2], np.repeat(train[2][..., :1], 3, axis=2))
    np.testing.assert_array_equal(data.test.images, val[::-1])
    assert data.train.provenance["conversions"] == ["1 of 3 pictures: grey repeated in 3 channels"]


def test_pictures_resized_by_odin(place, cifar10):
    pictures = random_images(3, 32, 32, 3)
    folder = "Imagenet_resize/Imagenet_resize/"
    names = ["test_10.png", "test_2.png", "test_1.png"]
    members = [(folder + name, encoded(image)) for name, image in zip(names, pictures, strict=True)]
    place("tinyimagenet_resize", tar_bytes([*members, (folder + "._test_1.png", b"a Mac's")]))
    ood = datasets.load_ood("tinyimagenet_resize", datasets.load_id("cifar10"))
    # In the order of the names as text, as pytorch-ood lists them.
    np.testing.assert_array_equal(ood.images, pictures[[2, 0, 1]])
    assert ood.class_names == ("not labelled",)


def test_fooling_images(place):
    pictures = random_images(2, 128, 128, 3)
    files = {
        "10-runs-x-1000-cppns/run_1/map_gen_5000/a.png": encoded(pictures[0]),
        "10-runs-x-1000-cppns/run_0/map_gen_5000/a.png": encoded(pictures[1]),
        "10-runs-x-1000-cppns/run_0/other/a.png": b"never read",
    }
    place("fooling", tar_bytes(files.items()))
    ood = datasets.load_ood("fooling", datasets.load_id("digits"))
    assert ood.class_names == ("run_0", "run_1") and ood.labels.tolist() == [0, 1]
    assert ood.images.shape == (2, 8, 8, 1)
    assert "brought to 64x64" in ood.provenance["conversions"][0]

"""The papers' sets: small files in the original formats, checksums, downloads, the cache and the bundles."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import pickle
import struct
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from dataset_files import encoded, random_images, shared_bundles, tar_bytes, zip_bytes
from scipy.io import savemat

from isomax_viz import datasets
from isomax_viz.datasets import papers
from isomax_viz.datasets.archives import ArchiveError
from isomax_viz.datasets.cache import load_cached
from isomax_viz.datasets.fetch import DownloadError, data_folder, fetch

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def batch(images: np.ndarray, **labels) -> bytes:
    """Return a CIFAR batch: rows of 3072 bytes, red, green and blue plane after each other."""
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return pickle.dumps({"data": rows, **labels}, protocol=2)


def cifar10_files(train: np.ndarray, test: np.ndarray) -> dict[str, bytes]:
    folder = "cifar-10-batches-py/"
    files = {
        f"{folder}data_batch_{number + 1}": batch(part, labels=[number, 9])
        for number, part in enumerate(np.split(train, 5))
    }
    files[folder + "test_batch"] = batch(test, labels=[3] * len(test))
    files[folder + "batches.meta"] = pickle.dumps({"label_names": NAMES, "num_vis": 3072}, protocol=2)
    return files


@pytest.fixture
def cifar10(place):
    """Place a small CIFAR10 archive; return its training and test pictures."""
    train, test = random_images(10, 32, 32, 3), random_images(4, 32, 32, 3, seed=1)
    place("cifar10", tar_bytes(cifar10_files(train, test).items()))
    return train, test


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


class _Malice:
    def __reduce__(self):
        return os.system, ("echo harm",)


@pytest.mark.parametrize("value", [_Malice(), {"data": _Malice()}, {"data": functools.partial(print)}])
def test_a_batch_cannot_run_code(place, value, capfd):
    files = cifar10_files(random_images(10, 32, 32, 3), random_images(4, 32, 32, 3))
    files["cifar-10-batches-py/test_batch"] = pickle.dumps(value, protocol=2)
    place("cifar10", tar_bytes(files.items()))
    with pytest.raises(ArchiveError, match="test_batch in .* cannot be read as a CIFAR batch: it asks for"):
        papers.load("cifar10", "test")
    assert "harm" not in capfd.readouterr().out


def test_incomplete_cifar_archives(place):
    files = cifar10_files(random_images(10, 32, 32, 3), random_images(4, 32, 32, 3))
    del files["cifar-10-batches-py/data_batch_3"]
    place("cifar10", tar_bytes(files.items()))
    with pytest.raises(ArchiveError, match="lacks data_batch_3"):
        papers.load("cifar10", "train")
    place("cifar10", tar_bytes(files.items())[:3000])
    with pytest.raises(ArchiveError, match="damaged or truncated"):
        papers.load("cifar10", "test")


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


def test_a_damaged_svhn(place):
    place("svhn-test", svhn_bytes(random_images(4, 32, 32, 3), [1, 2, 3, 4])[:5000])
    with pytest.raises(ArchiveError, match="test_32x32.mat is damaged or truncated"):
        papers.load("svhn", "test")


def idx_bytes(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes())


@pytest.mark.parametrize(("name", "prefix", "third"), [("mnist", "mnist", "3"), ("fashion_mnist", "fashion", "Dress")])
def test_mnist_like_sets(place, name, prefix, third):
    images, labels = random_images(5, 28, 28), np.array([3, 1, 4, 1, 5], np.uint8)
    for split in ("train", "test"):
        place(f"{prefix}-{split}-images", idx_bytes(images))
        place(f"{prefix}-{split}-labels", idx_bytes(labels))
    data = datasets.load_id(name)
    np.testing.assert_array_equal(data.test.images[..., 0], images)
    assert data.train.labels.tolist() == labels.tolist() and data.class_names[3] == third


def test_mnist_files_that_do_not_fit(place):
    place("mnist-test-images", idx_bytes(random_images(5, 28, 28)))
    place("mnist-test-labels", idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(ArchiveError, match="do not fit"):
        papers.load("mnist", "test")
    place("mnist-test-images", idx_bytes(random_images(5, 28, 28))[:900])
    with pytest.raises(ArchiveError, match="t10k-images.* is damaged or truncated"):
        papers.load("mnist", "test")


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


def test_offline_message_says_what_to_put_where(monkeypatch, data_folder):
    with pytest.raises(DownloadError) as caught:
        datasets.load_id("cifar10")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("cifar-10-python.tar.gz is needed but could not be downloaded", "c58f30108f718f92721af3b95e74349a"):
        assert part in message
    assert f"put it at {data_folder / 'cifar-10-python.tar.gz'}" in message
    assert "ISOMAX_VIZ_DATA" in message


def test_a_truncated_file_is_reported_and_left_alone(data_folder):
    path = data_folder / "cifar-10-python.tar.gz"
    path.write_bytes(b"half of it")
    with pytest.raises(DownloadError, match=f"another checksum .{hashlib.md5(b'half of it').hexdigest()}.*truncated"):
        datasets.load_id("cifar10")
    assert path.read_bytes() == b"half of it"


@pytest.fixture
def server(tmp_path):
    """Serve a folder of this machine over HTTP."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *args: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


def test_a_download_is_checked_and_kept(server, monkeypatch):
    folder, home = server
    content = idx_bytes(random_images(3, 28, 28))
    (folder / "good.gz").write_bytes(content)
    (folder / "bad.gz").write_bytes(content[:-9])
    file = replace(papers.FILES["mnist-test-images"], md5=hashlib.md5(content).hexdigest())

    with pytest.raises(DownloadError, match=r"absent.gz.*404.*bad.gz: what it sent has the wrong checksum"):
        fetch(replace(file, urls=(home + "absent.gz", home + "bad.gz")))
    assert not (data_folder() / file.name).exists()

    # A damaged file in the place is replaced by a good one.
    (data_folder() / "mnist").mkdir(exist_ok=True)
    (data_folder() / file.name).write_bytes(b"damaged")
    path = fetch(replace(file, urls=(home + "bad.gz", home + "good.gz")))
    assert path == data_folder() / "mnist" / "t10k-images-idx3-ubyte.gz" and path.read_bytes() == content

    (folder / "good.gz").unlink()
    assert fetch(file) == path
    assert sorted(item.name for item in path.parent.iterdir() if item.suffix != ".lock") == [path.name]


def decoded():
    return sorted((data_folder() / "decoded").glob("*.npy"))


def test_the_second_load_needs_no_archive(cifar10, data_folder):
    first = datasets.load_id("cifar10")
    (data_folder / "cifar-10-python.tar.gz").unlink()
    second = datasets.load_id("cifar10")
    assert first.train.fingerprint == second.train.fingerprint and first.test.fingerprint == second.test.fingerprint
    assert dict(first.train.provenance) == dict(second.train.provenance)
    assert type(second.train.images) is np.ndarray and not second.train.images.flags.writeable
    assert datasets.describe().loc["cifar10", "available"] == "yes"


def flip_pixel(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_label(path):
    record = json.loads(path.with_suffix(".json").read_text())
    record["labels"][0] = 1
    path.with_suffix(".json").write_text(json.dumps(record))


DAMAGE = {
    "pixel": flip_pixel,
    "label": change_label,
    "short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "other": lambda path: path.write_bytes(b"\x93NUMPY nonsense"),
    "pickled": lambda path: np.save(path, np.array([_Malice()], dtype=object), allow_pickle=True),
    "no record": lambda path: path.with_suffix(".json").unlink(),
    "half a record": lambda path: path.with_suffix(".json").write_text('{"name": "cifar10"'),
    "foreign record": lambda path: path.with_suffix(".json").write_text("[]"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_cache_is_rebuilt(cifar10, kind, capfd):
    expected = papers.load("cifar10", "test").fingerprint
    (path,) = decoded()
    DAMAGE[kind](path)
    assert load_cached(path) is None
    assert papers.load("cifar10", "test").fingerprint == expected
    assert load_cached(path).fingerprint == expected
    assert "harm" not in capfd.readouterr().out


def test_another_source_or_version_is_decoded_anew(cifar10, place, monkeypatch):
    papers.load("cifar10", "test")
    other = random_images(4, 32, 32, 3, seed=2)
    place("cifar10", tar_bytes(cifar10_files(cifar10[0], other).items()))
    np.testing.assert_array_equal(papers.load("cifar10", "test").images, other)
    assert len(decoded()) == 2
    monkeypatch.setattr("isomax_viz.datasets.cache.VERSION", 99)
    papers.load("cifar10", "test")
    assert len(decoded()) == 3


def test_a_folder_that_cannot_be_written_only_costs_time(cifar10, monkeypatch, caplog):
    def refuse(*args, **kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr("isomax_viz.datasets.cache.tempfile.mkstemp", refuse)
    np.testing.assert_array_equal(papers.load("cifar10", "test").images, cifar10[1])
    assert "could not be kept" in caplog.text and decoded() == []


def bundle(name, split, classes, pictures):
    return zip_bytes(
        (f"{name}/{split}/{kind}/1.png", encoded(picture)) for kind, picture in zip(classes, pictures, strict=True)
    )


@pytest.mark.parametrize("place_of_bundle", ["downloads", "bundles"])
def test_a_bundle_stands_in_for_the_original(data_folder, tmp_path, monkeypatch, place_of_bundle, caplog):
    pictures = random_images(2, 28, 28)
    folder = data_folder
    if place_of_bundle == "bundles":
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        monkeypatch.setenv("ISOMAX_VIZ_BUNDLES", str(folder))
    (folder / "mnist.zip").write_bytes(bundle("mnist", "test", "37", pictures))
    for _ in range(2):
        images = papers.load("mnist", "test")
        np.testing.assert_array_equal(images.images[..., 0], pictures)
        assert images.class_names == ("3", "7")
        assert images.provenance["source"] == "bundle of pictures mnist.zip, split test (not the original archive)"
        assert images.provenance["complete"] == "2 of the original's 10,000 pictures"
    assert "2 of the original's 10,000 pictures" in caplog.text
    assert datasets.describe().loc["mnist", "available"] == "train to be downloaded"
    with pytest.raises(DownloadError, match="train-images-idx3-ubyte.gz is needed"):
        datasets.load_id("mnist")


def test_the_original_goes_before_a_bundle(cifar10, data_folder):
    (data_folder / "cifar10.zip").write_bytes(bundle("cifar10", "test", NAMES, random_images(10, 32, 32, 3, seed=5)))
    assert "md5" in papers.load("cifar10", "test").provenance


def test_train_and_test_of_different_classes_are_refused(data_folder):
    files = {
        f"mnist/{split}/{kind}/1.png": encoded(random_images(1, 28, 28)[0])
        for split, kind in (("train", 1), ("test", 2))
    }
    (data_folder / "mnist.zip").write_bytes(zip_bytes(files.items()))
    with pytest.raises(ValueError, match="training and test pictures of 'mnist' have different classes"):
        datasets.load_id("mnist")


def test_unknown_splits_are_refused():
    with pytest.raises(ValueError, match="split must be one of 'test', but is 'train'. fooling has no other"):
        papers.load("fooling", "train")


def test_a_set_is_not_its_own_ood(cifar10):
    with pytest.raises(ValueError, match="ood 'cifar10' is the in-distribution set itself"):
        datasets.load_ood("cifar10", datasets.load_id("cifar10"))


def test_checksums_and_homes_are_those_the_libraries_record(monkeypatch):
    monkeypatch.undo()
    from pytorch_ood.dataset.img import FoolingImages, LSUNResize, TinyImageNet, TinyImageNetResize
    from torchvision.datasets import CIFAR10, CIFAR100, MNIST, SVHN, FashionMNIST

    expected = {
        "cifar10": (CIFAR10.url, CIFAR10.tgz_md5),
        "cifar100": (CIFAR100.url, CIFAR100.tgz_md5),
        "tinyimagenet": (TinyImageNet.url, TinyImageNet.tgz_md5),
        "tinyimagenet_resize": (TinyImageNetResize.url, TinyImageNetResize.tgz_md5),
        "lsun_resize": (LSUNResize.url, LSUNResize.tgz_md5),
        "fooling": (FoolingImages.url, FoolingImages.md5hash),
    }
    for split in ("train", "test"):
        url, _, md5 = SVHN.split_list[split]
        expected[f"svhn-{split}"] = (url, md5)
    for prefix, library in (("mnist", MNIST), ("fashion", FashionMNIST)):
        keys = [f"{prefix}-{split}-{what}" for split in ("train", "test") for what in ("images", "labels")]
        for key, (name, md5) in zip(keys, library.resources, strict=True):
            expected[key] = (library.mirrors[0] + name, md5)
    assert {key: (file.urls[0], file.md5) for key, file in papers.FILES.items()} == expected


@pytest.fixture(scope="module")
def real_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture
def real(real_folder, monkeypatch):
    """Decode the real bundles into a folder that this module's tests share."""
    monkeypatch.setenv("ISOMAX_VIZ_BUNDLES", str(shared_bundles()))
    monkeypatch.setenv("ISOMAX_VIZ_DATA", str(real_folder))


def test_real_cifar10_has_the_published_statistics(real):
    data = datasets.load_id("cifar10")
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.class_names == tuple(NAMES)
    np.testing.assert_allclose(data.mean * 255, [125.306918, 122.950394, 113.865383], atol=1e-6)
    np.testing.assert_allclose(data.std * 255, [62.993219, 62.088708, 66.704900], atol=1e-6)
    started = time.perf_counter()
    again = datasets.load_id("cifar10")
    assert time.perf_counter() - started < 1
    assert again.train.fingerprint == data.train.fingerprint


def test_real_ood_sets_match_cifar10(real):
    like = datasets.from_arrays(random_images(1, 32, 32, 3))
    cifar100 = datasets.load_ood("cifar100", like, n=1000)
    assert len(cifar100) == 1000 and cifar100.provenance["conversions"] == []
    # Spread evenly over the classes.
    assert np.bincount(cifar100.labels).tolist() == [10] * 100
    tiny = datasets.load_ood("tinyimagenet_resize", like, n=200)
    assert np.bincount(tiny.labels).tolist() == [1] * 200
    assert "not identical" in tiny.provenance["caveat"]


def test_real_mnist_differs_from_fashion(real):
    data = datasets.load_id("mnist")
    assert len(data.train) == 10_000 and data.class_names == tuple("0123456789")
    # The published mean of MNIST's whole training set is 0.1307.
    np.testing.assert_allclose(data.mean, 0.1307, atol=2e-3)
    fashion = datasets.load_ood("fashion_mnist", data)
    assert fashion.class_names[0] == "T-shirt/top" and len(fashion) == 10_000

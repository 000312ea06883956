"""Checksums, downloads, the decoded cache and the bundles of the papers' sets."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from dataset_files import (
    NAMES,
    Malice,
    cifar10_files,
    encoded,
    idx_bytes,
    random_images,
    shared_bundles,
    tar_bytes,
    zip_bytes,
)

from isomax_viz import datasets, load_example, load_network
from isomax_viz.datasets import papers
from isomax_viz.datasets.archives import ArchiveError
from isomax_viz.datasets.cache import load_cached
from isomax_viz.datasets.fetch import DownloadError, RemoteFile, data_folder, fetch, is_ready
from isomax_viz.learning.backbones import BACKBONES, Classifier
from isomax_viz.learning.losses import IsoMaxPlusHead
from isomax_viz.learning.recording.network import record_capture, record_ood
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.protocols import PRESETS


def test_offline_message_says_what_to_put_where(monkeypatch, data_folder):
    with pytest.raises(DownloadError) as caught:
        datasets.load_id("cifar10")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("cifar-10-python.tar.gz is needed but could not be downloaded", "6d958be074577803d12ec"):
        assert part in message
    assert f"put it at {data_folder / 'cifar-10-python.tar.gz'}" in message
    assert "ISOMAX_VIZ_DATA" in message


def test_a_truncated_file_is_reported_and_left_alone(data_folder):
    path = data_folder / "cifar-10-python.tar.gz"
    path.write_bytes(b"half of it")
    digest = hashlib.sha256(b"half of it").hexdigest()
    with pytest.raises(DownloadError, match=f"another checksum .{digest}.*truncated"):
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
    "pickled": lambda path: np.save(path, np.array([Malice()], dtype=object), allow_pickle=True),
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

    monkeypatch.setattr("isomax_viz._common.files._rename", refuse)
    np.testing.assert_array_equal(papers.load("cifar10", "test").images, cifar10[1])
    assert "could not be kept" in caplog.text
    assert [item.suffix for item in (data_folder() / "decoded").iterdir()] == [".lock"]


@pytest.fixture(params=[0o022, 0o002, 0o077])
def allowed(request):
    """Set a umask, and return the permissions that an ordinary file has under it."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


def test_others_may_read_what_the_umask_lets_them(cifar10, server, allowed):
    papers.load("cifar10", "test")
    (path,) = decoded()
    assert [stat.S_IMODE(item.stat().st_mode) for item in (path, path.with_suffix(".json"))] == [allowed] * 2
    folder, home = server
    (folder / "some.gz").write_bytes(b"content")
    file = RemoteFile("sub/some.gz", (home + "some.gz",), hashlib.md5(b"content").hexdigest())
    assert stat.S_IMODE(fetch(file).stat().st_mode) == allowed


KILLED = """
import os, sys
from pathlib import Path
from isomax_viz._common.files import new_entry

with new_entry(Path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_deleted(cifar10, server):
    papers.load("cifar10", "test")
    (path,) = decoded()
    path.unlink()
    folder, home = server
    (folder / "some.gz").write_bytes(b"content")
    file = RemoteFile("some.gz", (home + "some.gz",), hashlib.md5(b"content").hexdigest())
    before = set(data_folder().rglob("*"))
    for left in (path, path.with_suffix(".json"), data_folder() / file.name):
        subprocess.run([sys.executable, "-c", KILLED, str(left)], check=False)
    assert len(set(data_folder().rglob("*")) - before) == 3
    papers.load("cifar10", "test")
    after = {item for item in data_folder().rglob("*") if item.suffix != ".lock"}
    assert len(after - before - {path}) == 1
    fetch(file)
    after = {item for item in data_folder().rglob("*") if item.suffix != ".lock"}
    assert after - before == {path, data_folder() / file.name}


def test_a_file_that_may_not_be_read_is_not_ready(data_folder, server, monkeypatch):
    def refuse(path, kind):
        raise PermissionError(13, "Permission denied", str(path))

    path = data_folder / "cifar-10-python.tar.gz"
    path.write_bytes(b"somebody else's")
    # Not by its mode: who is root may read everything.
    monkeypatch.setattr("isomax_viz.datasets.fetch.file_digest", refuse)
    assert not is_ready(papers.FILES["cifar10"])
    with pytest.raises(DownloadError, match=r"The file there cannot be read .PermissionError.: ask its owner"):
        datasets.load_id("cifar10")
    assert path.read_bytes() == b"somebody else's"


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


def test_a_damaged_bundle_leaves_the_table_whole(data_folder):
    (data_folder / "cifar10.zip").write_bytes(bundle("cifar10", "test", NAMES, random_images(10, 32, 32, 3))[:500])
    table = datasets.describe()
    assert table.loc["cifar10", "available"] == "damaged: cifar10.zip"
    assert table.loc["mnist", "available"] == "train and test to be downloaded"
    with pytest.raises(ArchiveError, match=r"cifar10\.zip is damaged or truncated"):
        datasets.load_id("cifar10")


def test_the_table_reads_no_bundle_whole(data_folder, monkeypatch):
    content = bundle("mnist", "test", "37", random_images(2, 28, 28))
    (data_folder / "mnist.zip").write_bytes(content)
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read whole"))
    assert datasets.describe().loc["mnist", "available"] == "train to be downloaded"
    # Another bundle in the same place is looked at anew.
    (data_folder / "mnist.zip").write_bytes(bundle("mnist", "train", "37", random_images(2, 28, 28)))
    assert datasets.describe().loc["mnist", "available"] == "test to be downloaded"


def test_the_original_goes_before_a_bundle(cifar10, data_folder):
    (data_folder / "cifar10.zip").write_bytes(bundle("cifar10", "test", NAMES, random_images(10, 32, 32, 3, seed=5)))
    assert "md5" in papers.load("cifar10", "test").provenance


def test_train_and_test_of_different_classes_are_refused(data_folder):
    files = {
        f"mnist/{split}/{kind}/1.png": encoded(random_images(1, 28, 28)[0])
        for split, kind in (("train", 1), ("test", 2))
    }
    (data_folder / "mnist.zip").write_bytes(zip_bytes(files.items()))
    with pytest.raises(ValueError, match="train and test of 'mnist' must have the same classes in the same order"):
        datasets.load_id("mnist")


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
    for prefix, library in (("mnist", MNIST), ("fashion_mnist", FashionMNIST)):
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


def test_real_cifar10_has_the_published_statistics(real, monkeypatch):
    data = datasets.load_id("cifar10")
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.class_names == tuple(NAMES)
    np.testing.assert_allclose(data.mean * 255, [125.306918, 122.950394, 113.865383], atol=1e-6)
    np.testing.assert_allclose(data.std * 255, [62.993219, 62.088708, 66.704900], atol=1e-6)
    monkeypatch.setattr("PIL.Image.open", lambda *_: pytest.fail("decoded a second time"))
    again = datasets.load_id("cifar10")
    assert again.train.fingerprint == data.train.fingerprint


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet34", "resnet110", "densenet_bc100"])
def test_each_backbone_trains_on_real_cifar10_with_the_smoke_preset(real, backbone):
    data = datasets.load_id("cifar10").with_examples_per_class(2, seed=0)
    data = replace(data, test=data.test.subset(np.arange(0, 10_000, 1000)))
    torch.manual_seed(0)
    network = BACKBONES[backbone](in_channels=3)
    model = Classifier(network, IsoMaxPlusHead(network.num_features, 10))
    source = datasets.ID_SETS["cifar10"]
    assert source.padding == 4
    history = train(model, data, PRESETS["smoke"], padding=4, flip=True, device="cpu", progress=False)
    assert np.isfinite(history["loss"]).all() and len(history) == 4
    capture = record_ood(record_capture(model, data, meta={"loss": "isomax+"}, device="cpu"), model, data,
                         [datasets.load_ood("cifar100", data, n=10)], device="cpu")  # fmt: skip
    assert capture.test.accuracy == pytest.approx(history["accuracy"].iloc[-1], abs=1e-6)
    assert np.isfinite(capture.ood["cifar100"].logits).all()


def test_the_shipped_networks_say_of_real_pictures_what_their_captures_say(real):
    pictures = torch.from_numpy(papers.load("cifar10", "test").images[:1_000:2].astype(np.float32))
    mean, std = torch.tensor([125.306918, 122.950394, 113.865383]), torch.tensor([62.993219, 62.088708, 66.7049])
    for capture in load_example("cifar10", seed=0):
        assert capture.meta["every"] == 2
        with torch.inference_mode():
            logits = load_network("cifar10", loss=capture.loss)(((pictures - mean) / std).permute(0, 3, 1, 2))
        assert np.abs(logits.numpy() - capture.test.logits[:500]).max() < 1e-2, capture.loss


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

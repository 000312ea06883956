"""A data folder of its own for every test, and no network."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from dataset_files import cifar10_files, random_images, tar_bytes

from isomax_viz.datasets import papers


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Point downloads and bundles to an empty folder."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    monkeypatch.setenv("ISOMAX_VIZ_DATA", str(folder))
    monkeypatch.delenv("ISOMAX_VIZ_BUNDLES", raising=False)
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Send every download to a port of this machine at which nobody listens."""
    for key, file in papers.FILES.items():
        monkeypatch.setitem(papers.FILES, key, replace(file, urls=("http://127.0.0.1:9/" + file.name,)))


@pytest.fixture
def place(data_folder, monkeypatch):
    """Put content into the data folder as one of the papers' files and accept its checksum."""

    def put(key: str, content: bytes) -> Path:
        file = papers.FILES[key]
        monkeypatch.setitem(papers.FILES, key, replace(file, md5=hashlib.md5(content).hexdigest()))
        path = data_folder / file.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return put


@pytest.fixture
def cifar10(place):
    """Place a small CIFAR10 archive; return its training and test pictures."""
    train, test = random_images(10, 32, 32, 3), random_images(4, 32, 32, 3, seed=1)
    place("cifar10", tar_bytes(cifar10_files(train, test).items()))
    return train, test

"""A data folder of its own for every test, no network, and small archives in the original formats."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def encoded(image: np.ndarray, kind: str = "PNG", **options) -> bytes:
    """Return the bytes of a picture file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def random_images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Return random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def shared_bundles() -> Path:
    """Return the folder of real bundles; without it skip, but fail where CI promises it."""
    root = Path(os.environ.get("ISOMAX_VIZ_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    folder = root / "data"
    if not (folder / "cifar10.zip").is_file():
        reason = f"the real picture bundles are not at {folder}; ISOMAX_VIZ_SHARED names another place"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return folder

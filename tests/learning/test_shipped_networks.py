"""Networks that travel with the package say what the captures beside them say."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import isomax_viz as iv
from isomax_viz._common.system import data_folder
from isomax_viz.learning import shipped_networks
from isomax_viz.learning.recording.network import record_samples

LOSSES = ("softmax", "isomax", "isomax+", "isomax2")


@pytest.mark.parametrize("loss", LOSSES)
def test_a_network_gives_the_logits_of_its_capture(loss):
    model = iv.load_network("digits", loss=loss, seed=0)
    assert not any(module.training for module in model.modules())
    (capture,) = iv.load_example("digits", loss=loss, seed=0)
    data = iv.datasets.load_id("digits")
    said = record_samples(model, data.test, data, device="cpu")
    assert np.abs(said.logits - capture.test.logits).max() < 1e-2
    assert said.accuracy == capture.test.accuracy
    letters = record_samples(model, iv.datasets.load_ood("letters", data), data, ood=True, device="cpu")
    assert np.abs(letters.logits - capture.ood["letters"].logits).max() < 1e-2


def test_what_is_not_shipped_is_answered_with_what_is():
    with pytest.raises(ValueError, match="name must be one of 'cifar10', 'digits', but is 'imagenet'"):
        iv.load_network("imagenet", loss="isomax+")
    with pytest.raises(
        ValueError, match="No network of loss='isomax', seed=7 is shipped.*loss='isomax', seed=0.*Train"
    ):
        iv.load_network("digits", loss="isomax", seed=7)


def test_a_damaged_network_is_not_read(tmp_path, monkeypatch):
    shutil.copytree(data_folder() / "networks", tmp_path / "networks")
    path = tmp_path / "networks" / "digits" / "small_cnn-isomax-s0.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(shipped_networks, "data_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"small_cnn-isomax-s0.safetensors is damaged \(its checksum does not match"):
        iv.load_network("digits", loss="isomax")

"""Trained networks that travel with the package: those behind some of the recorded captures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from isomax_viz._common.checks import check_choice
from isomax_viz._common.system import data_folder
from isomax_viz.learning.backbones import Classifier
from isomax_viz.learning.build import assemble
from isomax_viz.learning.training.checkpoint import checked_header, copies, read_checked

__all__ = ["load_network", "network_file"]


def load_network(name: str, *, loss: str, seed: int = 0) -> Classifier:
    """Load a trained network that comes with the package: the one behind the capture of that loss and seed.

    Parameters
    ----------
    name : str
        Of the recorded captures, see :func:`isomax_viz.load_example`.
    loss : str
        A key of :data:`~isomax_viz.learning.losses.HEADS`.
    seed : int
        Of the training.

    Returns
    -------
    Classifier
        On the CPU, in evaluation mode; it takes pictures that are normalised as ``load_id(name)`` says, which
        :func:`~isomax_viz.learning.recording.network.record_samples` does. Weights are stored at half precision: logits
        agree with those of the capture to about 0.01.

    Raises
    ------
    ValueError
        If no such network is shipped; the message says which are. If the file is damaged.

    Examples
    --------
    >>> load_network("digits", loss="isomax+").head
    IsoMaxPlusHead(num_features=128, num_classes=10, entropic_scale=10.0)
    """
    folder = data_folder() / "networks"
    check_choice("name", name, sorted(item.name for item in folder.iterdir() if item.is_dir()))
    there = {}
    for path in sorted((folder / name).glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            told = json.loads(file.metadata()["network"])
        there[told["loss"], told["seed"]] = path
    if (loss, seed) not in there:
        listed = ", ".join(f"loss={known!r}, seed={number}" for known, number in there)
        raise ValueError(
            f"No network of loss={loss!r}, seed={seed} is shipped for {name!r}; there are {listed}. Train another: "
            "iv.Experiment(...).run(), then .network()."
        )
    return _read(there[loss, seed])


def _read(path: Path) -> Classifier:
    try:
        tensors, document = read_checked(path, "network")
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}). Install isomax_viz again.") from error
    told = json.loads(document)
    size = {"channels": told["channels"], "classes": told["classes"]}
    model = assemble(told["backbone"], told["loss"], told["settings"], **size, seed=0)
    model.load_state_dict(tensors)
    return model.eval()


def network_file(model: Classifier, *, meta: Mapping[str, Any], settings: Mapping[str, Any]) -> bytes:
    """Return a network at half precision as a file with its provenance and a checksum; for maintainers.

    Parameters
    ----------
    model : Classifier
        Trained.
    meta : mapping
        Of its capture.
    settings : mapping
        Options of its head.
    """
    told = {key: meta[key] for key in ("id", "data", "backbone", "loss", "seed", "protocol", "computing", "versions")}
    channels = next(model.backbone.parameters()).shape[1]
    told |= {"channels": channels, "classes": model.head.num_classes, "settings": dict(settings)}
    state = model.state_dict()
    tensors = copies({name: part.half() if part.dtype == torch.float32 else part for name, part in state.items()})
    return save(tensors, metadata=checked_header(tensors, "network", json.dumps(told, sort_keys=True)))

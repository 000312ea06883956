"""Checkpoints: the state of an unfinished training, so that a killed one goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from isomax_viz._common.files import hidden_name, put_in_place, settle
from isomax_viz.datasets import InDistribution
from isomax_viz.learning.training.outliers import Outliers
from isomax_viz.learning.training.protocols import Protocol
from isomax_viz.learning.training.selection import BestEpoch

__all__ = ["Checkpoint", "resumed", "training_digest"]

logger = logging.getLogger(__name__)


class Checkpoint:
    """A file that holds weights, momentum, random numbers and history after some epoch.

    Parameters
    ----------
    path : Path
        Where to keep it; written under a temporary name and renamed.
    every_s : float
        Least time between two writes, in seconds; 0 writes after every epoch.
    """

    def __init__(self, path: Path, *, every_s: float = 30.0) -> None:
        self.path = path
        self.every_s = every_s
        self._written = time.monotonic()

    def is_due(self) -> bool:
        """Return whether enough time has passed since the last write."""
        return time.monotonic() - self._written >= self.every_s

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write tensors and a JSON state in one file, atomically; a full disk is reported and training goes on."""
        self._written = time.monotonic()
        temporary = hidden_name(self.path)
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            document = json.dumps(state)
            save_file(plain, temporary, metadata={"state": document, "sha256": _digest(plain, document)})
            settle(temporary)
            put_in_place(temporary, self.path)
        except (OSError, SafetensorError) as error:
            logger.warning("No checkpoint could be written to %s: %s. The training goes on without.", self.path, error)
            with suppress(OSError):
                temporary.unlink()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what :meth:`save` wrote, None if there is nothing or it is damaged (then training starts afresh)."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if header.get("sha256") not in (None, _digest(tensors, header["state"])):  # None: an earlier version's
                raise ValueError("its checksum does not match")
            return tensors, json.loads(header["state"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("The checkpoint %s is damaged (%s); the training starts afresh.", self.path, error)
            return None

    def remove(self) -> None:
        """Delete the file."""
        with suppress(OSError):
            self.path.unlink()


def _digest(tensors: dict[str, Tensor], document: str) -> str:
    digest = hashlib.sha256(document.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def training_digest(
    model: nn.Module, data: InDistribution, protocol: Protocol, *, outliers: Outliers | None, **options: Any
) -> str:
    """Return what tells one training from another, apart from how long it takes, and where.

    Parameters
    ----------
    model : Module
        Its layers and the shapes of its weights count, not their values.
    data, protocol, outliers
        Of :func:`~isomax_viz.learning.training.loop.train`.
    options
        JSON values of all else that determines the numbers: seed, augmentation, precision.
    """
    steps = asdict(protocol)
    if not protocol.one_cycle:
        # With steps an epoch is the same in a longer training: what was begun may be continued beyond its end.
        del steps["epochs"]
    content = {
        "protocol": steps,
        "options": options,
        "data": [part.fingerprint for part in (data.train, data.test)],
        "outliers": outliers and [outliers.recipe.described(), outliers.images.fingerprint],
        # Of some layers the representation holds an address, which is another in each process.
        "layers": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(model)),
        "weights": [[name, str(value.dtype), list(value.shape)] for name, value in model.state_dict().items()],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def resumed(
    checkpoint: Checkpoint,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    kept: BestEpoch,
    *,
    digest: str,
    epochs: int,
) -> list[dict[str, Any]]:
    """Put back what a checkpoint of this training holds, and return its history's rows; none where it starts afresh.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where to look.
    model, optimizer, generator, kept
        Where to put it.
    digest : str
        From :func:`training_digest`; a checkpoint with another one, or without, is another training's.
    epochs : int
        Length of this training: one that has gone further can't be taken back.
    """
    found = checkpoint.load()
    if found is None:
        return []
    tensors, state = found
    if state["device"] != generator.device.type:
        # The state of one device's random numbers means nothing to another's.
        logger.warning(
            "An unfinished training was begun on %r and can't go on on %r: it starts afresh.",
            state["device"],
            generator.device.type,
        )
        return []
    if state.get("training") != digest or state["rows"][-1]["epoch"] > epochs:
        logger.warning(
            "The checkpoint %s belongs to another training (network, data, protocol, seed or precision), or to an "
            "earlier version's: this one starts afresh, and writes over it. Give each training a file of its own.",
            checkpoint.path,
        )
        return []
    restore_training(tensors, model, optimizer, generator)
    kept.resume(state["best"], tensors)
    logger.info("Going on after epoch %d of an earlier training.", state["rows"][-1]["epoch"])
    return state["rows"]


def training_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return all tensors that determine how a training goes on."""
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for i, parameter in enumerate(parameters):
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum/{i}"] = momentum
    tensors |= {"random/batches": generator.get_state(), "random/global": torch.get_rng_state()}
    if generator.device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(generator.device)
    return tensors


def restore_training(
    tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> None:
    """Put back what :func:`training_tensors` returned."""
    model.load_state_dict({key[6:]: value for key, value in tensors.items() if key.startswith("model/")})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for i, parameter in enumerate(parameters):
        if f"momentum/{i}" in tensors:
            momentum = torch.empty_like(parameter).copy_(tensors[f"momentum/{i}"])
            optimizer.state[parameter]["momentum_buffer"] = momentum
    generator.set_state(tensors["random/batches"])
    torch.set_rng_state(tensors["random/global"])
    if "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"], generator.device)

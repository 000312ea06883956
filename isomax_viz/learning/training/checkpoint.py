"""Checkpoints: the state of an unfinished training, so that a killed one goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor, nn

from isomax_viz._common.files import new_entry
from isomax_viz.datasets import InDistribution
from isomax_viz.learning.training.history import scales_of
from isomax_viz.learning.training.outliers import Outliers
from isomax_viz.learning.training.protocols import Protocol

__all__ = ["Checkpoint", "TrainingState", "checked_header", "copies", "read_checked", "serialised", "training_digest"]

logger = logging.getLogger(__name__)


def serialised(model: nn.Module) -> bytes:
    """Return the state of a network as a safetensors document.

    Raises
    ------
    TypeError
        If a module keeps something else than tensors.

    Examples
    --------
    >>> import safetensors.torch
    >>> safetensors.torch.load(serialised(nn.Linear(1, 2)))["bias"].shape
    torch.Size([2])
    """
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"The state of a network must be tensors, but {name!r} is of type {type(value).__name__}: it could not "
                "be saved after the training. Let get_extra_state return a tensor, or remove it."
            )
    return save(copies(state))


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU as safetensors writes them: what shares memory it would refuse."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


@dataclass
class TrainingState:
    """What a training has come to at the end of an epoch: all that a checkpoint saves and that resuming puts back.

    Attributes
    ----------
    model, optimizer
        Weights and momentum.
    generator : torch.Generator
        Order and augmentation of the pictures.
    select : {"last", "best_validation", "best_test"}
        Which epoch's network is kept, see :class:`~isomax_viz.learning.training.protocols.Protocol`.
    rows : list of dict
        The history so far.
    best : float
        Accuracy of the best epoch so far, where another than the last is to be kept.
    kept : dict of str to Tensor
        Its weights.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    select: str = "last"
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: float = -1.0
    kept: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        serialised(self.model)  # what can't be saved is found out before the training, not after it

    @property
    def epoch(self) -> int:
        """The last epoch that is complete, 0 before the first."""
        return int(self.rows[-1]["epoch"]) if self.rows else 0

    def add(self, summaries: dict[str, dict[str, float]]) -> None:
        """Add an epoch with its figures of each set of pictures; keep its weights if it is the best so far."""
        epoch, rate, scales = self.epoch + 1, self.optimizer.param_groups[0]["lr"], scales_of(self.model.head)
        common = {"epoch": epoch, "split": "", "learning_rate": rate}
        self.rows += [common | {"split": name} | figures | scales for name, figures in summaries.items()]
        judged = summaries.get(self.select.removeprefix("best_"), {"accuracy": -1.0})  # "last" is no set
        if judged["accuracy"] > self.best:
            self.best = judged["accuracy"]
            self.kept = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that determines how the training goes on."""
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        for i, parameter in enumerate(self._parameters()):
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum/{i}"] = momentum
        tensors |= {"random/batches": self.generator.get_state(), "random/global": torch.get_rng_state()}
        if self.generator.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.generator.device)
        return tensors | {f"kept/{name}": value for name, value in self.kept.items()}

    def restore(self, tensors: dict[str, Tensor], *, rows: list[dict[str, Any]], best: float) -> None:
        """Put back what :meth:`tensors` returned, with the rows and the accuracy of the best epoch."""
        model, kept = (
            {key.removeprefix(part): value for key, value in tensors.items() if key.startswith(part)}
            for part in ("model/", "kept/")
        )
        self.model.load_state_dict(model)
        for i, parameter in enumerate(self._parameters()):
            if f"momentum/{i}" in tensors:
                momentum = torch.empty_like(parameter).copy_(tensors[f"momentum/{i}"])
                self.optimizer.state[parameter]["momentum_buffer"] = momentum
        self.generator.set_state(tensors["random/batches"])
        torch.set_rng_state(tensors["random/global"])
        if "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"], self.generator.device)
        self.rows, self.best, self.kept = rows, best, kept

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


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
        self._digest = ""

    def resume(self, training: TrainingState, *, digest: str, epochs: int) -> None:
        """Put back what the file holds of this training; what is another's is left, with a warning.

        Parameters
        ----------
        training : TrainingState
            Where to put it.
        digest : str
            From :func:`training_digest`; a file with another one, or without, is another training's.
        epochs : int
            Length of this training: one that has gone further can't be taken back.
        """
        self._digest, device = digest, training.generator.device.type
        found = self.load()
        if found is None:
            return
        tensors, state = found
        # The state of one device's random numbers means nothing to another's.
        same = state.get("training") == digest and state["device"] == device
        if same and state["rows"][-1]["epoch"] <= epochs:
            training.restore(tensors, rows=state["rows"], best=state["best"])
            logger.info("Going on after epoch %d of an earlier training.", training.epoch)
            return
        if state.get("training") == digest and not same:
            words = "The checkpoint %s was begun on %r: on %r this training starts afresh."
            logger.warning(words, self.path, state["device"], device)
            return
        logger.warning(
            "The checkpoint %s belongs to another training (network, data, protocol, seed, precision or device), or to "
            "an earlier version's: this one starts afresh, and writes over it. Give each training a file of its own.",
            self.path,
        )

    def keep(self, training: TrainingState) -> None:
        """Write the state of the training that was resumed here, if enough time has passed since the last write."""
        if time.monotonic() - self._written >= self.every_s:
            state = {"rows": training.rows, "best": training.best, "training": self._digest}
            self.save(training.tensors(), state | {"device": training.generator.device.type})

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write tensors and a JSON state in one file, atomically; a full disk is reported and training goes on."""
        self._written = time.monotonic()
        plain = copies(tensors)
        try:
            with new_entry(self.path) as file:
                save_file(plain, file, metadata=checked_header(plain, "state", json.dumps(state)))
        except (OSError, SafetensorError) as error:
            logger.warning("No checkpoint could be written to %s: %s. The training goes on without.", self.path, error)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what :meth:`save` wrote, None if there is nothing or it is damaged (then training starts afresh)."""
        if not self.path.is_file():
            return None
        try:
            tensors, document = read_checked(self.path, "state")
            return tensors, json.loads(document)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            logger.warning("The checkpoint %s is damaged (%s); the training starts afresh.", self.path, error)
            return None

    def remove(self) -> None:
        """Delete the file."""
        with suppress(OSError):
            self.path.unlink()


def checked_header(tensors: Mapping[str, Tensor], name: str, text: str) -> dict[str, str]:
    """Return what stands in a file beside its tensors: a text about them, under a name, and a checksum over both."""
    return {name: text, "sha256": _digest(tensors, text)}


def read_checked(path: Path, name: str) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a file with a :func:`checked_header`, and its text of that name.

    Raises
    ------
    SafetensorError, OSError, KeyError, ValueError
        If the file is damaged, or another one.
    """
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    if header["sha256"] != _digest(tensors, header[name]):
        raise ValueError("its checksum does not match")
    return tensors, header[name]


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
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
    steps = protocol.described()
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

"""Training small networks whose features are two numbers, with a snapshot of every epoch: some seconds at most."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

# First, for it says what to install where there is no PyTorch.
from isomax_viz.learning.recording.network import assemble_capture, gather, head_outputs, with_distances_to  # isort: skip

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.analysis.features import Plane, Snapshot, ToyRun
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets.toys import Toy, load_toy
from isomax_viz.learning.losses import HEADS, parameter_groups

__all__ = ["ToyNetwork", "train_toy"]

MARGIN = 0.12  # of the extent of the data, around them
RISE = 0.2  # share of the training in which the learning rate rises


class ToyNetwork(nn.Module):
    """Two hidden layers, two features, and any head.

    Parameters
    ----------
    inputs, width : int
        Numbers per point, and units of each hidden layer.
    head : Module
        Takes two features.
    """

    def __init__(self, inputs: int, width: int, head: nn.Module) -> None:
        super().__init__()
        layers = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)]
        self.backbone = nn.Sequential(*layers)
        self.head = head


def train_toy(
    toy: str | Toy = "moons",
    *,
    loss: str | type[nn.Module] = "isomax+",
    entropic_scale: float | None = None,
    epochs: int = 40,
    seed: int = 0,
    width: int = 64,
    batch_size: int = 50,
    learning_rate: float = 0.01,
    lines: int = 81,
) -> ToyRun:
    """Train a small network on points and keep what it says about the whole plane at every epoch.

    Parameters
    ----------
    toy : str or Toy
        A key of ``iv.datasets.TOYS``, or points of :func:`~isomax_viz.datasets.toys.load_toy` and
        :func:`~isomax_viz.datasets.toys.toy_from_images`.
    loss : str or class
        A key of ``isomax_viz.learning.losses.HEADS``, or a head of your own.
    entropic_scale : float, optional
        For losses that have one; by default the papers' 10.
    epochs, batch_size : int
        Passes over the training points, and points per step.
    seed : int
        Determines initial weights and the order of the points.
    width : int
        Units of each of the two hidden layers.
    learning_rate : float
        At its highest: it rises over the first fifth of the training and falls to zero (AdamW, weight decay 1e-4).
    lines : int
        Grid lines of each plane in either direction.

    Returns
    -------
    ToyRun
        With epochs 0 (before the training) to ``epochs``.

    Raises
    ------
    ValueError
        If a name is unknown, a number is out of range, or the loss has no entropic scale to set.

    Examples
    --------
    >>> run = train_toy("blobs", loss="isomax", epochs=2, lines=5)
    >>> run.epochs, run.final.planes["input"]
    ((0, 1, 2), Plane(5 x 5 points))
    """
    toy = load_toy(toy) if isinstance(toy, str) else toy
    check_number("epochs", epochs, at_least=1, whole=True)
    check_number("lines", lines, at_least=2, whole=True)
    batch_size = check_number("batch_size", batch_size, at_least=1, whole=True)
    points, labels = torch.tensor(toy.train), torch.tensor(toy.train_labels)
    generator = torch.Generator().manual_seed(seed)
    recorder = _Recorder(toy, lines=lines)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head, settings = _head(loss, len(toy.class_names), entropic_scale)
        network = ToyNetwork(points.shape[1], check_number("width", width, at_least=1, whole=True), head)
        groups = parameter_groups(network, lr=check_number("learning_rate", learning_rate, above=0), weight_decay=1e-4)
        optimizer = torch.optim.AdamW(groups)
        steps = epochs * -(-len(points) // batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / (RISE * steps), max(0.0, 1 - step / steps) / (1 - RISE))
        )
        recorder.add(network, 0)
        for epoch in range(1, epochs + 1):
            network.train()
            for chosen in torch.randperm(len(points), generator=generator).split(batch_size):
                features = network.backbone(points[chosen])
                value = head.criterion(head.both_logits(features)[1], labels[chosen])
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                optimizer.step()
                schedule.step()
            recorder.add(network, epoch)
    named = loss if isinstance(loss, str) else loss.__name__
    meta = {"loss": named, "data": toy.name, "backbone": "two hidden layers", "preset": "toy", "seed": seed} | settings
    return recorder.run(meta | {"classes": list(toy.class_names)})


def _head(loss: str | type[nn.Module], classes: int, scale: float | None) -> tuple[nn.Module, dict[str, Any]]:
    made: Any = HEADS[check_choice("loss", loss, HEADS)] if isinstance(loss, str) else loss
    if "entropic_scale" not in getattr(made, "settings", ()):
        if scale is not None:
            raise ValueError(f"entropic_scale can't be set for loss={loss!r}, which has none. Leave it out.")
        return made(2, classes), {}
    scale = 10.0 if scale is None else scale
    return made(2, classes, entropic_scale=scale), {"entropic_scale": scale}


class _Recorder:
    """Keeps what the network says at each epoch; the planes are laid out once all features are known."""

    def __init__(self, toy: Toy, *, lines: int) -> None:
        self._toy, self._lines = toy, lines
        self._sets = {"train": toy.train, "test": toy.test} | dict(toy.ood)
        self._labels = {"train": toy.train_labels, "test": toy.test_labels}
        self._kept: list[tuple[int, ToyNetwork, dict[str, Samples]]] = []

    def add(self, network: ToyNetwork, epoch: int) -> None:
        frozen = deepcopy(network).eval().requires_grad_(False)
        outputs = {}
        for name, points in self._sets.items():
            labels = self._labels.get(name, np.full(len(points), -1))
            outputs[name] = _samples(frozen, _features(frozen, points), labels)
        self._kept.append((epoch, frozen, outputs))

    def run(self, meta: Mapping[str, Any]) -> ToyRun:
        input_lines = None
        if self._toy.train.shape[1] == 2:
            input_lines = _grid_lines(np.concatenate(list(self._sets.values())), self._lines)
        feature_lines = self._feature_lines(meta["loss"])
        history: list[dict[str, Any]] = []
        snapshots = []
        for epoch, network, sets in self._kept:
            history += [_summary(network, epoch, name, sets[name]) for name in ("train", "test")]
            known, unknown = ({name: sets[name] for name in names} for names in (("train", "test"), self._toy.ood))
            described = {"meta": {**meta, "epoch": epoch}, "history": pd.DataFrame(history)}
            capture = assemble_capture(network.head, known, unknown, **described)
            planes = {"features": _plane(network, feature_lines, capture.prototypes, features=True)}
            if input_lines is not None:
                planes["input"] = _plane(network, input_lines, capture.prototypes, features=False)
            weights = {name: value.numpy().copy() for name, value in network.state_dict().items()}
            points = self._sets if input_lines is not None else {}
            snapshots.append(Snapshot(epoch, capture, planes, points, weights))
        return ToyRun(tuple(snapshots))

    def _feature_lines(self, loss: str) -> tuple[np.ndarray, np.ndarray]:
        if loss == "isomax+":
            edge = np.linspace(-1.55, 1.55, self._lines)
            return edge, edge
        # The axes stand still while the epochs pass, so they hold the known features of all of them; of the unknown
        # ones, which may lie very far, as much as leaves the known ones large enough to be seen.
        known = np.concatenate([sets["train"].require("features") for _, _, sets in self._kept])
        low, high = np.quantile(known, [0.002, 0.998], axis=0)
        room = 0.75 * (high - low).max()
        last = self._kept[-1][2]
        unknown = [np.quantile(last[name].require("features"), [0.02, 0.98], axis=0) for name in self._toy.ood]
        lowest, highest = low - room, high + room
        for least, most in unknown:
            low, high = np.clip(least, lowest, low), np.clip(most, high, highest)
        return _grid_lines(np.stack([low, high]), self._lines)


def _grid_lines(points: np.ndarray, lines: int) -> tuple[np.ndarray, np.ndarray]:
    """Return grid lines over a square that holds the points, so that distances look alike in both directions."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = (0.5 + MARGIN) * max(float((high - low).max()), 1e-6)
    x, y = (np.linspace(middle - half, middle + half, lines) for middle in (low + high) / 2)
    return x, y


def _features(network: ToyNetwork, points: np.ndarray) -> Tensor:
    return network.backbone(torch.tensor(points, dtype=torch.float32))


def _samples(network: ToyNetwork, features: Tensor, labels: np.ndarray) -> Samples:
    return Samples(labels=labels, **gather([head_outputs(network.head, features)]))


def _plane(
    network: ToyNetwork, lines: tuple[np.ndarray, np.ndarray], prototypes: np.ndarray | None, *, features: bool
) -> Plane:
    x, y = np.meshgrid(*lines)
    points = np.column_stack([x.ravel(), y.ravel()]).astype(np.float32)
    values = torch.tensor(points) if features else _features(network, points)
    samples = _samples(network, values, np.full(len(points), -1))
    return Plane(*lines, with_distances_to(prototypes, samples))


def _summary(network: ToyNetwork, epoch: int, split: str, samples: Samples) -> dict[str, Any]:
    _, class_logits = network.head.both_logits(torch.tensor(samples.features))
    value = network.head.criterion(class_logits, torch.tensor(samples.labels))
    return {
        "epoch": epoch,
        "split": split,
        "loss": value.item(),
        "accuracy": samples.accuracy,
        "cross_entropy": value.item(),
        "entropy": float(samples.entropies.mean()),
        "max_probability": float(samples.max_probabilities.mean()),
    }

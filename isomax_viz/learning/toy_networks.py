"""Training small networks whose features are two numbers, with a snapshot of every epoch: some seconds at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from isomax_viz._common.checks import check_choice, check_number, sealed
from isomax_viz.analysis.features import Plane, Snapshot, ToyRun
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets.toys import Toy, load_toy
from isomax_viz.learning.backbones import Classifier
from isomax_viz.learning.losses import HEADS, parameter_groups
from isomax_viz.learning.recording.network import assemble_capture, gather, head_outputs, with_distances_to
from isomax_viz.learning.training.history import EpochRecord

__all__ = ["train_toy"]

MARGIN = 0.12  # of the extent of the data, around them
RISE = 0.2  # share of the training in which the learning rate rises

_Said = tuple[Classifier, dict[str, Samples], dict[str, Samples]]  # a network, and what it says of its data


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
    said: list[_Said] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head, settings = _head(loss, len(toy.class_names), entropic_scale)
        width = check_number("width", width, at_least=1, whole=True)
        layers = [nn.Linear(points.shape[1], width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)]
        network = Classifier(nn.Sequential(*layers), head)
        groups = parameter_groups(network, lr=check_number("learning_rate", learning_rate, above=0), weight_decay=1e-4)
        optimizer = torch.optim.AdamW(groups)
        steps = epochs * -(-len(points) // batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / (RISE * steps), max(0.0, 1 - step / steps) / (1 - RISE))
        )
        said.append(_asked(network, toy))
        for _ in range(epochs):
            network.train()
            for chosen in torch.randperm(len(points), generator=generator).split(batch_size):
                features = network.backbone(points[chosen])
                value = head.criterion(head.both_logits(features)[1], labels[chosen])
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                optimizer.step()
                schedule.step()
            said.append(_asked(network, toy))
    named = loss if isinstance(loss, str) else loss.__name__
    meta = {"loss": named, "data": toy.name, "backbone": "two hidden layers", "preset": "toy", "seed": seed} | settings
    return ToyRun(tuple(_snapshots(toy, said, meta | {"classes": list(toy.class_names)}, lines)))


def _head(loss: str | type[nn.Module], classes: int, scale: float | None) -> tuple[nn.Module, dict[str, Any]]:
    made: Any = HEADS[check_choice("loss", loss, HEADS)] if isinstance(loss, str) else loss
    if "entropic_scale" not in getattr(made, "settings", ()):
        if scale is not None:
            raise ValueError(f"entropic_scale can't be set for loss={loss!r}, which has none. Leave it out.")
        return made(2, classes), {}
    scale = 10.0 if scale is None else scale
    return made(2, classes, entropic_scale=scale), {"entropic_scale": scale}


def _samples(
    network: Classifier, points: np.ndarray, labels: np.ndarray | None = None, *, features: bool = False
) -> Samples:
    """Return what a network says of points, or of features."""
    values = torch.tensor(points, dtype=torch.float32)
    outputs = gather([head_outputs(network.head, values if features else network.backbone(values))])
    return Samples(labels=np.full(len(points), -1) if labels is None else labels, **outputs)


def _asked(network: Classifier, toy: Toy) -> _Said:
    """Return a copy of the network, and what it says of the known and of the unknown points."""
    frozen = deepcopy(network).eval().requires_grad_(False)
    labelled = {"train": (toy.train, toy.train_labels), "test": (toy.test, toy.test_labels)}
    known = {name: _samples(frozen, *part) for name, part in labelled.items()}
    return frozen, known, {name: _samples(frozen, points, None) for name, points in toy.ood.items()}


def _snapshots(toy: Toy, said: list[_Said], meta: Mapping[str, Any], lines: int) -> Iterator[Snapshot]:
    """Yield the epochs; the planes are laid out only now that all features are known."""
    points = {"train": toy.train, "test": toy.test, **toy.ood} if toy.train.shape[1] == 2 else {}
    grids = {"features": _feature_lines(said, meta["loss"], lines)}
    if points:
        grids["input"] = _grid_lines(np.concatenate(list(points.values())), lines)
    history: list[dict[str, Any]] = []
    for epoch, (network, known, unknown) in enumerate(said):
        history += [{"epoch": epoch, "split": name} | _summary(network, samples) for name, samples in known.items()]
        described = {"meta": {**meta, "epoch": epoch}, "history": pd.DataFrame(history)}
        capture = assemble_capture(network.head, known, unknown, **described)
        planes = {}
        for space, grid in grids.items():
            x, y = np.meshgrid(*grid)
            samples = _samples(network, np.column_stack([x.ravel(), y.ravel()]), features=space == "features")
            planes[space] = Plane(*grid, with_distances_to(capture.prototypes, samples))
        weights = {name: sealed(value.numpy().copy()) for name, value in network.state_dict().items()}
        yield Snapshot(epoch, capture, planes, points, weights)


def _feature_lines(said: list[_Said], loss: str, lines: int) -> tuple[np.ndarray, np.ndarray]:
    if loss == "isomax+":
        edge = sealed(np.linspace(-1.55, 1.55, lines))
        return edge, edge
    # The axes stand still while the epochs pass, so they hold the known features of all of them; of the unknown
    # ones, which may lie very far, as much as leaves the known ones large enough to be seen.
    features = np.concatenate([known["train"].require("features") for _, known, _ in said])
    low, high = np.quantile(features, [0.002, 0.998], axis=0)
    room = 0.75 * (high - low).max()
    lowest, highest = low - room, high + room
    for samples in said[-1][2].values():
        least, most = np.quantile(samples.require("features"), [0.02, 0.98], axis=0)
        low, high = np.clip(least, lowest, low), np.clip(most, high, highest)
    return _grid_lines(np.stack([low, high]), lines)


def _grid_lines(points: np.ndarray, lines: int) -> tuple[np.ndarray, np.ndarray]:
    """Return grid lines over a square that holds the points, so that distances look alike in both directions."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = (0.5 + MARGIN) * max(float((high - low).max()), 1e-6)
    x, y = (sealed(np.linspace(middle - half, middle + half, lines)) for middle in (low + high) / 2)
    return x, y


def _summary(network: Classifier, samples: Samples) -> dict[str, float]:
    record, targets = EpochRecord(), torch.tensor(samples.labels)
    logits, class_logits = network.head.both_logits(torch.tensor(samples.features))
    record.add(logits, class_logits, targets, network.head.criterion(class_logits, targets))
    return record.summary()

"""Recording: a network and its pictures in, samples in numpy out. The only crossing from torch to numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from isomax_viz._common.checks import sealed
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.fooling_images import load_unknown
from isomax_viz.learning.losses.heads import euclidean
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.hardware import choose_device, suitable_layout

__all__ = [
    "assemble_capture", "class_means", "gather", "head_outputs", "record_capture", "record_ood", "record_samples",
    "with_distances_to",
]  # fmt: skip


def head_outputs(head: nn.Module, features: Tensor) -> dict[str, Tensor]:
    """Return what a head says about features, by the names of the fields of :class:`~isomax_viz.Samples`.

    Examples
    --------
    >>> from isomax_viz.learning.losses import IsoMaxHead
    >>> outputs = head_outputs(IsoMaxHead(2, 3), torch.tensor([[3.0, 4.0]]))
    >>> outputs["logits"].tolist(), outputs["distances"].tolist(), outputs["predictions"].tolist()
    ([[-5.0, -5.0, -5.0]], [[5.0, 5.0, 5.0]], [0])
    """
    logits, class_logits = head.both_logits(features)
    outputs = {"features": features, "logits": logits, "predictions": class_logits.argmax(dim=1)}
    return outputs | ({"distances": head.distances(features)} if hasattr(head, "distances") else {})


@torch.no_grad()
def gather(batches: Iterable[Mapping[str, Tensor]], rows: int = 0) -> dict[str, np.ndarray]:
    """Return what a network said in batches as arrays, floats in float32.

    Parameters
    ----------
    batches : iterable of mapping of str to Tensor
        One row per picture, under the same names in each batch.
    rows : int
        How many rows are expected, where that is known: memory is then bounded by the arrays and one batch.

    Examples
    --------
    >>> gather({"logits": torch.ones(n, 2)} for n in (1, 2))["logits"].shape
    (3, 2)
    """
    arrays: dict[str, np.ndarray] = {}
    start = 0
    for batch in batches:
        for name, part in batch.items():
            values = (part.float() if part.is_floating_point() else part).cpu().numpy()
            stop = start + len(values)
            if name not in arrays:
                arrays[name] = np.empty((max(rows, stop), *values.shape[1:]), dtype=values.dtype)
            if stop > len(arrays[name]):
                arrays[name].resize((2 * stop, *values.shape[1:]), refcheck=False)
            arrays[name][start:stop] = values
        start = stop
    for array in arrays.values():
        array.resize((start, *array.shape[1:]), refcheck=False)
    # Sealed, samples take them as they are: a copy would double the memory.
    return {name: sealed(array) for name, array in arrays.items()}


@torch.no_grad()
def record_samples(
    model: nn.Module,
    images: ImageSet,
    data: InDistribution,
    *,
    ood: bool = False,
    device: torch.device | str | None = None,
) -> Samples:
    """Run the network over a set of pictures and keep what it says.

    Parameters
    ----------
    model : Module
        Has ``backbone`` and ``head``.
    images : ImageSet
        Pictures of the size and channels that the network was trained on.
    data : InDistribution
        Gives the statistics that every set is normalised with.
    ood : bool
        Whether the labels are those of other classes: they become -1.
    device : str or torch.device, optional
        Where to run.

    Returns
    -------
    Samples
        Float32, in the order of the pictures; distances only where the head has prototypes. Memory is bounded by the
        arrays themselves and one batch.
    """
    device = choose_device(device)
    layout = suitable_layout(device)
    model.to(device, memory_format=layout).eval()
    batches = Batches(images, mean=data.mean, std=data.std, device=device, layout=layout).in_order()
    outputs = (head_outputs(model.head, model.backbone(pictures).float()) for pictures, _ in batches)
    return Samples(labels=np.full(len(images), -1) if ood else images.labels, **gather(outputs, len(images)))


def class_means(samples: Samples) -> np.ndarray:
    """Return the mean feature vector of each class, shape (classes, features).

    They stand in for prototypes where a head has none (SoftMax).

    Examples
    --------
    >>> samples = Samples(logits=np.zeros((3, 2)), labels=[0, 0, 1], features=[[0.0], [2.0], [5.0]])
    >>> class_means(samples).tolist()
    [[1.0], [5.0]]
    """
    members = [samples.labels == label for label in range(samples.classes)]
    empty = [label for label, member in enumerate(members) if not member.any()]
    if empty:
        raise ValueError(f"Classes {empty} have no training sample, so they have no mean. Leave these classes out.")
    means = [samples.require("features")[member].mean(axis=0, dtype=np.float64) for member in members]
    return np.stack(means).astype(np.float32)


def with_distances_to(means: np.ndarray | None, samples: Samples) -> Samples:
    """Return the samples with distances from their features to class means, where they have none to prototypes."""
    if samples.distances is not None:
        return samples
    distances = euclidean(torch.tensor(samples.features), torch.tensor(means))
    return replace(samples, distances=sealed(distances.numpy()))


def assemble_capture(
    head: nn.Module,
    samples: Mapping[str, Samples],
    ood: Mapping[str, Samples],
    *,
    meta: Mapping[str, Any],
    history: pd.DataFrame | None = None,
) -> Capture:
    """Return the capture of what a network said, with distances to class means where its head gives none.

    Parameters
    ----------
    head : Module
        The last layer; its ``prototypes`` are kept where it has distances to them.
    samples : mapping of str to Samples
        ``"test"``, and ``"train"`` where it was recorded.
    ood : mapping of str to Samples
        Out-of-distribution sets.
    meta : mapping
        Provenance to keep beside what is said about the distances here.
    history : DataFrame, optional
        Of the training.
    """
    prototypes, given = getattr(head, "prototypes", None), samples["test"].distances is not None
    points = None if prototypes is None else prototypes.detach().float().cpu().numpy()
    if given:
        what = "feature-prototype distances without any learned scale"
        what = what if prototypes is not None else "distances that the head gives (it names no prototypes)"
    elif "train" in samples:
        reason = "has no prototypes" if prototypes is None else "gives no distances to its prototypes"
        what = f"distances to the class means of the training features (the head {reason})"
    if "train" in samples and not (given and prototypes is not None):
        points = class_means(samples["train"])
        with_means = partial(with_distances_to, points)
        samples, ood = ({name: with_means(part) for name, part in sets.items()} for sets in (samples, ood))
    meta = dict(meta) | ({"distances": what} if given or "train" in samples else {})
    return Capture(**samples, ood=ood, meta=meta, history=history, prototypes=points)


def record_capture(
    model: nn.Module,
    data: InDistribution,
    *,
    meta: Mapping[str, Any],
    history: pd.DataFrame | None = None,
    device: torch.device | str | None = None,
) -> Capture:
    """Record the in-distribution training and test pictures.

    Parameters
    ----------
    model : Module
        Has ``backbone`` and ``head``.
    data : InDistribution
        Training and test pictures.
    meta : mapping
        Provenance to keep beside what is said about the data here.
    history : DataFrame, optional
        Of the training.
    device : str or torch.device, optional
        Where to run.

    Returns
    -------
    Capture
        Without out-of-distribution sets; see :func:`record_ood`.
    """
    sets = {"train": data.train, "test": data.test}
    samples = {name: record_samples(model, images, data, device=device) for name, images in sets.items()}
    described = {"classes": list(data.train.class_names), "mean": data.mean.tolist(), "std": data.std.tolist()}
    meta = {**meta, **described, "provenance": dict(data.test.provenance), "ood": {}}
    return assemble_capture(model.head, samples, {}, meta=meta, history=history)


def record_ood(
    capture: Capture,
    model: nn.Module,
    data: InDistribution,
    sets: Iterable[str | ImageSet],
    *,
    device: torch.device | str | None = None,
) -> Capture:
    """Record out-of-distribution sets beside what the capture holds.

    Parameters
    ----------
    capture : Capture
        From :func:`record_capture`.
    model, data
        As there.
    sets : iterable of str or ImageSet
        Names of :data:`isomax_viz.datasets.OOD_SETS` or pictures of your own.
    device : str or torch.device, optional
        Where to run.

    Returns
    -------
    Capture
        A new one; ``meta["ood"]`` tells where each set comes from.
    """
    recorded, origins = dict(capture.ood), dict(capture.meta["ood"])
    for item in sets:
        images = load_unknown(item, data)
        samples = record_samples(model, images, data, ood=True, device=device)
        recorded[images.name] = with_distances_to(capture.prototypes, samples)
        original = item if isinstance(item, ImageSet) else images
        origins[images.name] = {"fingerprint": original.fingerprint, "provenance": dict(images.provenance)}
    return capture.replace(ood=recorded, meta={**capture.meta, "ood": origins})

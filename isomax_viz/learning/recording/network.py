"""Recording: a network and its pictures in, samples in numpy out. The only crossing from torch to numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from isomax_viz._common.checks import sealed
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, InDistribution, load_ood
from isomax_viz.learning.backbones import CIFARResNet, SmallCNN
from isomax_viz.learning.fooling_images import is_made_here, make_fooling
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.hardware import choose_device, suitable_layout

__all__ = ["class_means", "folded", "record_capture", "record_ood", "record_samples", "with_distances_to"]

_RESNET, _DENSENET = "torchvision.models.resnet.", "torchvision.models.densenet."
# By name, so that torchvision need not be imported for a network that does not use it: what a module calls one after
# the other, besides the neighbours in a Sequential.
_PAIRS = {
    _RESNET + "ResNet": (("conv1", "bn1"),),
    _RESNET + "BasicBlock": (("conv1", "bn1"), ("conv2", "bn2")),
    _RESNET + "Bottleneck": (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")),
    _DENSENET + "_DenseLayer": (("conv1", "norm2"),),
}
# Modules known to use the results of their parts in no other way. Another module might, even those of a Sequential.
_KNOWN = {
    *_PAIRS,
    *(_DENSENET + name for name in ("DenseNet", "_DenseBlock", "_Transition")),
    *(f"{kind.__module__}.{kind.__qualname__}" for kind in (SmallCNN, CIFARResNet, nn.Sequential)),
}


def folded(backbone: nn.Module) -> nn.Module:
    """Return a network for inference that computes the same with fewer passes over its feature maps.

    Batch normalisation in evaluation mode is one multiplication and one addition per channel, which the convolution
    before it can do with other weights. small_cnn answers 1.14 times as many pictures a second so (two cores); its
    features agree with the original's to the rounding of float32.

    Parameters
    ----------
    backbone : Module
        In evaluation mode. It stays as it is.

    Returns
    -------
    Module
        A copy that shares what was not folded. Where it is not certain that nothing but the normalisation sees what a
        convolution returns (a network of your own, hooks), the network itself.

    Examples
    --------
    >>> import torch
    >>> from isomax_viz.learning.backbones import small_cnn
    >>> network, pictures = small_cnn(1).eval(), torch.rand(2, 1, 8, 8)
    >>> sum(isinstance(module, nn.BatchNorm2d) for module in folded(network).modules())
    0
    >>> torch.allclose(folded(network)(pictures), network(pictures), atol=1e-6)
    True
    """
    modules = list(backbone.modules())
    parents = [module for module in modules if next(module.children(), None) is not None]
    if any(map(_is_changed, modules)) or not _KNOWN.issuperset(map(_kind, parents)):
        return backbone
    shared = {id(tensor): tensor for tensor in chain(backbone.parameters(), backbone.buffers())}
    copy = deepcopy(backbone, shared)
    for module in list(copy.modules()):
        for first, second in _successive(module):
            convolution, normalisation = module.get_submodule(first), module.get_submodule(second)
            setattr(module, first, fuse_conv_bn_eval(convolution, normalisation))
            setattr(module, second, nn.Identity())
    return copy


def _successive(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of convolutions and the batch normalisations that alone see what they return."""
    pairs = pairwise(_names(module)) if type(module) is nn.Sequential else _PAIRS.get(_kind(module), ())
    for first, second in pairs:
        convolution, normalisation = module.get_submodule(first), module.get_submodule(second)
        if type(convolution) is nn.Conv2d and type(normalisation) is nn.BatchNorm2d and _is_fixed(normalisation):
            yield first, second


def _names(sequence: nn.Sequential) -> list[str]:
    # named_children() leaves out what comes for the second time, and would make neighbours of what are none.
    return [name for name, _ in sequence.named_modules(remove_duplicate=False) if name and "." not in name]


def _is_fixed(normalisation: nn.BatchNorm2d) -> bool:
    return normalisation.track_running_stats and normalisation.affine


def _kind(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _is_changed(module: nn.Module) -> bool:
    """Return whether a module learns, is watched by hooks (torch has no public way to ask), or was patched."""
    return module.training or bool(module._forward_hooks or module._forward_pre_hooks) or "forward" in vars(module)


@torch.no_grad()
def record_samples(
    model: nn.Module,
    images: ImageSet,
    data: InDistribution,
    *,
    ood: bool = False,
    device: torch.device | str | None = None,
    batch_size: int | None = None,
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
    batch_size : int, optional
        Pictures per forward pass; by default what suits the device and their size.

    Returns
    -------
    Samples
        Float32, in the order of the pictures; distances only where the head has prototypes. Memory is bounded by the
        arrays themselves and one batch.

    Notes
    -----
    Batch normalisation is computed with the convolution before it (:mod:`isomax_viz.learning.recording.network`), so
    that features agree with those of ``model.backbone(pictures)`` to the rounding of float32, not bit by bit.
    """
    device = choose_device(device)
    layout = suitable_layout(device)
    model.to(device, memory_format=layout).eval()
    batches = Batches(images, mean=data.mean, std=data.std, device=device, layout=layout)
    backbone, head, start = folded(model.backbone), model.head, 0
    arrays: dict[str, np.ndarray] = {}
    for pictures, _ in batches.in_order(batch_size):
        features = backbone(pictures).float()
        logits, class_logits = head.both_logits(features)
        parts = {"features": features, "logits": logits, "predictions": class_logits.argmax(dim=1)}
        if hasattr(head, "distances"):
            parts["distances"] = head.distances(features)
        stop = start + len(pictures)
        for name, part in parts.items():
            values = part.cpu().numpy()
            if name not in arrays:
                arrays[name] = np.empty((len(images), *values.shape[1:]), dtype=values.dtype)
            arrays[name][start:stop] = values
        start = stop
    labels = np.full(len(images), -1) if ood else images.labels
    # Sealed, they are taken as they are: a copy would double the memory.
    return Samples(labels=labels, **{name: sealed(array) for name, array in arrays.items()})


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
    return np.stack([samples.features[member].mean(axis=0, dtype=np.float64) for member in members]).astype(np.float32)


def with_distances_to(means: np.ndarray, samples: Samples) -> Samples:
    """Return the samples with distances from their features to class means, where they have none to prototypes."""
    if samples.distances is not None:
        return samples
    distances = torch.cdist(
        torch.tensor(samples.features), torch.tensor(means), compute_mode="donot_use_mm_for_euclid_dist"
    )
    return replace(samples, distances=sealed(distances.numpy()))


def meaning_of_distances(*, given: bool, prototypes: bool, of: str) -> str:
    """Return what a capture's ``meta`` says about its distances.

    Parameters
    ----------
    given : bool
        Whether the head gave them; if not, those to the class means stand in.
    prototypes : bool
        Whether the head has ``prototypes``.
    of : str
        What the head belongs to, in a word.

    Examples
    --------
    >>> meaning_of_distances(given=True, prototypes=True, of="loss")
    'feature-prototype distances without any learned scale'
    """
    if given:
        known = "feature-prototype distances without any learned scale"
        return known if prototypes else f"distances that this {of} gives (it names no prototypes)"
    reason = "gives no distances to its prototypes" if prototypes else "has no prototypes"
    return f"distances to the class means of the training features (this {of} {reason})"


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
    train, test = (record_samples(model, part, data, device=device) for part in (data.train, data.test))
    prototypes, given = getattr(model.head, "prototypes", None), test.distances is not None
    if given and prototypes is not None:
        points = prototypes.detach().float().cpu().numpy()
    else:
        points = class_means(train)
        train, test = with_distances_to(points, train), with_distances_to(points, test)
    told = {
        "distances": meaning_of_distances(given=given, prototypes=prototypes is not None, of="loss"),
        "classes": list(data.train.class_names),
        "mean": data.mean.tolist(),
        "std": data.std.tolist(),
        "provenance": dict(data.test.provenance),
        "ood": {},
    }
    return Capture(test=test, train=train, meta={**meta, **told}, history=history, prototypes=points)


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
    recorded, told = dict(capture.ood), dict(capture.meta["ood"])
    for item in sets:
        made_here = is_made_here(item, data.name)
        images = make_fooling(data, n=len(data.test)) if made_here else load_ood(item, data)
        samples = record_samples(model, images, data, ood=True, device=device)
        # Where the test pictures have none, there is nothing to compare with (a capture of an earlier version).
        if capture.test.distances is not None:
            samples = with_distances_to(capture.prototypes, samples)
        recorded[images.name] = samples
        original = item if isinstance(item, ImageSet) else images
        told[images.name] = {"fingerprint": original.fingerprint, "provenance": dict(images.provenance)}
    return capture.replace(ood=recorded, meta={**capture.meta, "ood": told})

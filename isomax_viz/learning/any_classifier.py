"""Recording any PyTorch classifier: its last linear layer's input and output become a capture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isomax_viz._common.checks import as_numeric, check_labels, check_matrix, sealed
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, InDistribution, load_ood
from isomax_viz.learning.devices import choose_device
from isomax_viz.learning.feeds import Feed, checked_normalisation
from isomax_viz.learning.losses import HEADS, Head, features_for
from isomax_viz.learning.recording import class_means, meaning_of_distances, with_distances_to
from isomax_viz.learning.surgery import last_linear

__all__ = ["record"]


def record(
    model: nn.Module,
    id_data: Any,
    ood: Mapping[str, Any] | None = None,
    *,
    train: Any = None,
    layer: str | None = None,
    loss: str | None = None,
    normalise: tuple[Any, Any] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> Capture:
    """Record what a classifier of yours says: any network of torchvision, timm or your own that ends in a linear layer.

    Features are what its last linear layer receives, logits what that layer gives; whatever comes behind it, such as a
    softmax, is left aside. The network is run in evaluation mode and without gradients, and is left as it was.

    Parameters
    ----------
    model : Module
        A classifier.
    id_data : InDistribution, ImageSet, (images, labels) or DataLoader
        In-distribution test data. Arrays and batches of a DataLoader must be preprocessed as the network wants them;
        pictures of an ImageSet are scaled to [0, 1] and normalised. Of an InDistribution, the test pictures are taken.
        A DataLoader should not shuffle: captures are compared image by image.
    ood : mapping of str to data, optional
        Out-of-distribution sets by name: as ``id_data``, but labels are ignored and images alone will do. ImageSets are
        brought to the size of ``id_data``, and beside it a name of :data:`isomax_viz.datasets.OOD_SETS` is one too.
    train : data, optional
        Training data, as ``id_data``; by default that of an InDistribution. Without prototypes, distances (and so MDS)
        are those to the class means of the training features, and there are none without training data.
    layer : str, optional
        Name of the layer that gives the logits, where it is not the last linear one.
    loss : str, optional
        Name of the loss, for colours and titles; by default ``"softmax"`` for a linear layer, a head's own otherwise.
    normalise : (mean, std), optional
        One number for each channel, on the scale [0, 1], for pictures of an ImageSet; by default the statistics of the
        training pictures of an InDistribution. ``(0, 1)`` leaves pictures in [0, 1].
    device : str or torch.device, optional
        Where to run; by default where the network is. It is brought back afterwards.
    batch_size : int, optional
        Pictures per forward pass; a DataLoader has its own.

    Returns
    -------
    Capture
        With features, and distances where there is something to measure them from.

    Raises
    ------
    TypeError
        If something is neither a module nor data.
    ValueError
        If no linear layer is found, shapes disagree, a set is empty, there is a single class, labels are missing or out
        of range, or the network gives NaN.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> images = torch.randn(30, 1, 8, 8)
    >>> record(model, (images, torch.arange(30) % 3), {"noise": torch.rand(20, 1, 8, 8)})
    Capture(SoftMax · Sequential: test 30, ood noise 20)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, but is {type(model).__name__}. Pass the network itself.")
    name = last_linear(model, layer)
    head = model.get_submodule(name)
    if isinstance(id_data, InDistribution):
        train = id_data if train is None else train
        normalise = (id_data.mean, id_data.std) if normalise is None else normalise
    test = id_data.test if isinstance(id_data, InDistribution) else id_data
    train = train.train if isinstance(train, InDistribution) else train
    known = {"test": test} | ({"train": train} if train is not None else {})
    others = {key: _pictures(value, like=id_data) for key, value in _checked_ood(ood).items()}
    told = {
        key: {"fingerprint": value.fingerprint, "provenance": dict(value.provenance)}
        for key, value in others.items()
        if isinstance(value, ImageSet)
    }
    how = {"normalise": checked_normalisation(normalise), "batch_size": batch_size}
    with _borrowed(model, device) as reader:
        samples = {key: _samples(model, name, Feed(key, device=reader, **how), value) for key, value in known.items()}
        outside = {
            key: _samples(model, name, Feed(f"ood[{key!r}]", device=reader, is_labelled=False, **how), value)
            for key, value in others.items()
        }
    meta = {
        "loss": loss or _loss_of(head),
        "backbone": type(model).__name__,
        "layer": name,
        "recorded_by": "isomax_viz.record",
        **_told(id_data),
        "ood": told,
    }
    return _capture(samples, outside, head, meta)


def _checked_ood(ood: Any) -> dict[str, Any]:
    if ood is None:
        return {}
    if not isinstance(ood, Mapping):
        raise TypeError(f"ood must map names to data, such as {{'letters': images}}, but is {type(ood).__name__}.")
    for key in ood:
        if not isinstance(key, str) or key in ("", "train", "test"):
            raise ValueError(
                f"An out-of-distribution set is named {key!r}. Its name must be a text, neither empty nor 'train' or "
                "'test', which are in-distribution."
            )
    return dict(ood)


def _pictures(value: Any, *, like: Any) -> Any:
    """Return catalogue names and ImageSets as pictures of the size that the network knows, other data as it is."""
    if isinstance(value, InDistribution):
        value = value.test
    if isinstance(value, (str, ImageSet)):
        if isinstance(like, (InDistribution, ImageSet)):
            return load_ood(value, like)
        if isinstance(value, str):
            raise TypeError(
                f"ood={value!r} needs id_data to be an ImageSet or an InDistribution: only then is it known to what "
                "size and scale pictures are brought. Pass the preprocessed images instead."
            )
    return value


@contextmanager
def _borrowed(model: nn.Module, device: str | torch.device | None) -> Iterator[torch.device]:
    """Put the network in evaluation mode on the device, and bring everything back afterwards."""
    modes = {module: module.training for module in model.modules()}
    parameter = next(iter([*model.parameters(), *model.buffers()]), torch.empty(0))
    home, chosen = parameter.device, parameter.device if device is None else choose_device(device)
    try:
        model.eval()
        if chosen != home:
            model.to(chosen)
        yield chosen
    finally:
        if chosen != home:
            model.to(home)
        for module, mode in modes.items():
            module.training = mode


@torch.no_grad()
def _samples(model: nn.Module, layer: str, feed: Feed, value: Any) -> Samples:
    head, seen = model.get_submodule(layer), []
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    parts: dict[str, list[np.ndarray]] = {}
    labels: list[np.ndarray] = []
    handle = head.register_forward_hook(partial(_keep, seen), with_kwargs=True)
    try:
        for images, targets in feed.batches(value):
            seen.clear()
            try:
                model(images.to(feed.device, dtype))
            except Exception as error:
                error.add_note(f"{type(model).__name__} was given images of {feed.name}, shape {tuple(images.shape)}.")
                raise
            for key, part in _said(head, layer, seen, len(images)).items():
                parts.setdefault(key, []).append(part.float().cpu().numpy())
            if feed.is_labelled:
                labels.append(_targets(feed.name, targets, len(images)))
    finally:
        handle.remove()
    if not parts:
        raise ValueError(f"{feed.name} is empty: it gave no image. Give at least one.")
    arrays = {key: sealed(np.concatenate(values)) for key, values in parts.items()}
    logits = check_matrix(f"The logits of {feed.name}", arrays["logits"])
    if logits.shape[1] < 2:
        raise ValueError(
            f"Layer {layer!r} gives {logits.shape[1]} logit per image; at least 2 are needed, one per class. A binary "
            "classifier with one output z has the logits (0, z): put a layer behind it that gives both."
        )
    if labels:
        known = check_labels(
            f"The labels of {feed.name}", np.concatenate(labels), rows=len(logits), classes=logits.shape[1]
        )
        if known.min() < 0:
            raise ValueError(
                f"The labels of {feed.name} hold {known.min()}; -1 is for out-of-distribution images only."
            )
    else:
        known = np.full(len(logits), -1)
    predictions = arrays.pop("predictions", logits).argmax(axis=1)
    return Samples(labels=known, predictions=predictions, **arrays)


def _keep(
    seen: list[tuple[Tensor, Tensor]], _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Tensor
) -> None:
    """Keep what the layer received and gave, before anybody changes it in place."""
    received = inputs[0] if inputs else next(iter(named.values()))
    seen.append((received.clone(), output.clone()))


def _said(head: nn.Module, layer: str, seen: list[tuple[Tensor, Tensor]], n: int) -> dict[str, Tensor]:
    """Return what one batch gave at the layer."""
    shapes = [(tuple(features.shape), tuple(logits.shape)) for features, logits in seen]
    if len(seen) != 1 or seen[0][0].ndim != 2 or len(seen[0][0]) != n:
        found = "; ".join(f"{before} -> {after}" for before, after in shapes) or "it was not called"
        raise ValueError(
            f"Layer {layer!r} must be called once, with one feature vector for each of {n} images, but: {found}. Name "
            "the layer that gives the logits (layer=...), or pool over places or tokens before it."
        )
    features, logits = seen[0]
    said = {"features": features, "logits": logits}
    if isinstance(head, Head):
        said["predictions"] = head.class_logits(logits, **features_for(head, features))
        if hasattr(head, "distances"):
            said["distances"] = head.distances(features)
    return said


def _targets(name: str, targets: Any, n: int) -> np.ndarray:
    if targets is None:
        raise ValueError(f"{name} has no labels. In-distribution data needs them: pass (images, labels).")
    array = as_numeric(f"The labels of {name}", targets)
    if array.shape != (n,):
        raise ValueError(f"The labels of {name} must be one class number per image, but have shape {array.shape}.")
    return array


def _loss_of(head: nn.Module) -> str:
    names = {kind: key for key, kind in HEADS.items()}
    return names.get(type(head), type(head).__name__) if isinstance(head, Head) else "softmax"


def _told(id_data: Any) -> dict[str, Any]:
    images = id_data.test if isinstance(id_data, InDistribution) else id_data
    if not isinstance(images, ImageSet):
        return {}
    name = id_data.name if isinstance(id_data, InDistribution) else images.name
    return {"data": name, "classes": list(images.class_names), "provenance": dict(images.provenance)}


def _capture(samples: dict[str, Samples], ood: dict[str, Samples], head: nn.Module, meta: dict[str, Any]) -> Capture:
    prototypes, given = getattr(head, "prototypes", None), samples["test"].distances is not None
    points = None if prototypes is None else prototypes.detach().float().cpu()
    if "train" in samples and not (given and prototypes is not None):
        points = class_means(samples["train"])
        samples, ood = (
            {key: with_distances_to(points, value) for key, value in sets.items()} for sets in (samples, ood)
        )
    if given or "train" in samples:
        meta["distances"] = meaning_of_distances(given=given, prototypes=prototypes is not None, of="network")
    return Capture(test=samples["test"], train=samples.get("train"), ood=ood, meta=meta, prototypes=points)

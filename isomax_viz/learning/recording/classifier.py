"""Recording any PyTorch classifier: its last linear layer's input and output become a capture."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import RandomSampler

from isomax_viz._common.checks import as_numeric, check_labels, check_matrix, check_number, sealed
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, InDistribution, load_ood
from isomax_viz.learning.losses import HEADS, Head
from isomax_viz.learning.recording.network import class_means, meaning_of_distances, with_distances_to
from isomax_viz.learning.surgery import last_linear
from isomax_viz.learning.training.batches import inference_batch
from isomax_viz.learning.training.hardware import choose_device

__all__ = ["Feed", "checked_normalisation", "record"]

logger = logging.getLogger(__name__)

Batch = tuple[Tensor, Any]  # pictures as the network wants them, and labels or None
_KINDS = "an ImageSet, (images, labels) as arrays or tensors, or a DataLoader"


def checked_normalisation(normalise: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and standard deviation of channels as arrays of shape (channels,).

    Raises
    ------
    TypeError
        If they are no two numbers or lists of numbers.
    ValueError
        If they are not on the scale [0, 1] of the pictures.

    Examples
    --------
    >>> checked_normalisation((127.5, 127.5))
    Traceback (most recent call last):
        ...
    ValueError: normalise=(mean, std) must be on the scale [0, 1], with mean from 0 to 1 and std above 0, but mean is \
[127.5] and std is [127.5]. Divide what is meant for pictures in [0, 255] by 255.
    """
    if normalise is None:
        return None
    if not isinstance(normalise, Sequence | np.ndarray) or len(normalise) != 2:
        raise TypeError(f"normalise must be (mean, std), each a number or one for each channel, but is {normalise!r}.")
    mean, std = (
        np.atleast_1d(as_numeric(f"The {name} of normalise", part)).astype(float).ravel()
        for name, part in zip(("mean", "std"), normalise, strict=True)
    )
    if not ((mean >= 0) & (mean <= 1)).all() or not ((std > 0) & np.isfinite(std)).all():
        raise ValueError(
            "normalise=(mean, std) must be on the scale [0, 1], with mean from 0 to 1 and std above 0, but mean is "
            f"{mean.tolist()} and std is {std.tolist()}. Divide what is meant for pictures in [0, 255] by 255."
        )
    return mean, std


@dataclass(frozen=True)
class Feed:
    """One set of a reader's data, as a network of theirs wants it.

    Attributes
    ----------
    name : str
        What errors call it.
    normalise : (mean, std) or None
        For pictures of an ImageSet, from :func:`checked_normalisation`.
    batch_size : int, optional
        Images at a time; a DataLoader has its own.
    device : torch.device
        Where the network is.
    is_labelled : bool
        Whether the labels count.
    """

    name: str
    normalise: tuple[np.ndarray, np.ndarray] | None
    batch_size: int | None
    device: torch.device
    is_labelled: bool = True

    def batches(self, value: Any) -> Iterator[Batch]:
        """Yield batches of floats with their labels."""
        if self.batch_size is not None:
            check_number("batch_size", self.batch_size, at_least=1, whole=True)
        if isinstance(value, ImageSet):
            yield from self._of_pictures(value)
        elif isinstance(value, tuple) and len(value) == 2 and _is_array(value[0]):
            yield from self._of_arrays(*value)
        elif _is_array(value):
            yield from self._of_arrays(value, None)
        elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
            yield from self._of_batches(value)
        else:
            raise TypeError(
                f"{self.name} must be {_KINDS}, but is {type(value).__name__}. Wrap a Dataset in a DataLoader."
            )

    def _of_batches(self, batches: Iterable[Any]) -> Iterator[Batch]:
        if self.name != "train" and isinstance(getattr(batches, "sampler", None), RandomSampler):
            logger.warning(
                "%s is shuffled: its images come in another order each time, so captures of it can't be compared image "
                "by image. Use DataLoader(..., shuffle=False).",
                self.name,
            )
        for batch in batches:
            images, labels = _parts(batch)
            if not _is_array(images) or not images.ndim:
                keys = f" with the keys {', '.join(map(repr, images))}" if isinstance(images, Mapping) else ""
                raise TypeError(
                    f"A batch of {self.name} must be images, or (images, labels), as arrays or tensors, but is a "
                    f"{type(images).__name__}{keys}. Give them as such: ((batch[...], batch[...]) for batch in loader)."
                )
            if labels is None and self.is_labelled and isinstance(batches, (list, tuple)) and len(batches) == 2:
                raise ValueError(
                    f"{self.name} is a {type(batches).__name__} of batches without labels. If images and their labels "
                    "are meant, pass both as arrays in a tuple: (images, labels)."
                )
            yield from self._of_arrays(images, labels, len(images))

    def _of_pictures(self, images: ImageSet) -> Iterator[Batch]:
        if self.normalise is None:
            raise ValueError(
                f"{self.name} is an ImageSet, but nothing says how the network wants its pictures. Pass "
                "normalise=(mean, std), one number for each channel on the scale [0, 1]; (0, 1) leaves them in [0, 1]."
            )
        mean, std = (torch.as_tensor(part, dtype=torch.float32).reshape(-1, 1, 1) for part in self.normalise)
        for name, part in (("mean", mean), ("std", std)):
            if len(part) not in (1, images.channels):
                raise ValueError(
                    f"normalise has a {name} of {len(part)} channels, but {self.name} has {images.channels}. Give one "
                    "number for each channel, or one for all."
                )
        size = self._batch_size(images.size)
        for start in range(0, len(images), size):
            part = torch.from_numpy(np.array(images.images[start : start + size])).permute(0, 3, 1, 2)
            yield (part.float() / 255 - mean) / std, images.labels[start : start + size]

    def _of_arrays(self, images: Any, labels: Any, size: int | None = None) -> Iterator[Batch]:
        tensor = images if isinstance(images, Tensor) else torch.from_numpy(as_numeric(self.name, images))
        if not tensor.is_floating_point():
            raise TypeError(
                f"{self.name} must hold preprocessed images as floats, but their dtype is {tensor.dtype}. For pictures "
                "in [0, 255] pass an ImageSet: isomax_viz.datasets.from_arrays(images, labels)."
            )
        if labels is not None and not np.shape(labels):
            raise TypeError(f"The labels of {self.name} must be one class number per image, but are {labels!r:.80}.")
        if labels is not None and len(labels) != len(tensor):
            raise ValueError(
                f"{self.name} has {len(tensor)} images but {len(labels)} labels. Give one label per image."
            )
        if not tensor.isfinite().all():
            raise ValueError(
                f"{self.name} holds images with NaN or infinite numbers. Mend the preprocessing, or drop them."
            )
        size = size or self._batch_size(tensor.shape[2:])
        for start in range(0, len(tensor), size):
            yield tensor[start : start + size], None if labels is None else labels[start : start + size]

    def _batch_size(self, places: Sequence[int]) -> int:
        # What is no picture (vectors, sound) counts its places, all in one row.
        return self.batch_size or inference_batch(1, math.prod(places), self.device)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _parts(batch: Any) -> tuple[Any, Any]:
    """Return images and labels of a DataLoader's batch; what else it holds is left aside."""
    if isinstance(batch, (tuple, list)) and batch:
        return batch[0], batch[1] if len(batch) > 1 else None
    return batch, None


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
        _, said["predictions"] = head.both_logits(features)
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

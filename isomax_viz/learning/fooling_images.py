"""Fooling images made offline: noise that a separately trained SoftMax network takes for a class it knows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from isomax_viz._common.checks import check_number
from isomax_viz.datasets import ID_SETS, ImageSet, InDistribution, load_id, load_ood
from isomax_viz.datasets.cache import cache_path, through_cache
from isomax_viz.datasets.fetch import data_folder
from isomax_viz.learning.build import assemble
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.protocols import Protocol

__all__ = ["FoolingError", "load_unknown", "make_fooling"]

CONFIDENCE = 0.99
_SEED = 4711  # no experiment needs this seed: the fooled network is none of those that are evaluated
_PROTOCOL = Protocol(epochs=6, milestones=(4, 5))
# Grey values by which every pixel moves, and how often; what is then not sure starts again from other noise.
_STEPS = ((4, 40), (2, 40), (1, 40))
_STARTS = 10
_AT_ONCE = 1_000  # pictures, for their gradients' sake: 10,000 of 32x32 pixels would take many GB


class FoolingError(RuntimeError):
    """Some noise images could not be driven to certainty."""


def load_unknown(item: str | ImageSet, data: InDistribution) -> ImageSet:
    """Return an out-of-distribution set as ``load_ood`` does; fooling images for an embedded set are made.

    Examples
    --------
    >>> load_unknown("uniform", load_id("digits")).size
    (8, 8)
    """
    if item == "fooling" and data.name in ID_SETS and ID_SETS[data.name].kind == "bundled":
        return make_fooling(data, n=len(data.test))
    return load_ood(item, data)


def make_fooling(data: str | InDistribution = "digits", *, n: int | None = None) -> ImageSet:
    """Return noise images that a SoftMax network, trained for this only, is more than 99 % sure of.

    Parameters
    ----------
    data : str or InDistribution
        An in-distribution set, or its name. Held-out classes and reduced training sets make no difference: the images
        are the same for all networks of a set. Embedded sets take seconds, photographs much longer.
    n : int, optional
        Number of images; by default as many as there are test images.

    Returns
    -------
    ImageSet
        Each image is labelled with the class that the fooled network sees in it.

    Raises
    ------
    ValueError
        If the name is unknown, or more images are asked for than there are test images.
    FoolingError
        If gradient ascent fails for an image.

    Notes
    -----
    Even noise; each step moves every pixel by a few grey values in the direction that raises the log-probability of the
    target class (the sign of the gradient), until the network is over 99 % sure. The images are made once, on the CPU,
    with fixed seeds, and kept in the data folder. The papers take those of Nguyen, Yosinski and Clune (2015), "Deep
    Neural Networks Are Easily Fooled", which fool networks for photographs.

    Examples
    --------
    >>> make_fooling("digits", n=600)
    Traceback (most recent call last):
        ...
    ValueError: n must be a whole number of at least 1 and of at most 599, but is 600.
    """
    whole = load_id(data if isinstance(data, str) else data.name)
    if n is not None:
        check_number("n", n, at_least=1, at_most=len(whole.test), whole=True)
    # All that decides about the pictures: a changed recipe must not find the pictures of the former one.
    recipe = {"train": whole.train.fingerprint, "confidence": CONFIDENCE, "seed": _SEED, "steps": _STEPS}
    recipe |= {"starts": _STARTS, "protocol": _PROTOCOL.described()}
    images = through_cache(cache_path(data_folder(), "fooling", whole.name, recipe), lambda: _made(whole))
    return images if n in (None, len(images)) else images.subset(np.arange(n))


def _made(data: InDistribution) -> ImageSet:
    network = _fooled_network(data)
    classes, (height, width) = len(data.class_names), data.train.size
    # Classes take turns, so that any first part holds them evenly.
    targets = np.arange(len(data.test)) % classes
    shape = (len(targets), data.train.channels, height, width)
    grey = _driven(network, shape, torch.from_numpy(targets), data)
    provenance = {
        "source": "made here",
        "made": f"uniform noise, gradient ascent until a SoftMax network is over {CONFIDENCE:.0%} sure",
        "network": f"small_cnn, SoftMax, {data.name}, {_PROTOCOL.epochs} epochs, seed {_SEED}; used for nothing else",
        "citation": "after Nguyen, Yosinski & Clune 2015, Deep Neural Networks Are Easily Fooled",
        "conversions": [],
    }
    images = grey.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return ImageSet("fooling", images, targets, data.class_names, provenance)


def _fooled_network(data: InDistribution) -> nn.Module:
    size = {"channels": data.train.channels, "classes": len(data.class_names)}
    model = assemble("small_cnn", "softmax", {}, **size, seed=_SEED)
    train(model, data, _PROTOCOL, seed=_SEED, device="cpu", precision="float32", compile=False, progress=False)
    return model.eval().requires_grad_(False)


def certainty(network: nn.Module, grey: Tensor, targets: Tensor, data: InDistribution) -> Tensor:
    """Return the log-probability of the target classes, shape (n,).

    Parameters
    ----------
    network : Module
        Gives the logits of normalised images.
    grey : Tensor, shape (n, channels, height, width)
        Grey values from 0 to 255, as float32.
    targets : Tensor of int64, shape (n,)
        Class wanted of each image.
    data : InDistribution
        Gives the statistics of normalisation.
    """
    mean, std = (torch.tensor(255 * value, dtype=torch.float32)[:, None, None] for value in (data.mean, data.std))
    logits = network((grey - mean) / std)
    return torch.log_softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]


def _driven(network: nn.Module, shape: tuple[int, ...], targets: Tensor, data: InDistribution) -> Tensor:
    """Return noise driven to certainty, in whole grey values."""
    rng = np.random.Generator(np.random.PCG64(_SEED))
    grey, unsure = torch.empty(shape), torch.arange(len(targets))
    for _ in range(_STARTS):
        noise = torch.from_numpy(rng.random((len(unsure), *shape[1:]), dtype=np.float32)).mul(255).round()
        batches = zip(noise.split(_AT_ONCE), targets[unsure].split(_AT_ONCE), strict=True)
        parts = [_ascend(network, *batch, data) for batch in batches]
        grey[unsure], is_sure = (torch.cat(part) for part in zip(*parts, strict=True))
        unsure = unsure[~is_sure]
        if not len(unsure):
            return grey
    raise FoolingError(
        f"{len(unsure)} of {len(targets)} noise images are not over {CONFIDENCE:.0%} sure after {_STARTS} starts. "
        "Use another out-of-distribution set, or report this with the name of the data set."
    )


def _ascend(network: nn.Module, grey: Tensor, targets: Tensor, data: InDistribution) -> tuple[Tensor, Tensor]:
    """Return the images and which are certain enough; those that are stay as they are."""
    sure = torch.zeros(len(grey), dtype=torch.bool)
    for step in (step for step, times in _STEPS for _ in range(times)):
        unsure = (~sure).nonzero()[:, 0]
        moving = grey[unsure].requires_grad_(True)
        level = certainty(network, moving, targets[unsure], data)
        (slope,) = torch.autograd.grad(level.sum(), moving)
        sure[unsure] = level.detach().exp() > CONFIDENCE
        still = ~sure[unsure]
        grey[unsure[still]] = (moving.detach() + step * slope.sign()).clamp(0, 255)[still]
        if sure.all():
            break
    return grey, sure

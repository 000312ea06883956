"""What a training starts from: pictures to learn and pictures to watch, and the weights that its protocol asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from isomax_viz._common.checks import check_choice
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.losses import parameter_groups
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.protocols import SELECTIONS, Protocol

__all__ = ["held_out_split", "optimizer_for", "prepare", "splits"]


def held_out_split(images: ImageSet, share: float, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return the pictures without, and with only, a share of every class.

    Parameters
    ----------
    images : ImageSet
        To divide.
    share : float
        Of each class, in (0, 1); at least one picture of each goes to either side.
    seed : int
        Which ones.

    Raises
    ------
    ValueError
        If a class has fewer than two pictures.
    """
    counts = np.bincount(images.labels, minlength=len(images.class_names))
    if counts.min() < 2:
        rarest = images.class_names[int(counts.argmin())]
        raise ValueError(
            f"validation={share} needs at least 2 training pictures of each class, but {rarest!r} has {counts.min()}. "
            "Set validation=0, or take more examples_per_class."
        )
    rng = np.random.default_rng(seed)
    held = np.zeros(len(images), dtype=bool)
    for label in range(len(images.class_names)):
        members = np.flatnonzero(images.labels == label)
        held[rng.permutation(members)[: min(max(1, round(share * len(members))), len(members) - 1)]] = True
    return images.subset(~held), images.subset(held)


def splits(data: InDistribution, protocol: Protocol, *, seed: int) -> dict[str, ImageSet]:
    """Return the pictures by the history's names: "train", "test" and, if the protocol holds some out, "validation".

    Raises
    ------
    ValueError
        If the epoch can't be chosen as the protocol asks.
    """
    check_choice("select", protocol.select, SELECTIONS)
    if protocol.select == "best_validation" and not protocol.validation:
        raise ValueError("select='best_validation' needs pictures held out for it: set validation=0.1 or the like.")
    if not protocol.validation:
        return {"train": data.train, "test": data.test}
    learned, held = held_out_split(data.train, protocol.validation, seed=seed)
    return {"train": learned, "validation": held, "test": data.test}


@torch.no_grad()
def prepare(backbone: nn.Module, protocol: Protocol, learned: Batches) -> None:
    """Give a backbone the first filters and the start that the protocol asks for.

    Parameters
    ----------
    backbone : Module
        Changed in place, where it lies.
    protocol : Protocol
        Its ``whitening`` and ``identity_start``.
    learned : Batches
        The pictures that will be learned; no others decide about the filters.

    Raises
    ------
    ValueError
        If the backbone has no first layer that can be whitened.
    """
    if protocol.identity_start:
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                nn.init.dirac_(module.weight[: module.in_channels])
    if protocol.whitening:
        if not hasattr(backbone, "whiten"):
            raise ValueError(
                f"whitening={protocol.whitening} needs a backbone with a method whiten(pictures), such as fast_cnn; "
                f"{type(backbone).__name__} has none. Set whitening=0."
            )
        backbone.whiten(learned.sample(protocol.whitening))


def optimizer_for(model: nn.Module, protocol: Protocol) -> torch.optim.SGD:
    """Return the optimiser of a network's parameters, each group with its ``initial_lr``.

    Parameters
    ----------
    model : Module
        Has ``backbone`` and ``head``; the scales that the protocol fixes stop to learn.
    protocol : Protocol
        Rates and decays.
    """
    slow: dict[str, Any] = {"slow_factor": protocol.scales_learning_rate, "slow_decay": protocol.scales_weight_decay}
    rate, decay, factor = protocol.learning_rate, protocol.weight_decay, protocol.biases_learning_rate
    groups = parameter_groups(model, lr=rate, weight_decay=decay, **slow)
    norms = [part for part in model.backbone.modules() if isinstance(part, nn.BatchNorm2d) and part.affine]
    for norm in norms if protocol.fixed_scales else ():
        norm.weight.requires_grad_(False)
    if factor != 1:
        biases = {norm.bias: None for norm in norms}
        groups[0]["params"] = [parameter for parameter in groups[0]["params"] if parameter not in biases]
        groups.append({"params": list(biases), "lr": rate * factor, "weight_decay": decay / factor})
    for group in groups:
        group["initial_lr"] = group["lr"]
    return torch.optim.SGD(groups, lr=rate, momentum=protocol.momentum, nesterov=True)

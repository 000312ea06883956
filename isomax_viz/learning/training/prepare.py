"""The weights that a training starts from, where its protocol says more about them than the network itself."""

from __future__ import annotations

import torch
from torch import nn

from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.protocols import Protocol

__all__ = ["prepare"]


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

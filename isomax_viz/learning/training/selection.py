"""Selection: which pictures are learned from, which are only watched, and which epoch's network is kept."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from isomax_viz._common.checks import check_choice
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.training.protocols import SELECTIONS, Protocol

__all__ = ["BestEpoch", "check_selection", "held_out_split", "splits"]


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
    """Return the pictures by the history's names: "train", "test" and, if the protocol holds some out, "validation"."""
    if not protocol.validation:
        return {"train": data.train, "test": data.test}
    learned, held = held_out_split(data.train, protocol.validation, seed=seed)
    return {"train": learned, "validation": held, "test": data.test}


def check_selection(protocol: Protocol) -> None:
    """Raise ValueError if the epoch can't be chosen as the protocol asks."""
    check_choice("select", protocol.select, SELECTIONS)
    if protocol.select == "best_validation" and not protocol.validation:
        raise ValueError("select='best_validation' needs pictures held out for it: set validation=0.1 or the like.")


class BestEpoch:
    """The weights of the best epoch so far, where another than the last is to be kept.

    Parameters
    ----------
    select : {"last", "best_validation", "best_test"}
        See :class:`~isomax_viz.learning.training.protocols.Protocol`.
    """

    def __init__(self, select: str) -> None:
        self.split = {"last": None, "best_validation": "validation", "best_test": "test"}[select]
        self.accuracy = -1.0
        self._state: dict[str, Tensor] = {}

    def update(self, model: nn.Module, summaries: dict[str, dict[str, float]]) -> None:
        """Keep the weights if this epoch is better than those before."""
        if self.split is not None and summaries[self.split]["accuracy"] > self.accuracy:
            self.accuracy = summaries[self.split]["accuracy"]
            self._state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint needs beside ``accuracy``."""
        return {f"kept/{name}": value for name, value in self._state.items()}

    def resume(self, accuracy: float, tensors: dict[str, Tensor]) -> None:
        """Take up what a checkpoint holds."""
        self.accuracy = accuracy
        self._state = {name.removeprefix("kept/"): value for name, value in tensors.items() if name.startswith("kept/")}

    def restore(self, model: nn.Module) -> None:
        """Give the model the weights of the best epoch, if there are any."""
        if self._state:
            model.load_state_dict(self._state)

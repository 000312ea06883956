"""Gram matrices of the feature maps, by pytorch-ood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isomax_viz.learning.detectors.base import Detector, Known, numbers, option, pytorch_ood
from isomax_viz.learning.detectors.layers import Layers

__all__ = ["Gram"]


class _Loader:
    """Training pictures with labels on the CPU, as pytorch-ood goes through them."""

    def __init__(self, known: Known) -> None:
        self._batches, self._size = known.batches(known.data.train), 100

    def __len__(self) -> int:
        return -(-len(self._batches) // self._size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return ((pictures, labels.cpu()) for pictures, labels in self._batches.in_order(self._size))


@dataclass(kw_only=True, repr=False, eq=False)
class Gram(Detector):
    """Minus how far correlations between channels leave the range of the training pictures of the predicted class.

    Parameters
    ----------
    orders : int
        Powers 1 to this of the feature maps; the paper takes 10.
    seed : int
        Which tenth of the training pictures is held out to learn each layer's usual deviation.

    Notes
    -----
    Source: Sastry and Oore (2020), "Detecting Out-of-Distribution Examples with Gram Matrices". Layers are the last
    feature map of each size, where the paper takes many more; deviations are measured on training pictures held out,
    where the paper takes a tenth of the test pictures.
    """

    key = "gram"
    orders: int = option(10, at_least=1, whole=True)
    seed: int = option(0, at_least=0, whole=True)

    def learn(self, known: Known) -> dict[str, Any]:
        """Fit the ranges of the training pictures: bounds of each class, layer and order."""
        head, backbone = known.network.head, known.network.backbone
        example, _ = known.some_training_pictures(1)
        self._layers = Layers(backbone, example)
        kept: dict[str, Any] = {}

        # pytorch-ood runs a chain of layers. Here the first link runs the network, the others hand out what it kept.
        def first(pictures: Tensor) -> Tensor:
            kept["maps"], features = self._layers.maps(pictures)
            _, kept["logits"] = head.both_logits(features)
            return kept["maps"][0]

        later = [lambda _, number=number: kept["maps"][number] for number in range(1, len(self._layers))]
        self._detector = pytorch_ood().Gram(
            lambda _: kept["logits"], [first, *later], num_classes=head.num_classes,
            num_poles_list=list(range(1, self.orders + 1)),
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._detector.to(known.device).fit(_Loader(known))
        bounds = (self._detector.feature_min, self._detector.feature_max)
        kept_numbers = numbers(*(item for bound in bounds for layer in bound for item in layer))
        self.extra_parameters = kept_numbers + len(self._layers)
        return {"orders": self.orders, "seed": self.seed, "layers": self._layers.names}

    def score(self, pictures: Tensor) -> Tensor:
        """Return minus the total deviation."""
        self.fitted()
        return -self._detector.predict(pictures)

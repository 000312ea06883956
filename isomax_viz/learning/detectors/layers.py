"""Feature maps of several layers of any convolutional network, found by their sizes."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor, nn

from isomax_viz.learning.output_layer import hooked

__all__ = ["Layers"]


class _Reached(Exception):
    """The last layer that is asked for has answered: the rest of the network need not run."""


class Layers:
    """The last feature map of each size on the way through a backbone, and the features that it ends with.

    These are the outputs of the stages between which a network makes its feature maps smaller: the layers that Lee et
    al. (2018) take besides the first convolution. Sastry and Oore (2020) take those within the stages instead.

    Parameters
    ----------
    backbone : Module
        Pictures in, feature vectors out.
    example : Tensor, shape (n, channels, height, width)
        Pictures of the usual size.

    Attributes
    ----------
    names : list of str
        Modules whose outputs are taken, in order.

    Examples
    --------
    >>> from isomax_viz.learning.backbones import small_cnn
    >>> layers = Layers(small_cnn(1), torch.zeros(1, 1, 8, 8))
    >>> layers.names, [tuple(item.shape) for item in layers.pooled(torch.zeros(2, 1, 8, 8))]
    (['layers.5', 'layers.12', 'layers.19'], [(2, 32), (2, 64), (2, 128)])
    """

    def __init__(self, backbone: nn.Module, example: Tensor) -> None:
        self.backbone = backbone
        seen: list[tuple[str, tuple[int, ...]]] = []
        inside = {name: module for name, module in backbone.named_modules() if name}
        with torch.no_grad(), hooked(inside, lambda name, _, output: seen.append((name, _size(output)))):
            backbone(example[:1])
        calls = [name for name, _ in seen]
        # A module that answers more than once (a shared ReLU) is no place; a map of one pixel is no map.
        places = [(name, size) for name, size in seen if calls.count(name) == 1 and size and max(size) > 1]
        self.names = list({size: name for name, size in places}.values())
        if not self.names:
            raise ValueError(
                f"{type(backbone).__name__} has no feature maps of shape (n, channels, height, width), which this "
                "score compares. Use a convolutional network."
            )

    def __len__(self) -> int:
        return len(self.names)

    def maps(self, pictures: Tensor, *, last: int | None = None) -> tuple[list[Tensor], Tensor]:
        """Return the feature maps up to the layer number ``last`` (default all) and, if all, the features, else None.

        Parameters
        ----------
        pictures : Tensor
            Normalised.
        last : int, optional
            Number of the last layer; the network runs no further than that.
        """
        wanted = self.names if last is None else self.names[: last + 1]
        found: dict[str, Tensor] = {}

        def keep(name: str, _: Tensor, output: Tensor) -> None:
            found[name] = output
            if last is not None and name == wanted[-1]:
                raise _Reached

        features: Tensor = None  # where no later layer is needed
        with hooked({name: self.backbone.get_submodule(name) for name in wanted}, keep), suppress(_Reached):
            features = self.backbone(pictures)
        return [found[name] for name in wanted], features

    def pooled(self, pictures: Tensor) -> list[Tensor]:
        """Return one vector per picture and layer: means over places, and for the last layer the features."""
        maps, features = self.maps(pictures)
        return [item.mean(dim=(2, 3)).float() for item in maps[:-1]] + [features.float()]

    def pooled_one(self, pictures: Tensor, number: int) -> Tensor:
        """Return the vectors of one layer, running the network no further than needed."""
        if number == len(self) - 1:
            return self.backbone(pictures).float()
        maps, _ = self.maps(pictures, last=number)
        return maps[number].mean(dim=(2, 3)).float()


def _size(output: object) -> tuple[int, ...]:
    """Return height and width of a feature map, nothing for anything else."""
    return tuple(output.shape[2:]) if isinstance(output, Tensor) and output.ndim == 4 else ()

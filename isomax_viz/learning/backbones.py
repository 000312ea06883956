"""Backbones: images in, feature vectors out; each tells its length as ``num_features``."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["BACKBONES", "Classifier", "SmallCNN", "small_cnn"]


class SmallCNN(nn.Module):
    """Six 3x3 convolutions (32, 32, 64, 64, 128, 128 channels) and a global average; any image of at least 4x4 pixels.

    Parameters
    ----------
    in_channels : int
        1 for grey images, 3 for colour.

    Examples
    --------
    >>> import torch
    >>> SmallCNN(in_channels=1)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 128])
    """

    num_features = 128

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, width in enumerate((32, 32, 64, 64, 128, 128)):
            if i in (2, 4):
                layers.append(nn.MaxPool2d(2))
            layers += [nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            in_channels = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        """Return features of shape (n, 128)."""
        return self.layers(images)


def small_cnn(in_channels: int = 3) -> SmallCNN:
    """Return a :class:`SmallCNN`, which trains on the embedded digits in seconds on a CPU."""
    return SmallCNN(in_channels)


class Classifier(nn.Module):
    """A backbone and a head: images in, logits for detection out.

    Examples
    --------
    >>> import torch
    >>> from isomax_viz.learning.losses import IsoMaxHead
    >>> model = Classifier(small_cnn(1), IsoMaxHead(128, 10))
    >>> model(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits for detection, shape (n, classes)."""
        return self.head(self.backbone(images))


BACKBONES = {
    "small_cnn": small_cnn,
}

"""Backbones: images in, feature vectors out; each tells its length as ``num_features``.

The three networks of the papers keep the full resolution of small pictures in their first layer (3x3 convolution, no
pooling). They are built from torchvision's blocks, accept any size from 8x8 pixels, and start from the weights that the
papers' code starts from: He's normal distribution over the fan-out for convolutions, 1 and 0 for batch normalisation.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from isomax_viz._common.checks import check_number

__all__ = [
    "BACKBONES", "CIFARResNet", "Classifier", "FastCNN", "SmallCNN", "densenet_bc100", "fast_cnn", "fast_cnn_small",
    "resnet34", "resnet110", "small_cnn",
]  # fmt: skip


def _convolution(in_channels: int, width: int) -> nn.Conv2d:
    check_number("in_channels", in_channels, at_least=1, whole=True)
    return nn.Conv2d(in_channels, width, 3, padding=1, bias=False)


class _Chain(nn.Module):
    """Layers one after the other, and a global average."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        """Return features, shape (n, num_features)."""
        return self.layers(images)


class SmallCNN(_Chain):
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
        layers: list[nn.Module] = []
        for i, width in enumerate((32, 32, 64, 64, 128, 128)):
            layers += [nn.MaxPool2d(2)] if i in (2, 4) else []
            layers += [_convolution(in_channels, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            in_channels = width
        super().__init__(*layers)


def small_cnn(in_channels: int = 3) -> SmallCNN:
    """Return a :class:`SmallCNN`, which trains on the embedded digits in seconds on a CPU."""
    return SmallCNN(in_channels)


class _Group(nn.Module):
    """Two convolutions, with a halving of the picture behind the first of them."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, width)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = _convolution(width, width)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.conv1(maps)
        if min(maps.shape[-2:]) > 1:
            maps = functional.max_pool2d(maps, 2)
        return functional.relu(self.norm2(self.conv2(functional.relu(self.norm1(maps)))))


class FastCNN(nn.Module):
    """A 2x2 convolution with fixed filters, three groups of two 3x3 convolutions, and a global average.

    It is made for preset "fast": most of what sixteen epochs can learn of CIFAR10, in minutes on two cores.

    Parameters
    ----------
    in_channels : int
        1 for grey images, 3 for colour.
    widths : (int, int, int)
        Channels of the groups.

    Attributes
    ----------
    wide : bool
        True: the convolutions gain from bfloat16 on a processor with vector instructions for it (measured with the
        widths of :func:`fast_cnn` and :func:`fast_cnn_small`).

    Notes
    -----
    Source: after Jordan (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single GPU"; ReLU in place of GELU, batch
    normalisation as usual, a global average in place of the last max-pooling, any head in place of the scaled linear
    layer. The fixed filters are weights like others and travel with a checkpoint; until :meth:`whiten` is called they
    are random.

    Examples
    --------
    >>> import torch
    >>> FastCNN(widths=(8, 16, 16))(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 16])
    """

    wide = True

    def __init__(self, in_channels: int = 3, *, widths: tuple[int, int, int] = (64, 256, 256)) -> None:
        super().__init__()
        check_number("in_channels", in_channels, at_least=1, whole=True)
        self.whitening = nn.Conv2d(in_channels, 8 * in_channels, 2, bias=False).requires_grad_(False)
        steps = pairwise((8 * in_channels, *widths))
        self.groups = nn.Sequential(*(_Group(before, width) for before, width in steps))
        self.num_features = widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Return features, shape (n, last of the widths)."""
        return self.groups(functional.relu(self.whitening(images))).mean(dim=(2, 3))

    @torch.no_grad()
    def whiten(self, pictures: Tensor) -> None:
        """Set the fixed filters: the principal axes of 2x2 patches at variance 1, and their negatives.

        Parameters
        ----------
        pictures : Tensor, shape (n, channels, height, width)
            Training pictures, normalised.

        Notes
        -----
        Source: Page (2018), "How to Train Your ResNet"; Jordan (2024), whose code adds 5e-4 to the
        variances and does not centre the patches either.
        """
        weight = self.whitening.weight
        size = weight[0].numel()
        products, n = torch.zeros(size, size, dtype=torch.float64), 0
        for part in pictures.split(500):
            patches = functional.unfold(part, 2).transpose(1, 2).reshape(-1, size)
            products += (patches.T @ patches).cpu().double()
            n += len(patches)
        variances, axes = torch.linalg.eigh(products / n)
        filters = (axes / (variances + 5e-4).sqrt()).T.flip(0).reshape(-1, *weight.shape[1:])
        weight.copy_(torch.cat([filters, -filters]))


def fast_cnn(in_channels: int = 3) -> FastCNN:
    """Return a :class:`FastCNN` of widths 64, 256, 256: 256 features, 2.0 million parameters (colour images)."""
    return FastCNN(in_channels)


def fast_cnn_small(in_channels: int = 3) -> FastCNN:
    """Return a :class:`FastCNN` of widths 32, 128, 128: 128 features, 0.5 million parameters (colour images)."""
    return FastCNN(in_channels, widths=(32, 128, 128))


def _initialise(model: nn.Module) -> None:
    """Draw the convolutions as He et al. do, with the variance 2 / fan-out; batch normalisation starts at 1 and 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet34(in_channels: int = 3) -> nn.Module:
    """Return torchvision's ResNet34 with a 3x3 first convolution, without the max-pooling and the last layer.

    Parameters
    ----------
    in_channels : int
        1 for grey images, 3 for colour.

    Returns
    -------
    torchvision.models.ResNet
        512 features. With a linear head for 10 classes it has 21,282,122 parameters (colour images).

    Notes
    -----
    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), Table 1, with the first layer that is
    usual for 32x32 images and that the papers on IsoMax use.

    Examples
    --------
    >>> import torch
    >>> backbone = resnet34()
    >>> backbone(torch.zeros(2, 3, 32, 32)).shape, backbone.num_features
    (torch.Size([2, 512]), 512)
    """
    from torchvision.models import ResNet
    from torchvision.models.resnet import BasicBlock

    model = ResNet(BasicBlock, [3, 4, 6, 3])
    model.num_features = model.fc.in_features
    model.conv1 = _convolution(in_channels, model.conv1.out_channels)
    model.maxpool = nn.Identity()
    model.fc = nn.Identity()
    _initialise(model)
    return model


class _PaddedShortcut(nn.Module):
    """Every other pixel, with as many channels of zeros as the block adds: a shortcut without parameters."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, images: Tensor) -> Tensor:
        before = self.added // 2
        return functional.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, before, self.added - before))


class CIFARResNet(_Chain):
    """The residual network for 32x32 images: three stages of 16, 32 and 64 channels, of torchvision's basic blocks.

    Where the channels double, the shortcut takes every other pixel and pads with zeros (option A of the paper, which it
    uses for all its CIFAR networks); torchvision's own networks have a 1x1 convolution there (option B).

    Parameters
    ----------
    depth : int
        6 n + 2 layers for n blocks per stage: 20, 32, 44, 56, 110, ...
    in_channels : int
        1 for grey images, 3 for colour.

    Notes
    -----
    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), section 4.2.

    Examples
    --------
    >>> import torch
    >>> CIFARResNet(20)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 64])
    """

    num_features = 64

    def __init__(self, depth: int, in_channels: int = 3) -> None:
        from torchvision.models.resnet import BasicBlock

        blocks, remainder = divmod(check_number("depth", depth, at_least=8, whole=True) - 2, 6)
        if remainder:
            raise ValueError(f"depth must be 6 n + 2 for n blocks per stage, but is {depth}. Take {6 * blocks + 2}.")
        layers = [_convolution(in_channels, 16), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
        width = 16
        for stage_width in (16, 32, 64):
            for _ in range(blocks):
                stride, shortcut = (1, None) if stage_width == width else (2, _PaddedShortcut(stage_width - width))
                layers.append(BasicBlock(width, stage_width, stride, shortcut))
                width = stage_width
        super().__init__(*layers)
        _initialise(self)


def resnet110(in_channels: int = 3) -> CIFARResNet:
    """Return a :class:`CIFARResNet` of 110 layers.

    Parameters
    ----------
    in_channels : int
        1 for grey images, 3 for colour.

    Returns
    -------
    CIFARResNet
        64 features. With a linear head for 10 classes it has 1,727,962 parameters (colour images), the paper's 1.7 M.
    """
    return CIFARResNet(110, in_channels)


def densenet_bc100(in_channels: int = 3) -> nn.Module:
    """Return torchvision's DenseNet as DenseNet-BC with 100 layers, growth rate 12, compression 0.5, for small images.

    The first layer is a 3x3 convolution of 24 channels with nothing behind it, as in the paper's CIFAR networks;
    torchvision's has batch normalisation, ReLU and max-pooling there.

    Parameters
    ----------
    in_channels : int
        1 for grey images, 3 for colour.

    Returns
    -------
    torchvision.models.DenseNet
        342 features. With a linear head for 10 classes it has 769,162 parameters (colour images), the paper's 0.8 M.

    Notes
    -----
    Source: Huang et al., "Densely Connected Convolutional Networks" (2017), sections 3 and 4, Table 2; no dropout, as
    in the papers on IsoMax. torchvision draws the convolutions over the fan-in, the authors' code over the fan-out.

    Examples
    --------
    >>> import torch
    >>> backbone = densenet_bc100()
    >>> backbone(torch.zeros(2, 3, 32, 32)).shape, backbone.num_features
    (torch.Size([2, 342]), 342)
    """
    from torchvision.models import DenseNet

    model = DenseNet(growth_rate=12, block_config=(16, 16, 16), num_init_features=24)
    model.num_features = model.classifier.in_features
    model.features.conv0 = _convolution(in_channels, 24)
    for name in ("norm0", "relu0", "pool0"):
        delattr(model.features, name)
    model.classifier = nn.Identity()
    _initialise(model)
    return model


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


_NAMED: tuple[Callable[..., nn.Module], ...] = (
    small_cnn, fast_cnn, fast_cnn_small, resnet34, resnet110, densenet_bc100,
)  # fmt: skip
BACKBONES = {factory.__name__: factory for factory in _NAMED}

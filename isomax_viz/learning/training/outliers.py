"""Training with extra data: Outlier Exposure, ACET and energy-bounded fine-tuning.

Besides the pictures to be learned, every batch holds as many outliers; a term of the loss lowers the network's
certainty about them. The outliers must be none of the sets that detection is measured on: a run refuses a set in both
places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from isomax_viz._common.checks import check_choice
from isomax_viz.datasets import ID_SETS, OOD_SETS, ImageSet, InDistribution, load_ood
from isomax_viz.learning.training.protocols import MADE, OUTLIER_DATA, Recipe

__all__ = [
    "Outliers", "adversarial_noise", "energy_hinges", "load_outliers", "max_log_confidence", "uniform_cross_entropy",
    "uphill",
]  # fmt: skip

_NOISE_SEED, _PERMUTED_SEED = 21, 22
_BLURS = (1.0, 1.5, 2.0, 2.5)


def uniform_cross_entropy(class_logits: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats, from the uniform distribution to softmax of the class logits.

    Notes
    -----
    Source: Hendrycks, Mazeika & Dietterich (2019), "Deep Anomaly Detection with Outlier Exposure", section 3, for
    classifiers. Least, log(classes), where all class logits are alike; for IsoMax, at equal distances.

    Examples
    --------
    >>> round(uniform_cross_entropy(torch.zeros(2, 10)).item(), 4)
    2.3026
    """
    return -functional.log_softmax(class_logits, dim=1).mean()


def max_log_confidence(class_logits: Tensor) -> Tensor:
    """Return the mean logarithm of the largest probability: 0 where the network is sure of every outlier.

    Notes
    -----
    Source: Hein, Andriushchenko & Bitterwolf (2019), "Why ReLU Networks Yield High-Confidence Predictions Far Away From
    the Training Data", section 4.

    Examples
    --------
    >>> round(max_log_confidence(torch.zeros(2, 10)).item(), 4)
    -2.3026
    """
    return functional.log_softmax(class_logits, dim=1).amax(dim=1).mean()


def energy_hinges(known: Tensor, unknown: Tensor, margins: tuple[float, float]) -> Tensor:
    """Return by how much energies are on the wrong side of their margins: the sum of two means of squares.

    Parameters
    ----------
    known, unknown : Tensor, shape (n, classes)
        Class logits; the energy is minus their logsumexp.
    margins : (float, float)
        What known energies shall be below, and unknown ones above.

    Notes
    -----
    Source: Liu, Wang, Owens & Li (2020), "Energy-based Out-of-distribution Detection", section 3.3.

    Examples
    --------
    >>> known, unknown = torch.tensor([[30.0, 0.0]]), torch.tensor([[9.0, -50.0]])
    >>> energy_hinges(known, unknown, (-25.0, -7.0)).item()
    4.0
    """
    inside, outside = margins
    energies = -torch.logsumexp(known, dim=1), -torch.logsumexp(unknown, dim=1)
    return (energies[0] - inside).relu().square().mean() + (outside - energies[1]).relu().square().mean()


def adversarial_noise(
    model: nn.Module, pictures: Tensor, *, radius: Tensor, lowest: Tensor, highest: Tensor, steps: int
) -> Tensor:
    """Return pictures changed within a cube around each so that the network is surest of what they show.

    The network is in evaluation mode meanwhile: its batch statistics learn nothing from it, and its weights get no
    gradient.

    Parameters
    ----------
    model : Module
        Has ``backbone`` and ``head``.
    pictures : Tensor, shape (n, channels, height, width)
        Where to start, normalised.
    radius, lowest, highest : Tensor, shape (channels, 1, 1)
        By how much a pixel may be changed, and the values of black and white, normalised.
    steps : int
        Of projected gradient ascent with the gradient's sign; together they just reach from the centre to the faces.
    """
    least, most = torch.maximum(pictures - radius, lowest), torch.minimum(pictures + radius, highest)
    was_training = model.training
    model.eval()
    for _ in range(steps):
        slope = uphill(lambda x: max_log_confidence(model.head.both_logits(model.backbone(x))[1]), pictures)
        pictures = torch.clamp(pictures + radius / steps * slope, least, most)
    model.train(was_training)
    return pictures


def uphill(function: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """Return the signs of the gradient of a function of each picture, in the shape of the pictures.

    Examples
    --------
    >>> uphill(lambda x: x[:, 0] - 2 * x[:, 1], torch.zeros(1, 3)).tolist()
    [[1.0, -1.0, 0.0]]
    """
    inputs = pictures.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(function(inputs).sum(), inputs)
    return gradient.sign()


class Outliers:
    """Outliers on the device, and their term of the loss.

    Parameters
    ----------
    recipe : Recipe
        What to do with them.
    images : ImageSet
        From :func:`load_outliers`.
    """

    def __init__(self, recipe: Recipe, images: ImageSet) -> None:
        self.recipe, self.images = recipe, images

    def joined(
        self,
        known: Iterable[tuple[Tensor, Tensor]],
        unknown: Iterable[tuple[Tensor, Tensor]],
        model: nn.Module,
        data: InDistribution,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the pictures of each known batch with as many outliers behind them, and the known ones' labels."""
        for (pictures, targets), (others, _) in zip(known, unknown, strict=True):
            yield torch.cat([pictures, self.made_hard(model, others, data)]), targets

    def made_hard(self, model: nn.Module, pictures: Tensor, data: InDistribution) -> Tensor:
        """Return the outliers to learn from: as they are, for ACET those nearby that the network is surest of."""
        if self.recipe.method != "acet":
            return pictures
        both = (torch.tensor(value, dtype=torch.float32, device=pictures.device) for value in (data.mean, data.std))
        mean, std = (value[:, None, None] for value in both)
        limits = {"radius": self.recipe.radius / std, "lowest": -mean / std, "highest": (1 - mean) / std}
        return adversarial_noise(model, pictures, steps=self.recipe.steps, **limits)  # type: ignore[arg-type]  # ACET has them

    def term(self, known: Tensor, unknown: Tensor) -> Tensor:
        """Return the weighted term for the class logits of known pictures and of outliers."""
        if self.recipe.margins is not None:
            return self.recipe.weight * energy_hinges(known, unknown, self.recipe.margins)
        terms = {"oe": uniform_cross_entropy, "acet": max_log_confidence}
        return self.recipe.weight * terms[self.recipe.method](unknown)


def load_outliers(name: str, data: InDistribution) -> ImageSet:
    """Return pictures to train against, at the size and channels of an in-distribution set.

    Parameters
    ----------
    name : str
        ``"permuted"``: the training pictures with the pixels of each in a random order of its own; ``"noise"``: half
        such pictures, half uniform noise, blurred and stretched to full contrast (the mixture of ACET's authors); or a
        set of :data:`isomax_viz.datasets.OOD_SETS`, of which the training pictures are taken where it has any.
    data : InDistribution
        What the network learns.

    Returns
    -------
    ImageSet
        As many as there are training pictures for what is made or drawn.

    Examples
    --------
    >>> from isomax_viz import datasets
    >>> load_outliers("noise", datasets.load_id("digits"))
    ImageSet(noise: 1,198 images, 8x8x1, not labelled)
    """
    check_choice("outlier_data", name, OUTLIER_DATA)
    if name in MADE:
        return _permuted(data.train) if name == "permuted" else _noise(data.train)
    source = OOD_SETS[name]
    if name in ID_SETS:  # these have training pictures
        return source.loader("train").matched_to(data.train)
    return load_ood(name, data, n=len(data.train) if source.kind == "drawn" else None)


def _shuffled_pixels(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n, height, width, channels = images.shape
    order = rng.random((n, height * width)).argsort(axis=1)
    pixels = images.reshape(n, height * width, channels)
    return np.take_along_axis(pixels, order[:, :, None], axis=1).reshape(images.shape)


def _made(name: str, images: np.ndarray, how: str, seed: int) -> ImageSet:
    provenance = {"source": "made here", "made": how, "seed": seed, "conversions": []}
    return ImageSet(name, images, np.zeros(len(images), dtype=np.int64), ("not labelled",), provenance)


def _permuted(train: ImageSet) -> ImageSet:
    images = _shuffled_pixels(train.images, np.random.Generator(np.random.PCG64(_PERMUTED_SEED)))
    return _made("permuted", images, f"training pictures of {train.name}, pixels in random order", _PERMUTED_SEED)


def _noise(train: ImageSet) -> ImageSet:
    from scipy.ndimage import gaussian_filter

    rng = np.random.Generator(np.random.PCG64(_NOISE_SEED))
    images = _shuffled_pixels(train.images, rng).astype(np.float32)
    images[::2] = rng.random(images[::2].shape, dtype=np.float32)
    blur = rng.integers(len(_BLURS), size=len(images))
    for number, sigma in enumerate(_BLURS):
        images[blur == number] = gaussian_filter(images[blur == number], (0, sigma, sigma, 0))
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    images = np.rint(255 * (images - low) / np.maximum(high - low, 1e-6)).astype(np.uint8)
    how = f"uniform noise and shuffled training pictures of {train.name}, blurred, stretched to full contrast"
    return _made("noise", images, how, _NOISE_SEED)

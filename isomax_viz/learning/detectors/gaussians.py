"""One Gaussian per class with a covariance that all share, kept so that linearly dependent features do no harm."""

from __future__ import annotations

import torch
from torch import Tensor

from isomax_viz.learning.losses.heads import euclidean

__all__ = ["Gaussians"]

_RIDGE = 1e-6  # on the undivided scatter, as in pytorch-ood: what has never varied weighs heavily, but not infinitely


class Gaussians:
    """Class means and one covariance of training features, and the Mahalanobis distances to them.

    The covariance is divided into eigenvectors in float64 and kept as a map to coordinates in which it is the identity.
    pytorch-ood inverts it in float32: wherever features depend on each other (fewer training pictures than features, or
    a network that uses few directions) its squared distances are noise, and even negative.

    Parameters
    ----------
    features : Tensor, shape (n, features)
    labels : Tensor of int64, shape (n,)
        Classes 0, 1, ...; each must occur.

    Attributes
    ----------
    means : Tensor, shape (classes, features)
    whitening : Tensor, shape (features, features)
        The covariance's inverse is this times its transpose.

    Examples
    --------
    >>> features = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [9.0, 2.0], [11.0, -2.0]])
    >>> gaussians = Gaussians(features, torch.tensor([0, 0, 1, 1]))
    >>> gaussians.confidence(gaussians.means).tolist()
    [-0.0, -0.0]
    """

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        x, y = features.detach().cpu().double(), labels.cpu()
        counts = torch.bincount(y)
        if (counts == 0).any():
            empty = torch.nonzero(counts == 0).flatten().tolist()
            raise ValueError(f"Classes {empty} have no training sample, so they have no mean. Leave these classes out.")
        means = torch.zeros(len(counts), x.shape[1], dtype=x.dtype).index_add_(0, y, x) / counts[:, None]
        away = x - means[y]
        values, vectors = torch.linalg.eigh(away.T @ away)
        whitening = vectors * ((values.clamp(min=0) + _RIDGE) / len(x)).rsqrt()
        self.means, self.whitening = (item.to(features.device, torch.float32) for item in (means, whitening))

    def confidence(self, features: Tensor) -> Tensor:
        """Return minus half the squared distance to the nearest class mean, shape (n,); gradients flow through it."""
        with torch.no_grad():
            centre = self.means.mean(dim=0)
            whitened = ((item - centre) @ self.whitening for item in (features, self.means))
            nearest = euclidean(*whitened).argmin(dim=1)
        return -0.5 * ((features - self.means[nearest]) @ self.whitening).square().sum(dim=1)

"""Scores on the last features, most of them by pytorch-ood, whose outlier scores change their sign here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isomax_viz._common.checks import check_number
from isomax_viz.learning.detectors.base import FeatureDetector, Known, numbers, pytorch_ood
from isomax_viz.learning.detectors.gaussians import Gaussians

__all__ = ["KLMatching", "KNearest", "MahalanobisFeatures", "ReAct", "SHE", "ViM"]


class MahalanobisFeatures(FeatureDetector):
    """Minus half the squared Mahalanobis distance to the nearest class mean, with one covariance for all classes.

    Notes
    -----
    Source: Lee et al. (2018), "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
    Attacks", equation 2, on the last layer alone. In exact arithmetic pytorch-ood's score is minus this, divided by the
    number of training samples.
    """

    key = "mahalanobis_features"

    def fit(self, known: Known) -> MahalanobisFeatures:
        """Fit class means and covariance of the training features."""
        super().fit(known)
        self._gaussians = Gaussians(known.features, known.labels)
        return self

    @property
    def extra_parameters(self) -> int:
        """Class means and the inverse covariance."""
        return numbers(self._gaussians.means, self._gaussians.whitening)

    def score_features(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return minus half the squared distance to the nearest class mean."""
        self.fitted()
        return self._gaussians.confidence(features)


class KNearest(FeatureDetector):
    """Minus the distance to the k-th nearest training feature, between unit vectors.

    Parameters
    ----------
    k : int
        50 is the paper's choice for CIFAR10 (200 for CIFAR100).

    Notes
    -----
    Source: Sun et al. (2022), "Out-of-Distribution Detection with Deep Nearest Neighbors".
    """

    key = "knn"
    options = ("k",)

    def __init__(self, *, k: int = 50) -> None:
        self.k = check_number("k", k, at_least=1, whole=True)

    @property
    def settings(self) -> dict[str, Any]:
        """Number of neighbours."""
        return {"k": self.k}

    @property
    def extra_parameters(self) -> int:
        """All training features."""
        return numbers(self.fitted().features)

    def fit(self, known: Known) -> KNearest:
        """Keep the training features."""
        super().fit(known)
        if len(known.train) < self.k:
            raise ValueError(f"k must be at most the {len(known.train)} training samples, but is {self.k}.")
        self._detector = pytorch_ood().KNN(None, k=self.k).fit_features(known.features.cpu(), known.labels.cpu())
        return self

    def score_features(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return minus the distance to the k-th nearest training feature, float64 on the CPU."""
        self.fitted()
        # As many threads as the networks beside which its time is measured; the library would take all cores.
        self._detector.knn.n_jobs = torch.get_num_threads()
        return -self._detector.predict_features(features.cpu())


class ViM(FeatureDetector):
    """Energy minus the scaled length of the features outside the principal subspace of the training features.

    Parameters
    ----------
    dimension : int, optional
        Of the principal subspace; by default half of the features, at most 512.

    Notes
    -----
    Source: Wang et al. (2022), "ViM: Out-Of-Distribution with Virtual-logit Matching". Its origin is where all logits
    of a linear layer are equal, so it is defined for networks with such a layer (SoftMax) only.
    """

    key = "vim"
    needs = ("network",)
    options = ("dimension",)

    def __init__(self, *, dimension: int | None = None) -> None:
        self.dimension = None if dimension is None else check_number("dimension", dimension, at_least=1, whole=True)

    @property
    def settings(self) -> dict[str, Any]:
        """Dimension of the principal subspace."""
        return {"dimension": self._detector.d}

    @property
    def extra_parameters(self) -> int:
        """Directions outside the subspace, the origin and one factor."""
        return numbers(self._detector.principal_subspace, self._detector.u) + 1

    def fit(self, known: Known) -> ViM:
        """Fit the principal subspace of the training features."""
        super().fit(known)
        linear = getattr(known.network.head, "linear", None)
        if linear is None:
            raise ValueError(
                f"The score 'vim' needs a linear last layer, but this one is a {type(known.network.head).__name__}. "
                "Use a network trained with loss='softmax'."
            )
        features = known.features
        dimension = min(512, features.shape[1] // 2) if self.dimension is None else self.dimension
        if dimension >= features.shape[1]:
            raise ValueError(
                f"dimension must be below the number of features, {features.shape[1]}, but is {dimension}. "
                "Leave it out for half of the features."
            )
        detector = pytorch_ood().ViM(None, d=dimension, w=linear.weight, b=linear.bias)
        self._detector = detector.fit_features(features, known.labels)
        return self

    def score_features(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return energy minus virtual logit."""
        self.fitted()
        return -self._detector.predict_features(features)


class SHE(FeatureDetector):
    """Inner product of the features with the mean training feature of the predicted class.

    Notes
    -----
    Source: Zhang et al. (2023), "Out-of-Distribution Detection based on In-Distribution Data Patterns Memorization with
    Modern Hopfield Energy". The mean is taken over correctly classified training pictures.
    """

    key = "she"
    needs = ("network",)

    @property
    def extra_parameters(self) -> int:
        """One pattern per class."""
        return numbers(self._detector.patterns)

    def fit(self, known: Known) -> SHE:
        """Fit one pattern per class."""
        super().fit(known)
        head = known.network.head
        detector = pytorch_ood().SHE(None, lambda it: head.both_logits(it)[1])
        self._detector = detector.fit_features(known.features, known.labels)
        return self

    def score_features(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the inner product with the pattern of the predicted class."""
        self.fitted()
        return -self._detector.predict_features(features)


class ReAct(FeatureDetector):
    """Energy of the logits of features that were cut off at a percentile of the training features.

    Parameters
    ----------
    percentile : float
        As a fraction; the paper takes 0.9.

    Notes
    -----
    Source: Sun et al. (2021), "ReAct: Out-of-distribution Detection With Rectified Activations".
    """

    key = "react"
    needs = ("network",)
    options = ("percentile",)

    def __init__(self, *, percentile: float = 0.9) -> None:
        self.percentile = float(check_number("percentile", percentile, at_least=0, at_most=1))

    @property
    def settings(self) -> dict[str, Any]:
        """Percentile and the value it gives."""
        return {"percentile": self.percentile, "threshold": self._detector.threshold}

    @property
    def extra_parameters(self) -> int:
        """One threshold."""
        return 1

    def fit(self, known: Known) -> ReAct:
        """Fit the threshold."""
        super().fit(known)
        detector = pytorch_ood().ReAct(None, known.network.head, percentile=self.percentile)
        self._detector = detector.fit_feature_maps(known.features, known.labels)
        return self

    def score_features(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the energy of the cut features."""
        self.fitted()
        return -self._detector.predict_feature_maps(features)


class KLMatching(FeatureDetector):
    """Minus the smallest divergence of the probabilities from the typical ones of a predicted class.

    Notes
    -----
    Source: Hendrycks et al. (2022), "Scaling Out-of-Distribution Detection for Real-World Settings". Typical
    probabilities are means over training pictures (there: over held-out ones).
    """

    key = "kl_matching"

    @property
    def extra_parameters(self) -> int:
        """Typical probabilities of each class."""
        return numbers(*self._detector.dists.values())

    def fit(self, known: Known) -> KLMatching:
        """Fit typical probabilities of each predicted class."""
        super().fit(known)
        logits = torch.tensor(known.train.logits, device=known.device)
        self._detector = pytorch_ood().KLMatching(None).fit_logits(logits, known.labels)
        return self

    def score_features(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return minus the smallest divergence."""
        self.fitted()
        return -self._detector.predict_logits(logits)

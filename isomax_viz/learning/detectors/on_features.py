"""Scores on the last features, most of them by pytorch-ood, whose outlier scores change their sign here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isomax_viz.learning.detectors.base import FeatureDetector, Known, numbers, option, pytorch_ood
from isomax_viz.learning.detectors.gaussians import Gaussians

__all__ = ["KLMatching", "KNearest", "MahalanobisFeatures", "ReAct", "SHE", "ViM"]


class _Adapted(FeatureDetector):
    """An outlier score of features with its sign changed; ``learn`` makes the ``_detector`` that is asked."""

    _detector: Any

    def score_features(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return minus the outlier score."""
        self.fitted()
        return -self._asked(features, logits)

    def _asked(self, features: Tensor, logits: Tensor) -> Tensor:
        return self._detector.predict_features(features)


class MahalanobisFeatures(_Adapted):
    """Minus half the squared Mahalanobis distance to the nearest class mean, with one covariance for all classes.

    Notes
    -----
    Source: Lee et al. (2018), "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
    Attacks", equation 2, on the last layer alone. In exact arithmetic pytorch-ood's score is minus this, divided by the
    number of training samples.
    """

    key = "mahalanobis_features"

    def learn(self, known: Known) -> None:
        """Keep class means and the inverse covariance."""
        self._detector = Gaussians(known.features, known.labels)
        self.extra_parameters = numbers(self._detector.means, self._detector.whitening)

    def _asked(self, features: Tensor, logits: Tensor) -> Tensor:
        return -self._detector.confidence(features)


@dataclass(kw_only=True, repr=False, eq=False)
class KNearest(_Adapted):
    """Minus the distance to the k-th nearest training feature, between unit vectors; float64 on the CPU.

    Parameters
    ----------
    k : int
        50 is the paper's choice for CIFAR10 (200 for CIFAR100).

    Notes
    -----
    Source: Sun et al. (2022), "Out-of-Distribution Detection with Deep Nearest Neighbors".
    """

    key = "knn"
    k: int = option(50, at_least=1, whole=True)

    def learn(self, known: Known) -> None:
        """Keep all training features."""
        if len(known.train) < self.k:
            raise ValueError(f"k must be at most the {len(known.train)} training samples, but is {self.k}.")
        self._detector = pytorch_ood().KNN(None, k=self.k).fit_features(known.features.cpu(), known.labels.cpu())
        self.extra_parameters = numbers(known.features)

    def _asked(self, features: Tensor, logits: Tensor) -> Tensor:
        # As many threads as the networks beside which its time is measured; the library would take all cores.
        self._detector.knn.n_jobs = torch.get_num_threads()
        return self._detector.predict_features(features.cpu())


@dataclass(kw_only=True, repr=False, eq=False)
class ViM(_Adapted):
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
    dimension: int | None = option(None, at_least=1, whole=True)

    def learn(self, known: Known) -> dict[str, Any]:
        """Keep the directions outside the principal subspace, the origin and one factor."""
        linear = getattr(known.network.head, "linear", None)
        if linear is None:
            raise ValueError(
                f"The score 'vim' needs a linear last layer, but this one is a {known.network.head._get_name()}. "
                "Use a network trained with loss='softmax'."
            )
        features = known.features
        dimension = min(512, features.shape[1] // 2) if self.dimension is None else self.dimension
        if dimension >= features.shape[1]:
            wrong = f"dimension must be below the number of features, {features.shape[1]}, but is {dimension}"
            raise ValueError(f"{wrong}. Leave it out for half of the features.")
        detector = pytorch_ood().ViM(None, d=dimension, w=linear.weight, b=linear.bias)
        self._detector = detector.fit_features(features, known.labels)
        self.extra_parameters = numbers(detector.principal_subspace, detector.u) + 1
        return {"dimension": detector.d}


class SHE(_Adapted):
    """Inner product of the features with the mean training feature of the predicted class.

    Notes
    -----
    Source: Zhang et al. (2023), "Out-of-Distribution Detection based on In-Distribution Data Patterns Memorization with
    Modern Hopfield Energy". The mean is taken over correctly classified training pictures.
    """

    key = "she"
    needs = ("network",)

    def learn(self, known: Known) -> None:
        """Keep one pattern per class."""
        head, train = known.network.head, known.train
        unlearned = sorted(set(train.labels.tolist()) - set(train.labels[train.predictions == train.labels].tolist()))
        if unlearned:
            raise ValueError(
                "The score 'she' needs a training picture of each class that the network classifies correctly, but "
                f"there is none of {unlearned}. Use another score, or a network that has learned all classes."
            )
        detector = pytorch_ood().SHE(None, lambda it: head.both_logits(it)[1])
        self._detector = detector.fit_features(known.features, known.labels)
        self.extra_parameters = numbers(detector.patterns)


@dataclass(kw_only=True, repr=False, eq=False)
class ReAct(_Adapted):
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
    percentile: float = option(0.9, at_least=0, at_most=1)

    def learn(self, known: Known) -> dict[str, Any]:
        """Keep the threshold, which is the percentile's value."""
        detector = pytorch_ood().ReAct(None, known.network.head, percentile=self.percentile)
        self._detector, self.extra_parameters = detector.fit_feature_maps(known.features, known.labels), 1
        return {"percentile": self.percentile, "threshold": detector.threshold}

    def _asked(self, features: Tensor, logits: Tensor) -> Tensor:
        return self._detector.predict_feature_maps(features)


class KLMatching(_Adapted):
    """Minus the smallest divergence of the probabilities from the typical ones of a predicted class.

    Notes
    -----
    Source: Hendrycks et al. (2022), "Scaling Out-of-Distribution Detection for Real-World Settings". Typical
    probabilities are means over training pictures (there: over held-out ones).
    """

    key = "kl_matching"

    def learn(self, known: Known) -> None:
        """Keep the typical probabilities of each class."""
        logits = torch.tensor(known.train.logits, device=known.device)
        self._detector = pytorch_ood().KLMatching(None).fit_logits(logits, known.labels)
        self.extra_parameters = numbers(*self._detector.dists.values())

    def _asked(self, features: Tensor, logits: Tensor) -> Tensor:
        return self._detector.predict_logits(logits)

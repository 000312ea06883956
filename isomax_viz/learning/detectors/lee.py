"""The Mahalanobis approach of Lee et al. (2018): several layers, input preprocessing, logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isomax_viz.learning.detectors.base import Detector, Known, numbers, option
from isomax_viz.learning.detectors.gaussians import Gaussians
from isomax_viz.learning.detectors.layers import Layers
from isomax_viz.learning.detectors.preprocessing import STEPS, adversarial, better

__all__ = ["Mahalanobis"]


@dataclass(kw_only=True, repr=False, eq=False)
class Mahalanobis(Detector):
    """Weighted sum over layers of minus the Mahalanobis distances to the nearest class mean.

    Parameters
    ----------
    steps : sequence of float
        Steps of the input preprocessing to choose from, in grey values from 0 to 1.
    pictures : int
        Training pictures to validate on: the regression learns on half of them and of FGSM pictures made from them, the
        step is the one that separates the other half best.

    Notes
    -----
    Source: Lee et al. (2018), "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
    Attacks", Algorithm 1, validated on adversarial samples (their section 3.1). Layers are the last feature map of each
    size, averaged over places. Layer scores are standardised before the regression, so that its penalty does not depend
    on their units.
    """

    key = "mahalanobis"
    steps: Sequence[float] = option(STEPS, at_least=0)
    pictures: int = option(300, at_least=20, whole=True)

    def learn(self, known: Known) -> dict[str, Any]:
        """Fit a Gaussian per layer, choose the step, learn the weights of the layers."""
        real, labels = known.some_training_pictures(self.pictures)
        self._layers = Layers(known.network.backbone, real)
        with torch.no_grad():
            batches = [self._layers.pooled(inputs) for inputs in known.inputs(known.data.train)]
        everything = torch.tensor(known.data.train.labels, device=known.device)
        self._gaussians = [Gaussians(torch.cat(features), everything) for features in zip(*batches, strict=True)]
        fooled = adversarial(known, real, labels)
        scores = {step: (self.layer_scores(real, step), self.layer_scores(fooled, step)) for step in self.steps}
        learned = torch.arange(len(real)) % 2 == 0
        judged = {}
        for step, sides in scores.items():
            weights = _regression(*(side[learned] for side in sides))
            judged[step] = better(*(side[~learned] @ weights for side in sides))
        self.step = max(self.steps, key=judged.__getitem__)
        self._weights = _regression(*scores[self.step])
        kept = (tensor for item in self._gaussians for tensor in (item.means, item.whitening))
        self.extra_parameters = numbers(*kept) + len(self._layers)
        layers = [*self._layers.names[:-1], "features"]
        return {"step": self.step, "layers": layers, "weights": self._weights.tolist()}

    def layer_scores(self, pictures: Tensor, step: float) -> Tensor:
        """Return the confidence of each layer on the CPU, shape (n, layers); each sees pictures changed for itself."""
        known = self.fitted()
        if not step:
            with torch.no_grad():
                pooled = self._layers.pooled(pictures)
                columns = [gaussians.confidence(item) for gaussians, item in zip(self._gaussians, pooled, strict=True)]
            return torch.stack(columns, dim=1).cpu().double()
        inputs = pictures.detach().requires_grad_()
        with torch.enable_grad():  # one pass forward for the gradients of all layers
            pairs = zip(self._gaussians, self._layers.pooled(inputs), strict=True)
            sums = [gaussians.confidence(item).sum() for gaussians, item in pairs]
        columns = []
        for number, total in enumerate(sums):
            (gradient,) = torch.autograd.grad(total, inputs, retain_graph=total is not sums[-1])
            with torch.no_grad():
                moved = self._layers.pooled_one(pictures + step / known.std * gradient.sign(), number)
                columns.append(self._gaussians[number].confidence(moved))
        return torch.stack(columns, dim=1).cpu().double()

    def score(self, pictures: Tensor) -> Tensor:
        """Return the weighted sum of the layers' confidences, float64 on the CPU."""
        self.fitted()
        return self.layer_scores(pictures, self.step) @ self._weights


def _regression(known: Tensor, fooled: Tensor) -> Tensor:
    """Return one weight per layer: the logistic regression that tells known (high) from fooled, without its intercept.

    The intercept moves all scores alike and changes no order.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    values = torch.cat([known, fooled]).numpy()
    targets = np.repeat([1, 0], [len(known), len(fooled)])
    scaler = StandardScaler().fit(values)
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(values), targets)
    return torch.from_numpy(model.coef_[0] / scaler.scale_)

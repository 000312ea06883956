"""Heads of other authors that the papers compare with: Scaled Cosine, Generalized ODIN and logit normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.learning.losses.heads import Head, NeedsFeatures, SoftMaxHead, euclidean, unit, widened

__all__ = ["SIMILARITIES", "GeneralizedOdinHead", "LogitNormHead", "ScaledCosineHead"]

SIMILARITIES = ("cosine", "euclidean", "inner")


class _ScaleOfEachSample(Head):
    """A head whose class logits are its logits times one positive number, read from each sample's features."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.scale_map = nn.Linear(num_features, 1)
        self.scale_norm = nn.BatchNorm1d(1)

    def _normalised(self, features: Tensor) -> Tensor:
        return self.scale_norm(self.scale_map(widened(features, self.scale_map.weight)))

    def scale_of(self, features: Tensor) -> Tensor:
        """Return what the logits of each sample are multiplied with, above 0, shape (n, 1)."""
        raise NotImplementedError

    def both_logits(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits for detection, and the scale of each sample times them, both of shape (n, classes)."""
        with torch.autocast(features.device.type, enabled=False):
            logits = self(features)
            return logits, self.scale_of(features) * logits

    def class_logits(self, logits: Tensor) -> Tensor:
        """Raise TypeError: the scales are read from the features, see :meth:`both_logits`."""
        raise NeedsFeatures(self)


class ScaledCosineHead(_ScaleOfEachSample):
    r"""Cosine similarity to one learnable vector per class, times a scale that is read from each sample.

    Logits are the cosines; class logits are :math:`s(f) \cos\theta_j`, where :math:`s(f) = \exp(BN(w^T f + b))` is
    learned. The whole head learns without weight decay. Detection by the largest cosine is ``max_logit`` here; as
    distances are 1 minus the cosines, ``mds`` ranks alike.

    Parameters
    ----------
    num_features, num_classes : int
        See :class:`~isomax_viz.learning.losses.Head`.

    Notes
    -----
    Source: Techapanurak, Suganuma & Okatani (2019), "Hyperparameter-Free Out-of-Distribution Detection Using Softmax of
    Scaled Cosine Similarity"; the IsoMax+ paper describes it in section 2.1.

    Examples
    --------
    >>> head = ScaledCosineHead(num_features=2, num_classes=2)
    >>> _ = nn.init.eye_(head.prototypes)
    >>> head(torch.tensor([[0.0, 3.0]])).tolist()
    [[0.0, 1.0]]
    """

    undecayed_parameters = ("prototypes", "scale_map.weight", "scale_map.bias", "scale_norm.weight", "scale_norm.bias")

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.prototypes = nn.Parameter(torch.empty(num_classes, num_features))
        nn.init.kaiming_normal_(self.prototypes, nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """Return the cosines, in [-1, 1], shape (n, classes)."""
        with torch.autocast(features.device.type, enabled=False):
            return unit(widened(features, self.prototypes)) @ unit(self.prototypes).T

    def distances(self, features: Tensor) -> Tensor:
        """Return 1 minus the cosines, in [0, 2], shape (n, classes)."""
        return 1 - self(features)

    def scale_of(self, features: Tensor) -> Tensor:
        """Return the learned scale of each sample, above 0, shape (n, 1)."""
        return self._normalised(features).exp()


class GeneralizedOdinHead(_ScaleOfEachSample):
    r"""Decomposed confidence: class logits are :math:`h_j(f) / g(f)`, and detection looks at :math:`h_j` alone.

    g is one number in (0, 1) for each sample, learned as a sigmoid of a batch-normalised linear map; it acts as a
    temperature. Detection by the largest h is ``max_logit`` here.

    Parameters
    ----------
    num_features, num_classes : int
        See :class:`~isomax_viz.learning.losses.Head`.
    similarity : {"cosine", "euclidean", "inner"}
        h: cosine of features and class weights, minus their squared Euclidean distance, or the usual affine map.

    Notes
    -----
    Source: Hsu, Shen, Jin & Kira (2020), "Generalized ODIN: Detecting Out-of-distribution Image without Learning from
    Out-of-distribution Data", DeConf-C, -E and -I. The weights of h learn without weight decay, as in its experiments.
    The paper's input preprocessing belongs to detection, not to this head.

    Examples
    --------
    >>> head = GeneralizedOdinHead(num_features=2, num_classes=2, similarity="euclidean")
    >>> _ = nn.init.zeros_(head.weights)
    >>> head(torch.tensor([[3.0, 4.0]])).tolist()
    [[-25.0, -25.0]]
    """

    settings = ("similarity",)

    def __init__(self, num_features: int, num_classes: int, *, similarity: str = "cosine") -> None:
        super().__init__(num_features, num_classes)
        self.similarity = check_choice("similarity", similarity, SIMILARITIES)
        self.weights = nn.Parameter(torch.empty(num_classes, num_features))
        nn.init.kaiming_normal_(self.weights, nonlinearity="relu")
        if similarity == "inner":
            self.bias = nn.Parameter(torch.zeros(num_classes))
        self.undecayed_parameters = ("weights", "bias") if similarity == "inner" else ("weights",)

    def forward(self, features: Tensor) -> Tensor:
        """Return h, shape (n, classes)."""
        with torch.autocast(features.device.type, enabled=False):
            features = widened(features, self.weights)
            if self.similarity == "cosine":
                return unit(features) @ unit(self.weights).T
            if self.similarity == "euclidean":
                return -euclidean(features, self.weights).square()
            return functional.linear(features, self.weights, self.bias)

    def scale_of(self, features: Tensor) -> Tensor:
        """Return 1 / g of each sample, above 1, shape (n, 1)."""
        return 1 / torch.sigmoid(self._normalised(features))


class LogitNormHead(SoftMaxHead):
    r"""Logit normalisation: the logits are brought to length 1 before the softmax, in training only.

    Class logits are :math:`z / (\tau \lVert z \rVert)`; detection uses the logits z as they are. Growing logits then
    do not lower the loss, which tempers confidence.

    Parameters
    ----------
    num_features, num_classes : int
        See :class:`~isomax_viz.learning.losses.Head`.
    temperature : float
        The paper's tau, above zero: 0.04 for CIFAR10 there.

    Notes
    -----
    Source: Wei et al. (2022), "Mitigating Neural Network Overconfidence with Logit Normalization".

    Examples
    --------
    >>> head = LogitNormHead(num_features=2, num_classes=2, temperature=0.5)
    >>> head.class_logits(torch.tensor([[3.0, 0.0]])).tolist()
    [[2.0, 0.0]]
    """

    settings = ("temperature",)

    def __init__(self, num_features: int, num_classes: int, *, temperature: float = 0.04) -> None:
        super().__init__(num_features, num_classes)
        self.temperature = float(check_number("temperature", temperature, above=0))

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return the logits at length 1 / temperature, shape (n, classes)."""
        return unit(logits) / self.temperature

"""The general frame of the 2019 paper: any distance, one function of it for training, another for detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.learning.losses.heads import NeedsFeatures, PrototypeHead, euclidean, unit, widened

__all__ = ["DISTANCES", "FUNCTIONS", "DisMaxHead"]


# Of features (n, num_features) and prototypes (classes, num_features); shape (n, classes).
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": euclidean,
    "squared": lambda features, prototypes: euclidean(features, prototypes).square(),
    "manhattan": partial(torch.cdist, p=1),
    "chebyshev": partial(torch.cdist, p=torch.inf),
    "cosine": lambda features, prototypes: 1 - unit(features) @ unit(prototypes).T,
}
# Of a distance and the entropic scale, which "scaled" alone uses.
FUNCTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda distances, _: distances,
    "scaled": lambda distances, entropic_scale: entropic_scale * distances,
    "square": lambda distances, _: distances.square(),
    "log": lambda distances, _: distances.log1p(),
}


class DisMaxHead(PrototypeHead):
    r"""Distinction maximisation: logits are a function of the distance between features and prototypes, and only of it.

    With a distance d and scalar functions g and h, a sample is trained with class logits :math:`-g(d_j)` and judged by
    logits :math:`-h(d_j)`. As the logits depend on nothing but distances, no direction is preferred: the loss is
    isotropic. :class:`~isomax_viz.learning.losses.IsoMaxHead` is the instance that the paper settles on: the Euclidean
    distance, h(x) = x and g(x) = alpha x.

    Parameters
    ----------
    num_features, num_classes : int
        See :class:`~isomax_viz.learning.losses.Head`.
    distance : str or callable
        d: "euclidean", "squared" (Euclidean), "manhattan", "chebyshev", "cosine" (1 minus the cosine), or your own
        function of features (n, num_features) and prototypes (classes, num_features).
    training_function, detection_function : str or callable
        g and h: "identity", "scaled" (entropic_scale times x), "square", "log" (of 1 + x), or your own function of a
        tensor.
    entropic_scale : float
        The paper's alpha, above zero.
    initialisation : {"zeros", "normal"}, optional
        What prototypes start from; by default zeros.

    Notes
    -----
    Source: "Distinction Maximization Loss" (2019), equations 4 and 5, without the optional regularisation, as in the
    paper's own experiments. Prototypes start at zero.

    Examples
    --------
    >>> head = DisMaxHead(2, 3, distance="manhattan", training_function="square")
    >>> logits = head(torch.tensor([[3.0, 4.0]]))
    >>> logits.tolist(), head.class_logits(logits).tolist()
    ([[-7.0, -7.0, -7.0]], [[-49.0, -49.0, -49.0]])
    """

    settings = ("distance", "training_function", "detection_function", "entropic_scale", "initialisation")

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        distance: str | Callable[[Tensor, Tensor], Tensor] = "euclidean",
        training_function: str | Callable[[Tensor], Tensor] = "scaled",
        detection_function: str | Callable[[Tensor], Tensor] = "identity",
        entropic_scale: float = 10.0,
        initialisation: str | None = None,
    ) -> None:
        super().__init__(num_features, num_classes, initialisation=initialisation)
        self.entropic_scale = float(check_number("entropic_scale", entropic_scale, above=0))
        self.distance = _known("distance", distance, DISTANCES)
        self.training_function = _known("training_function", training_function, FUNCTIONS)
        self.detection_function = _known("detection_function", detection_function, FUNCTIONS)

    def distances(self, features: Tensor) -> Tensor:
        """Return the distances d without g or h, shape (n, classes)."""
        distance = self.distance if callable(self.distance) else DISTANCES[self.distance]
        with torch.autocast(features.device.type, enabled=False):
            return distance(widened(features, self.prototypes), self.prototypes)

    def forward(self, features: Tensor) -> Tensor:
        """Return -h(d), shape (n, classes)."""
        return -self._applied(self.detection_function, self.distances(features))

    def both_logits(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return -h(d) and -g(d), both of shape (n, classes)."""
        distances = self.distances(features)
        return -self._applied(self.detection_function, distances), -self._applied(self.training_function, distances)

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return -g(d), shape (n, classes), where h is the identity: other functions may merge several distances.

        Raises
        ------
        TypeError
            If h is another function; see :meth:`both_logits`.
        """
        if self.detection_function != "identity":
            raise NeedsFeatures(self)
        return -self._applied(self.training_function, -logits)

    def _applied(self, function: str | Callable[[Tensor], Tensor], distances: Tensor) -> Tensor:
        return function(distances) if callable(function) else FUNCTIONS[function](distances, self.entropic_scale)


def _known(parameter: str, function: str | Callable[..., Tensor], known: Mapping[str, Any]) -> Any:
    return function if callable(function) else check_choice(parameter, function, known)

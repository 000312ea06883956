"""The interface of all heads, those of the papers (SoftMax, IsoMax, IsoMax+, IsoMax2), and at which pace they learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from isomax_viz._common.checks import check_choice, check_number

__all__ = [
    "INITIALISATIONS", "Head", "IsoMax2Head", "IsoMaxHead", "IsoMaxPlusHead", "NeedsFeatures", "PrototypeHead",
    "SoftMaxHead", "euclidean", "parameter_groups", "unit", "widened",
]  # fmt: skip


class Head(nn.Module):
    """What all heads share; a head of your own needs ``forward`` and, where it has prototypes, ``distances``.

    Pass its class wherever a key of :data:`~isomax_viz.learning.losses.HEADS` is accepted: ``Experiment(loss=MyHead)``.
    What it trains with is :meth:`criterion` of the class logits that :meth:`both_logits` gives.

    Parameters
    ----------
    num_features : int
        Length of a feature vector.
    num_classes : int
        Number of classes, at least 2.

    Attributes
    ----------
    settings : tuple of str
        Options of the constructor that an :class:`~isomax_viz.Experiment` passes on.
    slow_parameters : tuple of str
        Parameters that learn with a tenth of the learning rate and without weight decay.
    undecayed_parameters : tuple of str
        Parameters that learn with the full learning rate and without weight decay.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    slow_parameters: ClassVar[tuple[str, ...]] = ()
    undecayed_parameters: tuple[str, ...] = ()

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.num_features = check_number("num_features", num_features, at_least=1, whole=True)
        self.num_classes = check_number("num_classes", num_classes, at_least=2, whole=True)

    def extra_repr(self) -> str:
        """Describe the head as ``nn.Linear`` does: by its size and its settings."""
        own, named = vars(self), ("num_features", "num_classes", *self.settings)
        return ", ".join(f"{name}={getattr(own[name], '__name__', own[name])}" for name in named if name in own)

    def both_logits(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits for detection and the class logits, both of shape (n, classes).

        Parameters
        ----------
        features : Tensor, shape (n, num_features)
            In any floating-point format.

        Examples
        --------
        >>> logits, class_logits = IsoMaxHead(2, 3).both_logits(torch.tensor([[3.0, 4.0]]))
        >>> logits.tolist(), class_logits.tolist()
        ([[-5.0, -5.0, -5.0]], [[-50.0, -50.0, -50.0]])
        """
        logits = self(widened(features, next(self.parameters(), features)))
        return logits, self.class_logits(logits)

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return the logits that classify and train, shape (n, classes); by default the logits themselves."""
        return logits

    def criterion(self, class_logits: Tensor, targets: Tensor) -> Tensor:
        """Return what training minimises: the mean cross-entropy of the class logits in nats.

        Parameters
        ----------
        class_logits : Tensor, shape (n, classes)
            The second of :meth:`both_logits`.
        targets : Tensor of int64, shape (n,)
            Correct classes.
        """
        return functional.cross_entropy(class_logits, targets)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the :meth:`criterion` of logits from ``forward``, for who uses the head in a loop of their own."""
        return self.criterion(self.class_logits(widened(logits, logits)), targets)

    def scales(self) -> dict[str, float]:
        """Return what the head has learned to scale with, for the training history; empty if nothing."""
        return {}


class NeedsFeatures(TypeError):
    """The class logits of a head can't be told from its logits alone."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__(
            f"{type(head).__name__} reads its class logits from the features, not from the logits alone: call "
            "head.both_logits(features), which gives both, and head.criterion(class_logits, targets)."
        )


def widened(values: Tensor, weights: Tensor) -> Tensor:
    """Return values in the number format of a head's weights, in float32 at least.

    Examples
    --------
    >>> features, weights = torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1)
    >>> widened(features, weights).dtype, widened(features, weights.double()).dtype
    (torch.float32, torch.float64)
    """
    return values.to(torch.promote_types(weights.dtype, torch.float32))


def euclidean(features: Tensor, prototypes: Tensor) -> Tensor:
    """Return Euclidean distances, in float32 at least and outside autocast, shape (n, classes).

    cdist has no half-precision kernel in this mode, its matrix-product mode loses digits, and its gradient at distance
    zero, where the prototypes of IsoMax may start, is zero instead of NaN.
    """
    with torch.autocast(features.device.type, enabled=False):
        features, prototypes = widened(features, prototypes), widened(prototypes, prototypes)
        return torch.cdist(features, prototypes, compute_mode="donot_use_mm_for_euclid_dist")


def unit(vectors: Tensor) -> Tensor:
    """Return the rows at length 1; a row of zeros stays.

    Unlike functional.normalize, a zero vector (a network whose ReLUs are all off) gets a gradient of ordinary size, not
    one multiplied by 1e12.
    """
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(norms > 0, norms, torch.ones_like(norms))


class SoftMaxHead(Head):
    """Affine map and softmax: the usual last layer, here with the same interface as the others.

    Examples
    --------
    >>> head = SoftMaxHead(num_features=4, num_classes=3)
    >>> head(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.linear = nn.Linear(num_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, w_j·f + b_j, shape (n, classes)."""
        with torch.autocast(features.device.type, enabled=False):
            return self.linear(widened(features, self.linear.weight))


# What prototypes may start from: all at zero, or normal(0, 1).
INITIALISATIONS: dict[str, Callable[[int, int], Tensor]] = {"zeros": torch.zeros, "normal": torch.randn}


class PrototypeHead(Head):
    """A head with one learnable prototype per class, starting at zero; the shortest start for a head of your own.

    Examples
    --------
    >>> class CosineHead(PrototypeHead):
    ...     def distances(self, features):
    ...         return 1 - torch.cosine_similarity(features[:, None], self.prototypes + 1e-6, dim=2)
    >>> CosineHead(num_features=4, num_classes=3)(torch.ones(1, 4)).detach().numpy().round(2).tolist()
    [[-0.0, -0.0, -0.0]]
    """

    # What prototypes start from, unless a head is told otherwise; see INITIALISATIONS.
    initialisation = "zeros"

    def __init__(self, num_features: int, num_classes: int, *, initialisation: str | None = None) -> None:
        super().__init__(num_features, num_classes)
        chosen = check_choice("initialisation", initialisation or self.initialisation, INITIALISATIONS)
        self.prototypes = nn.Parameter(INITIALISATIONS[chosen](num_classes, num_features))

    def distances(self, features: Tensor) -> Tensor:
        """Return the feature-prototype distances without any scale, shape (n, classes)."""
        return euclidean(features, self.prototypes)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits for detection, shape (n, classes)."""
        return -self.distances(features)


class IsoMaxHead(PrototypeHead):
    r"""Isotropy maximisation loss: logits are minus the Euclidean distances to learnable prototypes.

    The entropic scale multiplies the logits while training and classifying, and is left out for detection. The 2019
    paper calls it alpha, the IsoMax+ paper :math:`E_s`.

    Parameters
    ----------
    num_features, num_classes : int
        See :class:`Head`.
    entropic_scale : float
        Above zero; the papers use 10.
    initialisation : {"zeros", "normal"}, optional
        What prototypes start from; by default the paper's.

    Notes
    -----
    Source: "Distinction Maximization Loss" (2019) with h(x) = x, g(x) = alpha x; "Hyperparameter-Free Isotropic
    Maximization Loss", equation 1. Prototypes start at zero.

    Examples
    --------
    >>> head = IsoMaxHead(num_features=2, num_classes=3)
    >>> logits = head(torch.tensor([[3.0, 4.0]]))
    >>> logits.tolist(), head.class_logits(logits).tolist()
    ([[-5.0, -5.0, -5.0]], [[-50.0, -50.0, -50.0]])
    """

    settings = ("entropic_scale", "initialisation")

    def __init__(
        self, num_features: int, num_classes: int, *, entropic_scale: float = 10.0, initialisation: str | None = None
    ) -> None:
        super().__init__(num_features, num_classes, initialisation=initialisation)
        self.entropic_scale = float(check_number("entropic_scale", entropic_scale, above=0))

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return entropic_scale * logits, shape (n, classes)."""
        return self.entropic_scale * logits


class IsoMaxPlusHead(IsoMaxHead):
    r"""Enhanced IsoMax: features and prototypes of unit length, distances times one learnable scale.

    Logits are :math:`-|d_s| \, \lVert \hat f - \hat p_j \rVert`; ``distances`` leaves the distance scale out.

    Parameters
    ----------
    num_features, num_classes, entropic_scale, initialisation
        See :class:`IsoMaxHead`.

    Notes
    -----
    Source: "Enhanced Isotropy Maximization Loss", equations 2 and 3. Prototypes start normal(0, 1), the distance scale
    at 1.

    Examples
    --------
    >>> head = IsoMaxPlusHead(num_features=2, num_classes=3)
    >>> bool((head.distances(torch.randn(5, 2)) <= 2).all())
    True
    """

    initialisation = "normal"

    def __init__(
        self, num_features: int, num_classes: int, *, entropic_scale: float = 10.0, initialisation: str | None = None
    ) -> None:
        super().__init__(num_features, num_classes, entropic_scale=entropic_scale, initialisation=initialisation)
        self.distance_scale = nn.Parameter(torch.ones(1))

    def distances(self, features: Tensor) -> Tensor:
        """Return the distances between unit vectors, without the distance scale, in [0, 2], shape (n, classes)."""
        with torch.autocast(features.device.type, enabled=False):
            return euclidean(unit(widened(features, self.prototypes)), unit(self.prototypes))

    def forward(self, features: Tensor) -> Tensor:
        """Return -abs(distance_scale) * distances, shape (n, classes)."""
        return -self.distance_scale.abs() * self.distances(features)

    def scales(self) -> dict[str, float]:
        """Return the absolute distance scale."""
        return {"distance_scale": self.distance_scale.abs().item()}


class IsoMax2Head(PrototypeHead):
    r"""Hyperparameter-free IsoMax: one learnable scale :math:`s_j` and tilt :math:`t_j` per class.

    Class logits are :math:`-s_j d_j - t_j`; detection uses :math:`-d_j`. The scales and tilts learn with a tenth of the
    learning rate and without weight decay.

    Notes
    -----
    Source: "Hyperparameter-Free Isotropic Maximization Loss", equations 2 and 5. The printed equation 6, for detection,
    lacks the minus sign in the exponent; softmax of minus the distances is used. Prototypes and tilts start at 0,
    scales at 10; ``initialisation`` as for :class:`IsoMaxHead`.

    Examples
    --------
    >>> head = IsoMax2Head(num_features=2, num_classes=2)
    >>> head.class_logits(head(torch.tensor([[3.0, 4.0]]))).tolist()
    [[-50.0, -50.0]]
    """

    settings = ("initialisation",)
    slow_parameters = ("class_scales", "class_tilts")

    def __init__(self, num_features: int, num_classes: int, *, initialisation: str | None = None) -> None:
        super().__init__(num_features, num_classes, initialisation=initialisation)
        self.class_scales = nn.Parameter(torch.full((num_classes,), 10.0))
        self.class_tilts = nn.Parameter(torch.zeros(num_classes))

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return scales * logits - tilts, shape (n, classes)."""
        return self.class_scales * logits - self.class_tilts

    def scales(self) -> dict[str, float]:
        """Return mean and standard deviation of the scales and of the tilts over the classes."""
        found: dict[str, float] = {}
        for name, values in (("scale", self.class_scales.detach()), ("tilt", self.class_tilts.detach())):
            found |= {f"{name}_mean": values.mean().item(), f"{name}_std": values.std(correction=0).item()}
        return found


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, slow_factor: float = 0.1, slow_decay: bool = False
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimiser: as asked, but for what heads declare slow or undecayed.

    Parameters
    ----------
    model : Module
        Any module that contains heads.
    lr : float
        Learning rate of all but the slow parameters.
    weight_decay : float
        Weight decay of all but the slow parameters.
    slow_factor : float
        The slow parameters' learning rate as a factor of ``lr``.
    slow_decay : bool
        Whether the slow parameters decay too.

    Returns
    -------
    list of dict
        One group, and another for ``slow_parameters`` and for ``undecayed_parameters`` where a head declares them.

    Notes
    -----
    Source: "Hyperparameter-Free Isotropic Maximization Loss", Supplementary Material B and its Table 3, the ablation.

    Examples
    --------
    >>> groups = parameter_groups(IsoMax2Head(8, 3), lr=0.1, weight_decay=1e-4)
    >>> [(round(group["lr"], 6), group["weight_decay"], len(group["params"])) for group in groups]
    [(0.1, 0.0001, 1), (0.01, 0.0, 2)]
    """
    declared = {
        f"{prefix}.{name}".lstrip("."): attribute
        for attribute in ("slow_parameters", "undecayed_parameters")
        for prefix, module in model.named_modules()
        for name in getattr(module, attribute, ())
    }
    rates = {"": (lr, weight_decay), "slow_parameters": (lr * slow_factor, weight_decay * slow_decay)}
    groups = []
    for kind, (rate, decay) in (rates | {"undecayed_parameters": (lr, 0.0)}).items():
        params = [parameter for name, parameter in model.named_parameters() if declared.get(name, "") == kind]
        if params or not kind:
            groups.append({"params": params, "lr": rate, "weight_decay": decay})
    return groups

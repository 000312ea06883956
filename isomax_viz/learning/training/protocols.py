"""Protocols: how a network is trained, in numbers; the papers' own and shorter ones, and recipes with extra data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from isomax_viz.datasets import OOD_SETS

__all__ = [
    "MADE", "METHODS", "OUTLIER_DATA", "PRECISIONS", "PRESETS", "SELECTIONS", "Protocol", "Recipe", "protocol_for",
]  # fmt: skip

PRECISIONS = ("auto", "float32", "bfloat16")
SELECTIONS = ("last", "best_validation", "best_test")

# What came later: left out of descriptions where it is not used, so that experiments keep their ids.
_LATER = (
    "rise", "padding", "reflect", "alternating_flips", "whitening", "identity_start", "fixed_scales",
    "biases_learning_rate",
)  # fmt: skip
# method -> its name and the weight of its term in the source.
METHODS = {
    "oe": ("Outlier Exposure", 0.5),
    "acet": ("adversarial confidence enhancing training (ACET)", 1.0),
    "energy": ("energy-bounded fine-tuning", 0.1),
}
# Made of the training pictures or drawn; besides them any set of the catalogue that is not measured on.
MADE = ("noise", "permuted")
OUTLIER_DATA = MADE + tuple(name for name in OOD_SETS if name not in ("unseen", "fooling"))


@dataclass(frozen=True)
class Protocol:
    """How a network is trained: stochastic gradient descent with Nesterov momentum and a learning rate that changes.

    Attributes
    ----------
    epochs : int
        Passes over the training set.
    milestones : tuple of int
        After these epochs the learning rate is divided by 10; with ``one_cycle`` there are none.
    batch_size, learning_rate, momentum, weight_decay
        As in the papers: 64, 0.1, 0.9, 1e-4 on every parameter but IsoMax2's scales and tilts.
    augment : bool
        Random crop with padding and horizontal flip, as far as the data set's own hints allow (digits are not flipped).
    warmup_epochs : int
        First epochs at a tenth of the learning rate.
    one_cycle : bool
        Instead of steps: the learning rate rises linearly over a part of the training and falls to zero over the rest,
        changing with every batch. Far fewer epochs are needed than with steps.
    scales_learning_rate : float
        Learning rate of IsoMax2's scales and tilts, as a factor.
    scales_weight_decay : bool
        Whether IsoMax2's scales and tilts decay.
    select : {"last", "best_validation", "best_test"}
        Which epoch's network is kept. "best_test" is what the papers' code does; it looks at the test set, so its
        accuracy is optimistic.
    validation : float
        Share of the training pictures held out, in [0, 1).
    rise : float
        With ``one_cycle``, the share of the training in which the learning rate rises.
    padding : int, optional
        At most so many pixels of padding for the random crops; by default what the data set's own hints say.
    reflect : bool
        Whether pictures are reflected at their edges where they are shifted, instead of black coming in.
    alternating_flips : bool
        Whether every picture is mirrored in every other epoch, beginning with a random half of them, instead of by
        chance: in two epochs both of its sides are seen.
    whitening : int
        From so many training pictures a backbone that has a method ``whiten`` gets fixed filters for its first layer.
    identity_start : bool
        Whether each 3x3 convolution starts with passing on the channels that it receives.
    fixed_scales : bool
        Whether batch normalisation in the backbone keeps its scales at 1; its biases still learn.
    biases_learning_rate : float
        Learning rate of those biases, as a factor; their weight decay is divided by it.

    Notes
    -----
    Source: experiments sections of the papers; IsoMax2 paper, Supplementary Material A and B. What is not theirs:
    Smith & Topin (2018), "Super-Convergence", for one cycle; Jordan (2024), "94% on CIFAR-10 in 3.29 Seconds on a
    Single GPU", and its code: whitening (after Page (2018), "How to Train Your ResNet"), start as identities,
    alternating flips, reflected crops, fixed scales and fast biases, the share of the rise. What some are worth there,
    one after the other, in epochs that reach 94 % (its ablations): whitening 35 to 21, identities 21 to 18, biases (64
    times the rate) 18 to 13.5, alternating flips 10.8 to 9.9. Its label smoothing and its averaging over augmented test
    pictures change the scores and are left out. Chosen on a tenth of CIFAR10's training pictures that was held out, by
    ``fast_cnn_small`` after 8 epochs (accuracy of SoftMax and IsoMax+, one seed): without the last two 89.5 and 90.2 %,
    with 8 times the rate 90.3 and 90.6; with 64 times, rate 0.5, momentum 0.85 and decay 1.3e-3 81.5 and 88.9; without
    them and with decay 1e-3 89.3 and 89.6, with weights averaged every 5 steps (its "lookahead") 88.7 and 89.3.
    """

    epochs: int
    milestones: tuple[int, ...]
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    augment: bool = True
    warmup_epochs: int = 0
    one_cycle: bool = False
    scales_learning_rate: float = 0.1
    scales_weight_decay: bool = False
    select: str = "last"
    validation: float = 0.0
    rise: float = 0.25
    padding: int | None = None
    reflect: bool = False
    alternating_flips: bool = False
    whitening: int = 0
    identity_start: bool = False
    fixed_scales: bool = False
    biases_learning_rate: float = 1.0

    def described(self) -> dict[str, Any]:
        """Return the protocol as JSON values, without those later tricks that it does not use.

        Examples
        --------
        >>> "reflect" in PRESETS["paper"].described(), PRESETS["fast"].described()["whitening"]
        (False, 5000)
        """
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value != usual[name]}

    def augmentation(self, *, padding: int, flip: bool) -> dict[str, Any]:
        """Return how pictures are changed while training, for :meth:`Batches.shuffled`.

        Parameters
        ----------
        padding, flip : int, bool
            What suits the data set.

        Examples
        --------
        >>> PRESETS["fast"].augmentation(padding=4, flip=True)
        {'padding': 2, 'flip': 'alternating', 'reflect': True}
        """
        if not self.augment:
            return {}
        padding = padding if self.padding is None else min(padding, self.padding)
        turns = "alternating" if flip and self.alternating_flips else flip
        return {"padding": padding, "flip": turns, "reflect": self.reflect}

    def learning_rate_factor(self, epoch: int, done: float = 0.0) -> float:
        """Return what the learning rate is multiplied with.

        Parameters
        ----------
        epoch : int
            Counted from 1.
        done : float
            Share of the epoch that is over, in [0, 1]; it matters with ``one_cycle`` only.

        Examples
        --------
        >>> [round(Protocol(epochs=4, milestones=(2, 3)).learning_rate_factor(epoch), 6) for epoch in (1, 2, 3, 4)]
        [1.0, 1.0, 0.1, 0.01]
        >>> cycle = Protocol(epochs=4, milestones=(), one_cycle=True)
        >>> [round(cycle.learning_rate_factor(epoch, 0.5), 3) for epoch in (1, 2, 3, 4)]
        [0.5, 0.833, 0.5, 0.167]
        """
        if self.one_cycle:
            passed = (epoch - 1 + done) / self.epochs
            return min(passed / self.rise, (1 - passed) / (1 - self.rise))
        warmup = 0.1 if epoch <= self.warmup_epochs else 1.0
        return warmup * 0.1 ** sum(epoch > milestone for milestone in self.milestones)

    def with_epochs(self, epochs: int) -> Protocol:
        """Return the protocol with another number of epochs; the milestones move in proportion.

        They stay apart: those that would fall together count once, and the first epoch keeps the full learning rate.

        Examples
        --------
        >>> PRESETS["paper"].with_epochs(30).milestones, PRESETS["paper"].with_epochs(3).milestones
        ((15, 20, 25), (2,))
        """
        moved = dict.fromkeys(max(1, round(m * epochs / self.epochs)) for m in self.milestones)
        return replace(self, epochs=epochs, milestones=tuple(moved))


PRESETS = {
    "smoke": Protocol(epochs=2, milestones=(1,)),
    "teaching": Protocol(epochs=30, milestones=(15, 20, 25)),
    "quick": Protocol(epochs=6, milestones=(), one_cycle=True),
    "fast": Protocol(
        epochs=16, milestones=(), batch_size=256, learning_rate=0.4, weight_decay=5e-4, one_cycle=True, rise=0.2,
        padding=2, reflect=True, alternating_flips=True, whitening=5000, identity_start=True, fixed_scales=True,
        biases_learning_rate=8.0,
    ),
    "paper": Protocol(epochs=300, milestones=(150, 200, 250)),
}  # fmt: skip


def protocol_for(preset: str, *, data: str, backbone: str | Callable, loss: str | Callable) -> Protocol:
    """Return a preset with the papers' two exceptions, TinyImageNet's shorter training and one warm-up.

    The fixed filters, start, scales and the biases' rate of preset "fast" belong to the backbones made for them.

    Examples
    --------
    >>> protocol_for("paper", data="tinyimagenet", backbone="resnet34", loss="isomax+").milestones
    (30, 60)
    >>> protocol_for("paper", data="cifar100", backbone="resnet110", loss="softmax").warmup_epochs
    1
    """
    protocol = PRESETS[preset]
    if preset == "paper" and data == "tinyimagenet":
        protocol = replace(protocol, epochs=90, milestones=(30, 60))
    if preset == "fast" and backbone not in ("fast_cnn", "fast_cnn_small"):
        protocol = replace(protocol, whitening=0, identity_start=False, fixed_scales=False, biases_learning_rate=1.0)
    if (loss, backbone, data) == ("softmax", "resnet110", "cifar100"):
        protocol = replace(protocol, warmup_epochs=1)
    return protocol


@dataclass(frozen=True)
class Recipe:
    """How extra data takes part in a training, in numbers; part of an experiment's id.

    Attributes
    ----------
    method : {"oe", "acet", "energy"}
        See :data:`METHODS`.
    data : str
        See :data:`OUTLIER_DATA`.
    weight : float
        Of the term, beside the cross-entropy.
    margins : (float, float), optional
        For "energy": known pictures shall have an energy below the first, outliers above the second.
    radius : float, optional
        For "acet": by how much each pixel may be changed, on the scale [0, 1].
    steps : int, optional
        For "acet": steps of gradient ascent per batch.
    """

    method: str
    data: str
    weight: float
    margins: tuple[float, float] | None = None
    radius: float | None = None
    steps: int | None = None

    @property
    def fine_tunes(self) -> bool:
        """Whether a network that was trained without extra data is trained on, instead of a new one."""
        return self.method == "energy"

    def protocol(self, plain: Protocol) -> Protocol:
        """Return how the network is trained with the outliers, given how it is trained without.

        Examples
        --------
        >>> tuning = Recipe("energy", "noise", 0.1, margins=(-25.0, -7.0)).protocol(PRESETS["paper"])
        >>> tuning.epochs, tuning.learning_rate
        (10, 0.001)
        """
        if not self.fine_tunes:
            return plain
        # The source takes ten epochs from 0.001 down to almost 0; no longer than the training that came before.
        short = min(10, plain.epochs)
        return replace(plain, epochs=short, milestones=(), learning_rate=0.001, one_cycle=True, warmup_epochs=0,
                       whitening=0, identity_start=False, biases_learning_rate=1.0)  # fmt: skip

    def described(self) -> dict[str, Any]:
        """Return the recipe as JSON values, without what the method does not use."""
        return {name: value for name, value in asdict(self).items() if value is not None}

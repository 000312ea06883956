"""Scores of pictures changed by a small step along the gradient (ODIN, Generalized ODIN), tuned without outliers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from isomax_viz._common.checks import check_number
from isomax_viz.analysis import metrics
from isomax_viz.learning.detectors.base import Detector, Known, pytorch_ood

__all__ = ["GODIN", "ODIN", "STEPS", "adversarial", "better", "choices", "uphill"]

# Steps in grey values (0 to 1) and temperatures among which Lee et al. (2018) validate, but for ODIN's largest steps.
STEPS = (0.0, 0.0005, 0.001, 0.0014, 0.002, 0.0024, 0.005, 0.01)
TEMPERATURES = (1.0, 10.0, 100.0, 1000.0)


def choices(parameter: str, values: Iterable[Any], **bounds: Any) -> list[float]:
    """Return numbers to choose among: at least one, each within the bounds of :func:`check_number`.

    Examples
    --------
    >>> choices("steps", [], at_least=0)
    Traceback (most recent call last):
        ...
    ValueError: steps is empty. Give at least one number to choose among.
    """
    found = [float(check_number(parameter, value, **bounds)) for value in values]
    if not found:
        raise ValueError(f"{parameter} is empty. Give at least one number to choose among.")
    return found


def adversarial(known: Known, pictures: Tensor, labels: Tensor, *, step: float = 0.05) -> Tensor:
    """Return FGSM pictures: each pixel moved by ``step`` so that the loss of the right class grows.

    Parameters
    ----------
    known : Known
        The network, and the normalisation of its pictures.
    pictures : Tensor, shape (n, channels, height, width)
        Normalised.
    labels : Tensor, shape (n,)
        Their classes.
    step : float
        In grey values from 0 to 1; Lee et al. take 0.05 for 32x32 pictures.

    Returns
    -------
    Tensor
        Normalised, within what a picture can be.

    Notes
    -----
    Source: Goodfellow et al. (2015), "Explaining and Harnessing Adversarial Examples".
    """
    network, std = known.network, torch.tensor(known.std, device=pictures.device)[:, None, None]
    mean = torch.tensor(known.data.mean, dtype=std.dtype, device=pictures.device)[:, None, None]
    inputs = pictures.detach().requires_grad_()
    with torch.enable_grad():
        _, class_logits = network.head.both_logits(network.backbone(inputs))
        loss = functional.cross_entropy(class_logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
    return torch.clamp(pictures + step / std * gradient.sign(), -mean / std, (1 - mean) / std)


def better(id_scores: Tensor, other_scores: Tensor) -> tuple[float, float]:
    """Return what a setting is judged by: TNR@TPR95, then AUROC where that ties."""
    found = metrics.ood_metrics(id_scores.cpu().numpy(), other_scores.cpu().numpy())
    return found["TNR@TPR95"], found["AUROC"]


def _probability(logits: Tensor, temperature: float) -> Tensor:
    # In float64: at temperature 1000 all probabilities lie just above 1 / classes, and float32 would tie many of them.
    return functional.softmax(logits.cpu().double() / temperature, dim=1).max(dim=1).values


class ODIN(Detector):
    """Maximum probability at a high temperature of a picture changed so that the network becomes surer of it.

    Parameters
    ----------
    temperatures, steps : sequence of float
        What to choose from; one each for fixed ones (the paper's are 1000 and 0.0014). Steps are in grey values from 0
        to 1.
    pictures : int
        Training pictures to validate on.

    Notes
    -----
    Source: Liang et al. (2018), "Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks",
    equations 1 and 2. Temperature and step are those that tell training pictures best from FGSM pictures made from
    them, as Lee et al. (2018) do; the paper itself validates on out-of-distribution pictures.
    """

    key = "odin"

    def __init__(
        self,
        *,
        temperatures: Sequence[float] = TEMPERATURES,
        steps: Sequence[float] = STEPS,
        pictures: int = 300,
    ) -> None:
        self.temperatures = choices("temperatures", temperatures, above=0)
        self.steps = choices("steps", steps, at_least=0)
        self.pictures = check_number("pictures", pictures, at_least=20, whole=True)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ODIN:
        """Return a detector that need not choose again."""
        return cls(temperatures=[settings["temperature"]], steps=[settings["step"]])

    @property
    def settings(self) -> dict[str, Any]:
        """Temperature and step that were chosen."""
        return {"temperature": self.temperature, "step": self.step}

    def fit(self, known: Known) -> ODIN:
        """Choose temperature and step."""
        super().fit(known)
        self._library = pytorch_ood()
        pairs = list(product(self.temperatures, self.steps))
        if len(pairs) == 1:
            ((self.temperature, self.step),) = pairs
            return self
        real, labels = known.some_training_pictures(self.pictures)
        sides = [self._all_scores(side) for side in (real, adversarial(known, real, labels))]
        self.temperature, self.step = max(pairs, key=lambda pair: better(*(side[pair] for side in sides)))
        return self

    def _all_scores(self, pictures: Tensor) -> dict[tuple[float, float], Tensor]:
        """Return the scores at each temperature and step; the gradient depends on the temperature alone."""
        found = {}
        for temperature in self.temperatures:
            direction = self._direction(pictures, temperature)
            for step in self.steps:
                with torch.no_grad():
                    logits = self.fitted().network(pictures - step * direction)
                found[temperature, step] = _probability(logits, temperature)
        return found

    def _direction(self, pictures: Tensor, temperature: float) -> Tensor:
        known = self.fitted()
        moved = self._library.odin_preprocessing(
            known.network, pictures, eps=1.0, temperature=temperature, norm_std=known.std
        )
        return pictures - moved

    def score(self, pictures: Tensor) -> Tensor:
        """Return the maximum probability of the changed pictures, float64."""
        known = self.fitted()
        if self.step:
            pictures = self._library.odin_preprocessing(
                known.network, pictures, eps=self.step, temperature=self.temperature, norm_std=known.std
            )
        with torch.no_grad():
            return _probability(known.network(pictures), self.temperature)


class GODIN(Detector):
    """Largest logit of a picture changed so that it grows; how much is chosen on training pictures alone.

    Parameters
    ----------
    steps : sequence of float
        What to choose from, in grey values from 0 to 1.
    pictures : int
        Training pictures to choose on.

    Notes
    -----
    Source: Hsu et al. (2020), "Generalized ODIN", section 3.3: the step is the one with the largest mean score of
    in-distribution pictures. Their network (loss ``"godin"``) gives the logits there; any network does.
    """

    key = "godin"

    def __init__(
        self, *, steps: Sequence[float] = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08), pictures: int = 300
    ) -> None:
        self.steps = choices("steps", steps, at_least=0)
        self.pictures = check_number("pictures", pictures, at_least=1, whole=True)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> GODIN:
        """Return a detector that need not choose again."""
        return cls(steps=[settings["step"]])

    @property
    def settings(self) -> dict[str, Any]:
        """Step that was chosen."""
        return {"step": self.step}

    def fit(self, known: Known) -> GODIN:
        """Choose the step."""
        super().fit(known)
        real, _ = known.some_training_pictures(self.pictures)
        direction = self._direction(real)
        with torch.no_grad():
            means = {step: _largest(known.network)(real + step * direction).mean().item() for step in self.steps}
        self.step = max(means, key=means.__getitem__)
        return self

    def _direction(self, pictures: Tensor) -> Tensor:
        known = self.fitted()
        return (
            uphill(_largest(known.network), pictures) / torch.tensor(known.std, device=pictures.device)[:, None, None]
        )

    def score(self, pictures: Tensor) -> Tensor:
        """Return the largest logit of the changed pictures."""
        network = self.fitted().network
        moved = pictures + self.step * self._direction(pictures)
        with torch.no_grad():
            return _largest(network)(moved)


def _largest(network: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda pictures: network(pictures).max(dim=1).values


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

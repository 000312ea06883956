"""Scores of pictures changed by a small step along the gradient (ODIN, Generalized ODIN), tuned without outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from isomax_viz.analysis import metrics
from isomax_viz.learning.detectors.base import Detector, Known, option, pytorch_ood
from isomax_viz.learning.training.outliers import uphill

__all__ = ["GODIN", "ODIN", "STEPS", "adversarial", "better"]

# Steps in grey values (0 to 1) and temperatures among which Lee et al. (2018) validate, but for ODIN's largest steps.
STEPS = (0.0, 0.0005, 0.001, 0.0014, 0.002, 0.0024, 0.005, 0.01)
TEMPERATURES = (1.0, 10.0, 100.0, 1000.0)


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
    network, std = known.network, known.std
    mean = torch.tensor(known.data.mean, dtype=std.dtype, device=std.device)[:, None, None]

    def loss(inputs: Tensor) -> Tensor:
        _, class_logits = network.head.both_logits(network.backbone(inputs))
        return functional.cross_entropy(class_logits, labels, reduction="none")

    return torch.clamp(pictures + step / std * uphill(loss, pictures), -mean / std, (1 - mean) / std)


def better(id_scores: Tensor, other_scores: Tensor) -> tuple[float, float]:
    """Return what a setting is judged by: TNR@TPR95, then AUROC where that ties."""
    found = metrics.ood_metrics(id_scores.cpu().numpy(), other_scores.cpu().numpy())
    return found["TNR@TPR95"], found["AUROC"]


@dataclass(kw_only=True, repr=False, eq=False)
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
    temperatures: Sequence[float] = option(TEMPERATURES, above=0)
    steps: Sequence[float] = option(STEPS, at_least=0)
    pictures: int = option(300, at_least=20, whole=True)

    def learn(self, known: Known) -> dict[str, Any]:
        """Choose temperature and step."""
        self._library = pytorch_ood()
        pairs = list(product(self.temperatures, self.steps))
        if len(pairs) > 1:
            real, labels = known.some_training_pictures(self.pictures)
            sides = [self._all_scores(side) for side in (real, adversarial(known, real, labels))]
            pairs = [max(pairs, key=lambda pair: better(*(side[pair] for side in sides)))]
        ((self.temperature, self.step),) = pairs
        return {"temperature": self.temperature, "step": self.step}

    def _all_scores(self, pictures: Tensor) -> dict[tuple[float, float], Tensor]:
        """Return the scores at each temperature and step; the gradient depends on the temperature alone."""
        found: dict[tuple[float, float], Tensor] = {}
        for temperature in self.temperatures:
            direction = self._direction(pictures, temperature)
            found |= {(temperature, step): self._at(pictures - step * direction, temperature) for step in self.steps}
        return found

    def _direction(self, pictures: Tensor, temperature: float) -> Tensor:
        known, whole = self.fitted(), {"eps": 1.0, "norm_std": self.fitted().data.std.tolist()}
        return pictures - self._library.odin_preprocessing(known.network, pictures, temperature=temperature, **whole)

    @torch.no_grad()
    def _at(self, pictures: Tensor, temperature: float) -> Tensor:
        # In float64: at temperature 1000 all probabilities lie just above 1 / classes, and float32 would tie many.
        logits = self.fitted().network(pictures).cpu().double()
        return functional.softmax(logits / temperature, dim=1).max(dim=1).values

    def score(self, pictures: Tensor) -> Tensor:
        """Return the maximum probability of the changed pictures, float64."""
        self.fitted()
        if self.step:
            pictures = pictures - self.step * self._direction(pictures, self.temperature)
        return self._at(pictures, self.temperature)


@dataclass(kw_only=True, repr=False, eq=False)
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
    steps: Sequence[float] = option((0.0025, 0.005, 0.01, 0.02, 0.04, 0.08), at_least=0)
    pictures: int = option(300, at_least=1, whole=True)

    def learn(self, known: Known) -> dict[str, Any]:
        """Choose the step."""
        real, _ = known.some_training_pictures(self.pictures)
        direction = uphill(self._largest, real) / known.std
        with torch.no_grad():
            means = {step: self._largest(real + step * direction).mean().item() for step in self.steps}
        self.step = max(means, key=means.__getitem__)
        return {"step": self.step}

    def _largest(self, pictures: Tensor) -> Tensor:
        return self.fitted().network(pictures).max(dim=1).values

    def score(self, pictures: Tensor) -> Tensor:
        """Return the largest logit of the changed pictures."""
        known = self.fitted()
        moved = pictures + self.step / known.std * uphill(self._largest, pictures)
        with torch.no_grad():
            return self._largest(moved)

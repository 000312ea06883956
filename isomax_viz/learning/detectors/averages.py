"""Probabilities averaged over several answers: random dropouts of one network, or networks of several seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet
from isomax_viz.learning.detectors.base import Detector, Known, numbers, option, pytorch_ood

__all__ = ["Ensemble", "MCDropout"]


@dataclass(kw_only=True, repr=False, eq=False)
class MCDropout(Detector):
    """Maximum of the probabilities averaged over passes in each of which other features are dropped.

    Parameters
    ----------
    passes : int
        Forward passes.
    rate : float
        Of the dropout that a network without any gets before its head. It was not trained with it: this is not quite
        the method of the paper.
    seed : int
        Of the dropouts; the same for each batch of pictures.

    Notes
    -----
    Source: Gal and Ghahramani (2016), "Dropout as a Bayesian Approximation". Only the score is averaged; classification
    is left to the network.
    """

    key = "mc_dropout"
    passes: int = option(30, at_least=1, whole=True)
    rate: float = option(0.2, above=0, at_most=0.99)
    seed: int = option(0, at_least=0, whole=True)

    def learn(self, known: Known) -> dict[str, Any]:
        """Find where features are dropped; the rate is told where dropout was put in."""
        self._library = pytorch_ood()
        kinds = (nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
        self._own = any(isinstance(module, kinds) and module.p > 0 for module in known.network.modules())
        return {"passes": self.passes, "seed": self.seed, "rate": None if self._own else self.rate}

    def score(self, pictures: Tensor) -> Tensor:
        """Return the maximum of the mean probabilities."""
        network = self.fitted().network
        if self._own:
            noisy, inputs = network, pictures
        else:  # what lies before the dropout is the same in all passes
            noisy = nn.Sequential(nn.Dropout(self.rate), network.head).eval()
            with torch.no_grad():
                inputs = network.backbone(pictures).float()
        devices = [pictures.device] if pictures.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.seed)
            means = self._library.MCD.run_mean(noisy, inputs, self.passes)
        return means.max(dim=1).values


class Ensemble(Detector):
    """Maximum of the probabilities averaged over networks of several seeds.

    Parameters
    ----------
    members : iterable of Capture
        What the other networks said about the same pictures.
    networks : iterable of Module, optional
        They themselves, needed only to score pictures that are not captured (and to measure the costs).

    Notes
    -----
    Source: Lakshminarayanan et al. (2017), "Simple and Scalable Predictive Uncertainty Estimation using Deep
    Ensembles", without its adversarial training.
    """

    key = "ensemble"
    needs = ()

    def __init__(self, *, members: Iterable[Capture] = (), networks: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.members, self.networks = list(members), list(networks)
        if not self.members:
            remedy = "Give iv.add_scores(capture, 'ensemble', members=[Experiment(..., seed=1).run(), ...])."
            raise ValueError(f"members must hold at least one capture of another seed. {remedy}")
        for member in self.members:
            if not isinstance(member, Capture):
                raise TypeError(f"members must hold captures, but holds a {type(member).__name__}.")

    def learn(self, known: Known) -> dict[str, Any]:
        """Check that all networks saw the same pictures."""
        for member in self.members:
            if not np.array_equal(member.test.labels, known.capture.test.labels):
                raise ValueError("members must be captures of the same test pictures, but their labels differ.")
        for network in self.networks:
            network.to(known.device).eval()
        self.extra_parameters = numbers(*(weights for network in self.networks for weights in network.parameters()))
        return {"seeds": [member.meta.get("seed") for member in self.members]}

    def probabilities(self, name: str, samples: Samples) -> np.ndarray:
        """Return the mean probabilities of a set, shape (n, classes)."""
        capture, answers = self.fitted().capture, [samples.probabilities]
        for member in self.members:
            found = member.samples.get(name)
            told = [item.meta.get("ood", {}).get(name, {}).get("fingerprint") for item in (capture, member)]
            if found is None or len(found) != len(samples) or (None not in told and told[0] != told[1]):
                lacks = f"A member of the ensemble has no capture of the same pictures of the set {name!r}"
                raise ValueError(f"{lacks}. Record it with Experiment.run(ood=...).")
            answers.append(found.probabilities)
        return np.stack(answers).mean(axis=0, dtype=np.float64)

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that the mean probabilities classify correctly, in [0, 1]."""
        test = self.fitted().capture.test
        return float((self.probabilities("test", test).argmax(axis=1) == test.labels).mean())

    def column(self, name: str, samples: Samples, pictures: Callable[[], ImageSet]) -> np.ndarray:
        """Return the maximum of the mean probabilities of a set; its pictures are not looked at."""
        return self.probabilities(name, samples).max(axis=1)

    def score(self, pictures: Tensor) -> Tensor:
        """Return the maximum of the mean probabilities of all networks."""
        known = self.fitted()
        known.check(self.key, ("network",))
        if len(self.networks) != len(self.members):
            raise ValueError("networks must hold the network of each member to score pictures that are not captured.")
        with torch.no_grad():
            answers = [network(pictures).softmax(dim=1) for network in (known.network, *self.networks)]
        return torch.stack(answers).mean(dim=0).max(dim=1).values

"""What all detectors share: what they are fitted on, and how one gives a number per picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from isomax_viz._common.checks import check_number, missing_package
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.samples import Samples
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.hardware import suitable_layout, suitable_threads

__all__ = ["Detector", "FeatureDetector", "Known", "NotFittedError", "joined", "numbers", "option", "pytorch_ood"]

_CHUNK = 5000  # captured features at once: a distance matrix to all training features must fit
_MEANING = {"network": "the network", "data": "the training pictures"}


class NotFittedError(RuntimeError):
    """A detector was asked for scores before it was fitted."""


def pytorch_ood() -> ModuleType:
    """Return pytorch-ood's detectors.

    Raises
    ------
    ImportError
        If the library is not installed; the message says how to install it.
    """
    try:
        import pytorch_ood.detector as library
    except ImportError as error:
        raise missing_package("pytorch-ood", "compute this score", install="pytorch-ood") from error
    return library


def numbers(*tensors: Tensor | np.ndarray) -> int:
    """Return how many numbers some tensors hold.

    Examples
    --------
    >>> numbers(torch.zeros(2, 3), torch.zeros(4))
    10
    """
    return sum(int(np.prod(tensor.shape)) for tensor in tensors)


@dataclass(frozen=True, eq=False)
class Known:
    """What detectors may be fitted on: in-distribution training pictures and what the network said about them.

    Parameters
    ----------
    capture : Capture
        With the training samples.
    network : Module, optional
        Has ``backbone`` and ``head``; moved to the device, in evaluation mode.
    data : InDistribution, optional
        The pictures behind the capture.
    device : torch.device
        Where to compute.
    """

    capture: Capture
    network: nn.Module = None
    data: InDistribution = None  # type: ignore[assignment]  # `check` says first what a detector lacks
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        if self.network is not None:
            self.network.to(self.device, memory_format=suitable_layout(self.device)).eval()

    def check(self, key: str, needs: tuple[str, ...]) -> None:
        """Raise an error if a score can't do without what is missing here."""
        for name in needs:
            if getattr(self, name) is None:
                remedy = f"Pass {name}=... to iv.add_scores, or use a capture of Experiment(...).run(), which knows it."
                raise ValueError(f"The score {key!r} needs {_MEANING[name]}, but {name} is not given. {remedy}")

    @property
    def train(self) -> Samples:
        """The training samples, with features."""
        train = self.capture.train
        if train is None or train.features is None:
            remedy = "Record them with Experiment.run() or learning.recording.record_capture."
            raise ValueError(f"The capture carries no training features, which this score is fitted on. {remedy}")
        return train

    @cached_property
    def features(self) -> Tensor:
        """Training features on the device, shape (n, features)."""
        return torch.tensor(self.train.features, device=self.device)

    @cached_property
    def labels(self) -> Tensor:
        """Training labels on the device, shape (n,)."""
        return torch.tensor(self.train.labels, device=self.device)

    @cached_property
    def std(self) -> Tensor:
        """Standard deviation of the pictures' channels, by which steps in grey values are divided, (channels, 1, 1)."""
        return torch.tensor(self.data.std, dtype=torch.float32, device=self.device)[:, None, None]

    def batches(self, images: ImageSet) -> Batches:
        """Return pictures normalised as the network was trained on them."""
        data, layout = self.data, suitable_layout(self.device)
        return Batches(images, mean=data.mean, std=data.std, device=self.device, layout=layout)

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Use as many threads as suit the size of the pictures, in PyTorch and in what else computes scores.

        scikit-learn and NumPy's linear algebra count threads of their own: a search for neighbours would take all cores
        beside networks that run on one, and costs would be compared that were not measured alike.
        """
        from threadpoolctl import threadpool_limits  # comes with scikit-learn

        side = 1000 if self.data is None else self.data.train.size[0]
        with suitable_threads(self.device, side=side), threadpool_limits(torch.get_num_threads()):
            yield

    def inputs(self, images: ImageSet) -> Iterator[Tensor]:
        """Yield normalised pictures in batches that suit the device."""
        return (pictures for pictures, _ in self.batches(images).in_order())

    def some_training_pictures(self, n: int) -> tuple[Tensor, Tensor]:
        """Return up to n training pictures, drawn without replacement, with their labels."""
        chosen = np.random.default_rng(0).permutation(len(self.data.train))[:n]
        return next(iter(self.batches(self.data.train.subset(np.sort(chosen))).in_order(n)))


def option(default: float | tuple[float, ...] | None, **bounds: Any) -> Any:
    """Return an option of a detector, a field of its dataclass: a number within bounds, or several to choose among.

    Examples
    --------
    >>> @dataclass(kw_only=True, repr=False, eq=False)
    ... class Mine(Detector):
    ...     passes: int = option(30, at_least=1, whole=True)
    >>> Mine(passes=0)
    Traceback (most recent call last):
        ...
    ValueError: passes must be a whole number of at least 1, but is 0.
    """
    return field(default=default, metadata=bounds)


@dataclass(kw_only=True, repr=False, eq=False)
class Detector:
    """A score that is fitted on in-distribution training data; higher = more in-distribution.

    A detector of your own needs ``key``, ``learn`` and ``score``; its options may be fields, see :func:`option`.

    Attributes
    ----------
    settings : dict
        What was chosen or learned, as JSON values; kept in the capture's ``meta``.
    extra_parameters : int
        How many numbers have to be kept beside the network.
    """

    key: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("network", "data")
    known: Known | None = field(default=None, init=False)
    settings: dict[str, Any] = field(default_factory=dict, init=False)
    extra_parameters: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for item in fields(self):
            value, several = getattr(self, item.name), isinstance(item.default, tuple)
            if item.metadata and value is not None:
                kind, values = int if "whole" in item.metadata else float, value if several else [value]
                found = [kind(check_number(item.name, one, **item.metadata)) for one in values]
                if not found:
                    raise ValueError(f"{item.name} is empty. Give at least one number to choose among.")
                setattr(self, item.name, found if several else found[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.known is None else self.settings})"

    @classmethod
    def _options(cls) -> list[str]:
        return [item.name for item in fields(cls) if item.init]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return a detector that need not choose again what ``settings`` told."""
        # What is not told, or is told as None, was not chosen: earlier versions knew no seed.
        told = {name: settings[name] for name in cls._options() if settings.get(name) is not None}
        # Of several "steps" one "step" was chosen.
        told |= {name: [settings[name[:-1]]] for name in cls._options() if name[:-1] in settings}
        return cls(**told)

    def fit(self, known: Known) -> Self:
        """Fit on in-distribution training data and return itself."""
        known.check(self.key, self.needs)
        self.known = known
        self.settings = self.learn(known) or {name: getattr(self, name) for name in self._options()}
        return self

    def learn(self, known: Known) -> dict[str, Any] | None:
        """Take from the training data what the score needs; return what was chosen, if that is not the options."""

    def score(self, pictures: Tensor) -> Tensor:
        """Return one number per normalised picture, shape (n,)."""
        raise NotImplementedError

    def column(self, name: str, samples: Samples, pictures: Callable[[], ImageSet]) -> np.ndarray:
        """Return one number per sample of a set, shape (n,).

        Parameters
        ----------
        name : str
            "test" or the name of an out-of-distribution set.
        samples : Samples
            What the network said about the set.
        pictures : callable
            Loads the pictures behind them.
        """
        return joined(self.score(inputs) for inputs in self.fitted().inputs(pictures()))

    def fitted(self) -> Known:
        """Return what the detector was fitted on.

        Raises
        ------
        NotFittedError
            If it was not.
        """
        if self.known is None:
            remedy = f"Call .fit(known) first, or use iv.add_scores(capture, {self.key!r}), which does."
            raise NotFittedError(f"{type(self).__name__} is not fitted. {remedy}")
        return self.known


class FeatureDetector(Detector):
    """A detector that needs nothing of a picture but its features and logits: captured ones serve as well."""

    needs: ClassVar[tuple[str, ...]] = ()

    def score_features(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return one number per row of features (n, features) and logits (n, classes)."""
        raise NotImplementedError

    def score(self, pictures: Tensor) -> Tensor:
        """Return one number per normalised picture, shape (n,)."""
        known = self.fitted()
        known.check(self.key, ("network",))
        with torch.no_grad():
            features = known.network.backbone(pictures).float()
            return self.score_features(features, known.network.head(features))

    def column(self, name: str, samples: Samples, pictures: Callable[[], ImageSet]) -> np.ndarray:
        """Return one number per sample from its captured features; the pictures are not looked at."""
        known = self.fitted()
        if samples.features is None:
            raise ValueError(f"The set {name!r} carries no features, which the score {self.key!r} needs. Record them.")
        wanted = known.train.require("features").shape[1]
        if samples.features.shape[1] != wanted:
            raise ValueError(
                f"The set {name!r} has {samples.features.shape[1]} features, but {self.key!r} was fitted on {wanted}. "
                "Record both with the same network."
            )
        arrays, starts = (samples.features, samples.require("logits")), range(0, len(samples), _CHUNK)
        parts = ([torch.tensor(array[i : i + _CHUNK], device=known.device) for array in arrays] for i in starts)
        with torch.no_grad():
            return joined(self.score_features(*part) for part in parts)


def joined(parts: Iterable[Tensor]) -> np.ndarray:
    """Return scores of several batches as one array."""
    return torch.cat([part.detach().cpu() for part in parts]).numpy()

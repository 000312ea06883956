"""Experiment: one frozen, validated description -> id -> trained network and capture in the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from isomax_viz import datasets, running
from isomax_viz._checks import check_choice, check_number
from isomax_viz.captures import Capture
from isomax_viz.datasets import ImageSet
from isomax_viz.learning.backbones import BACKBONES, Classifier
from isomax_viz.learning.devices import PRECISIONS
from isomax_viz.learning.losses import HEADS
from isomax_viz.learning.protocols import PRESETS, SELECTIONS, Protocol, protocol_for
from isomax_viz.store import Store
from isomax_viz.style import loss_style

__all__ = ["Experiment"]

# Raise it when the same description would train another network: stored results then count as another experiment's.
REVISION = 2

_CHOICES = {
    "data": datasets.ID_SETS,
    "backbone": BACKBONES,
    "loss": HEADS,
    "preset": PRESETS,
    "select": SELECTIONS,
    "precision": PRECISIONS,
}
_BOUNDS = {
    "entropic_scale": {"above": 0},
    "seed": {"at_least": 0, "at_most": 2**32 - 1, "whole": True},
    "epochs": {"at_least": 1, "whole": True},
    "examples_per_class": {"at_least": 1, "whole": True},
    "validation": {"at_least": 0, "at_most": 0.9},
    "scales_learning_rate": {"at_least": 0},
}
_OPTIONAL = ("epochs", "examples_per_class")


class Experiment(BaseModel):
    """One training, described completely: what is trained, on what, and how.

    Parameters
    ----------
    data : str
        In-distribution data set; see :data:`isomax_viz.datasets.ID_SETS`.
    backbone : str
        See :data:`isomax_viz.learning.backbones.BACKBONES`.
    loss : str
        See :data:`isomax_viz.learning.losses.HEADS`.
    entropic_scale : float
        Above 0; used by IsoMax and IsoMax+ only.
    seed : int
        Determines initial weights, shuffling and augmentation.
    preset : str
        Training protocol: "smoke" (two epochs), "teaching" (embedded data, seconds), "quick" (pictures of
        CIFAR's size on a CPU, minutes), "paper".
    epochs : int, optional
        Another number of epochs; the preset's milestones move in proportion.
    held_out_classes : tuple of int
        Classes to train without; they become the near out-of-distribution set ``"unseen"``.
    examples_per_class : int, optional
        Train with so many pictures of each class (robustness study of the IsoMax2 paper); the seed says which.
    select : str
        Which epoch's network is kept: "last", "best_validation", or "best_test", which is what the papers' code does
        and which makes the test accuracy optimistic.
    validation : float
        Share of the training pictures held out for watching, in [0, 0.9].
    scales_learning_rate : float
        Learning rate of IsoMax2's scales and tilts, as a factor.
    scales_weight_decay : bool
        Whether IsoMax2's scales and tilts decay.
    precision : str
        Number format of the backbone while training: "auto", "float32", "bfloat16".

    Raises
    ------
    ValueError
        For unknown names and impossible values; the message lists what is accepted.

    Examples
    --------
    >>> experiment = Experiment(loss="isomax+", preset="smoke")
    >>> Experiment.from_json(experiment.to_json()) == experiment
    True
    >>> Experiment(loss="softmax", entropic_scale=3).id == Experiment(loss="softmax").id
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = "digits"
    backbone: str = "small_cnn"
    loss: str = "isomax+"
    entropic_scale: float = 10.0
    seed: int = 0
    preset: str = "teaching"
    epochs: int | None = None
    held_out_classes: tuple[int, ...] = ()
    examples_per_class: int | None = None
    select: str = "last"
    validation: float = 0.0
    scales_learning_rate: float = 0.1
    scales_weight_decay: bool = False
    precision: str = "auto"

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ValueError(_in_plain_words(error, accepted=type(self).model_fields)) from None

    @field_validator(*_CHOICES, mode="before")
    @classmethod
    def _known(cls, value: Any, info: Any) -> str:
        return check_choice(info.field_name, value, _CHOICES[info.field_name])

    @field_validator("held_out_classes", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    @field_validator(*_BOUNDS, mode="before")
    @classmethod
    def _number(cls, value: Any, info: Any) -> Any:
        if value is None and info.field_name in _OPTIONAL:
            return None
        try:
            return check_number(info.field_name, value, **_BOUNDS[info.field_name])
        except TypeError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _possible(self) -> Experiment:
        classes = int(datasets.ID_SETS[self.data].classes)
        held_out = tuple(sorted(set(self.held_out_classes)))
        unknown = [label for label in held_out if not 0 <= label < classes]
        if unknown:
            raise ValueError(f"held_out_classes must lie in 0 .. {classes - 1} for {self.data!r}, but holds {unknown}.")
        if classes - len(held_out) < 2:
            raise ValueError(f"held_out_classes leaves {classes - len(held_out)} of {classes} classes; keep 2 or more.")
        if self.select == "best_validation" and not self.validation:
            raise ValueError("select='best_validation' needs pictures held out for it: set validation=0.1 or the like.")
        object.__setattr__(self, "held_out_classes", held_out)
        return self

    def model_copy(self, *, update: dict[str, Any] | None = None, deep: bool = False) -> Experiment:
        """Return the experiment with some settings replaced, validated like any other.

        Examples
        --------
        >>> Experiment(seed=0).model_copy(update={"seed": 5}).seed
        5
        """
        return type(self)(**(self.model_dump() | (update or {})))

    @property
    def protocol(self) -> Protocol:
        """The training protocol: the preset's, with this experiment's own settings applied."""
        protocol = protocol_for(self.preset, data=self.data, backbone=self.backbone, loss=self.loss)
        if self.epochs is not None:
            protocol = protocol.with_epochs(self.epochs)
        scales = {"scales_learning_rate": self.scales_learning_rate, "scales_weight_decay": self.scales_weight_decay}
        own = scales if HEADS[self.loss].slow_parameters else {}  # settings that a loss does not use do not count
        return replace(protocol, select=self.select, validation=self.validation, **own)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the loss uses, for its head."""
        return {name: getattr(self, name) for name in HEADS[self.loss].settings}

    @property
    def id(self) -> str:
        """Readable name and hash of all that determines the network (not OOD sets, device or place)."""
        names = ("data", "backbone", "loss", "seed", "held_out_classes", "examples_per_class", "precision")
        content = {name: getattr(self, name) for name in names} | self.settings
        content |= {"protocol": asdict(self.protocol), "revision": REVISION}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.data}-{self.backbone}-{self.loss}-{self.preset}-s{self.seed}-{digest}"

    @property
    def title(self) -> str:
        """Words for progress bars and messages."""
        return " · ".join([loss_style(self.loss).label, self.data, self.backbone, f"seed {self.seed}"])

    def to_json(self) -> str:
        """Return the description as JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Experiment:
        """Return the experiment that :meth:`to_json` described.

        Raises
        ------
        ValueError
            If the text is no JSON object or describes no possible experiment.
        """
        try:
            settings = json.loads(text)
        except ValueError as error:
            raise ValueError(f"This is no JSON: {error}. Write it with experiment.to_json().") from None
        if not isinstance(settings, dict):
            raise ValueError(f"An experiment is a JSON object, but this is {text[:40]!r}.")
        return cls(**settings)

    def run(
        self,
        ood: Iterable[str | ImageSet] | str | ImageSet | None = None,
        *,
        device: str | torch.device | None = None,
        store: Store | str | Path | None = None,
        compile: bool | str | None = None,
        deterministic: bool = False,
        progress: bool = True,
    ) -> Capture:
        """Train once, then read the store; out-of-distribution sets are recorded on demand and join the capture.

        A training that was interrupted goes on where it was.

        Parameters
        ----------
        ood : iterable of str or ImageSet, optional
            Which out-of-distribution sets the capture shall hold; by default those of the data set.
        device : str or torch.device, optional
            Where to compute; by default the best there is. It does not change the id.
        store : Store, str or Path, optional
            By default :func:`isomax_viz.store.default_folder`.
        compile : bool or str, optional
            Compile the backbone, in that mode of ``torch.compile``; by default once a training is long enough to repay
            it.
        deterministic : bool
            Identical numbers from run to run on CUDA too, at some cost in speed; on the CPU they are identical anyway.
        progress : bool
            Show progress bars.

        Returns
        -------
        Capture

        Raises
        ------
        StoreError
            If the store can't be written.
        TrainingError
            If the loss becomes non-finite.
        """
        store = store if isinstance(store, Store) else Store(store)
        options = {"compile": compile, "deterministic": deterministic}
        return running.run(self, ood, store=store, device=device, progress=progress, **options)

    def network(self, *, store: Store | str | Path | None = None) -> Classifier:
        """Return the trained network on the CPU, in evaluation mode.

        Raises
        ------
        StoreError
            If the experiment has not been run, or its weights are damaged.
        """
        return running.load_network(self, store=store if isinstance(store, Store) else Store(store))


def _in_plain_words(error: ValidationError, *, accepted: Iterable[str]) -> str:
    sentences = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "value_error":
            sentences.append(str(item["ctx"]["error"]))
        elif item["type"] == "extra_forbidden":
            sentences.append(f"Experiment has no setting {name!r}; it has {', '.join(accepted)}.")
        else:
            sentences.append(f"{name}: {item['msg']} (received {item['input']!r}).")
    return " ".join(sentences)

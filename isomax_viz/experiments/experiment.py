"""Experiment: one frozen, validated description -> id -> trained network and capture in the store."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_serializer, field_validator, model_validator

from isomax_viz import datasets
from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import loss_style
from isomax_viz.datasets import ImageSet
from isomax_viz.experiments import run as running
from isomax_viz.learning.backbones import BACKBONES, Classifier
from isomax_viz.learning.custom_code import check_own, find_own, fingerprint, name_of, reference
from isomax_viz.learning.losses import DISTANCES, FUNCTIONS, HEADS, SIMILARITIES, Head
from isomax_viz.learning.training.hardware import PRECISIONS
from isomax_viz.learning.training.outliers import METHODS, OUTLIER_DATA, Recipe
from isomax_viz.learning.training.protocols import PRESETS, SELECTIONS, Protocol, protocol_for
from isomax_viz.store.folder import Store

__all__ = ["Description", "Experiment", "OF_HEADS", "OF_OUTLIERS", "Settings"]


class Description(BaseModel):
    """What an :class:`~isomax_viz.Experiment` is, apart from its settings.

    Examples
    --------
    >>> class Recipe(Description):
    ...     minutes: int = 10
    >>> Recipe(hours=1)
    Traceback (most recent call last):
        ...
    ValueError: Recipe has no setting 'hours'; it has minutes.
    >>> Recipe(minutes=10), Recipe(minutes=5)
    (Recipe(), Recipe(minutes=5))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ValueError(_in_plain_words(error, type(self).__name__, type(self).model_fields)) from None

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        # As one would type it: what is left at its default is left out.
        for name, field in type(self).model_fields.items():
            if getattr(self, name) != field.default:
                yield name, getattr(self, name)

    def model_copy(self, *, update: dict[str, Any] | None = None, deep: bool = False) -> Self:
        """Return the description with some settings replaced, validated like any other.

        Examples
        --------
        >>> from isomax_viz import Experiment
        >>> Experiment(seed=0).model_copy(update={"seed": 5}).seed
        5
        """
        return type(self)(**(self.model_dump() | (update or {})))

    def to_json(self) -> str:
        """Return the description as JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what :meth:`to_json` described.

        A head or backbone of your own is written as ``module:name#fingerprint``. It is looked up among the modules of
        your own that are imported already, and refused where it has been changed since; nothing is imported because a
        file says so, and nothing of a library is called.

        Raises
        ------
        ValueError
            If the text is no JSON object or describes nothing possible, or if something of your own is not found as it
            was.
        """
        try:
            settings = json.loads(text)
        except ValueError as error:
            raise ValueError(f"This is no JSON: {error}. Write it with experiment.to_json().") from None
        if not isinstance(settings, dict):
            raise ValueError(f"An experiment is a JSON object, but this is {text[:40]!r}.")
        return cls(**settings)


# What the papers and other packages call a setting.
SYNONYMS = {"alpha": "entropic_scale", "lr": "preset", "dataset": "data", "model": "backbone", "network": "backbone"}


def _in_plain_words(error: ValidationError, kind: str, accepted: Iterable[str]) -> str:
    sentences = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "value_error":
            sentences.append(str(item["ctx"]["error"]))
        elif item["type"] == "extra_forbidden":
            near = (
                [SYNONYMS[name]] if SYNONYMS.get(name) in accepted else difflib.get_close_matches(name, accepted, n=1)
            )
            hint = f" Did you mean {near[0]!r}?" if near else ""
            sentences.append(f"{kind} has no setting {name!r}; it has {', '.join(accepted)}.{hint}")
        else:
            sentences.append(f"{name}: {item['msg']} (received {item['input']!r}).")
    return " ".join(sentences)


_CHOICES = {
    "data": datasets.ID_SETS,
    "preset": PRESETS,
    "select": SELECTIONS,
    "precision": PRECISIONS,
    "distance": DISTANCES,
    "training_function": FUNCTIONS,
    "detection_function": FUNCTIONS,
    "similarity": SIMILARITIES,
    "outliers": METHODS,
    "outlier_data": OUTLIER_DATA,
}
# Where an object of the reader's own is accepted beside a key.
_OBJECTS = {"backbone": BACKBONES, "loss": HEADS}
_BOUNDS = {
    "entropic_scale": {"above": 0},
    "temperature": {"above": 0},
    "outlier_weight": {"above": 0},
    "adversarial_radius": {"above": 0, "at_most": 1},
    "adversarial_steps": {"at_least": 1, "whole": True},
    "seed": {"at_least": 0, "at_most": 2**32 - 1, "whole": True},
    "epochs": {"at_least": 1, "whole": True},
    "examples_per_class": {"at_least": 1, "whole": True},
    "validation": {"at_least": 0, "at_most": 0.9},
    "scales_learning_rate": {"at_least": 0},
}
_OPTIONAL = ("epochs", "examples_per_class", "outliers", "outlier_weight", "adversarial_steps")
# The settings that only some heads use, and those of training with extra data.
OF_HEADS = ("entropic_scale", "distance", "training_function", "detection_function", "similarity", "temperature")
OF_OUTLIERS = ("outlier_data", "outlier_weight", "energy_margins", "adversarial_radius", "adversarial_steps")


class Settings(Description):
    """What an :class:`~isomax_viz.Experiment` is told, without what follows from it; see there for each setting."""

    data: str = "digits"
    backbone: str | Callable[..., Any] = "small_cnn"
    loss: str | Callable[..., Any] = "isomax+"
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
    distance: str = "euclidean"
    training_function: str = "scaled"
    detection_function: str = "identity"
    similarity: str = "cosine"
    temperature: float = 0.04
    outliers: str | None = None
    outlier_data: str = "noise"
    outlier_weight: float | None = None
    energy_margins: tuple[float, float] | None = None
    adversarial_radius: float = 0.3
    adversarial_steps: int | None = None

    @field_validator(*_CHOICES, mode="before")
    @classmethod
    def _known(cls, value: Any, info: Any) -> Any:
        if value is None and info.field_name in _OPTIONAL:
            return None
        return check_choice(info.field_name, value, _CHOICES[info.field_name])

    @field_validator(*_OBJECTS, mode="before")
    @classmethod
    def _known_or_own(cls, value: Any, info: Any) -> Any:
        name = info.field_name
        if isinstance(value, str) and ":" in value:
            value = find_own(name, value)
        if isinstance(value, str):
            return check_choice(name, value, _OBJECTS[name], remedy="A class or function of your own is accepted too.")
        return check_own(name, value, accepted=f"one of {', '.join(map(repr, _OBJECTS[name]))}, a class or a function")

    @field_serializer(*_OBJECTS, when_used="json")
    def _as_text(self, value: Any) -> str:
        return value if isinstance(value, str) else reference(value)

    @field_validator("held_out_classes", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if isinstance(value, (bool, str, float)):
            raise ValueError(f"held_out_classes must be class numbers such as (8, 9), but is {value!r}.")
        return (value,) if isinstance(value, (int, np.integer)) else value

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
    def _possible(self) -> Self:
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
        self._check_loss()
        self._check_outliers()
        return self

    def _check_loss(self) -> None:
        if isinstance(self.loss, type) and not issubclass(self.loss, Head):
            raise ValueError(
                f"loss must be a class derived from isomax_viz.learning.losses.Head, but {self.loss.__name__} is not. "
                "Derive it from Head, or from PrototypeHead where it has prototypes."
            )
        named = self.of_head("settings")
        if isinstance(named, str):
            raise ValueError(
                f"settings of {name_of(self.loss)} must be a tuple of names, but is the text {named!r}. A tuple of one "
                f"is written with a comma: settings = ({named!r},)."
            )
        unknown = [name for name in named if name not in type(self).model_fields]
        if unknown:
            raise ValueError(
                f"{name_of(self.loss)} names the settings {unknown}, which no Experiment has. It may name "
                f"{', '.join(OF_HEADS)}; write other values into the class."
            )

    def _check_outliers(self) -> None:
        if self.outliers is None:
            return
        if self.outlier_data == self.data:
            raise ValueError(f"outlier_data={self.outlier_data!r} is what the network learns. Choose another set.")
        if self.outliers == "energy" and self.loss != "softmax" and self.energy_margins is None:
            raise ValueError(
                f"outliers='energy' has margins for SoftMax only (-25, -7); {name_of(self.loss)!r} has energies of "
                "another range. Set energy_margins=(known below, outliers above)."
            )
        if self.energy_margins is not None and not self.energy_margins[0] < self.energy_margins[1]:
            raise ValueError(f"energy_margins must be (lower, higher), but is {self.energy_margins}.")

    def of_head(self, attribute: str) -> tuple[str, ...]:
        """Return what the class of the head declares under a name, nothing where a function makes the head."""
        head = HEADS[self.loss] if isinstance(self.loss, str) else self.loss
        return getattr(head, attribute, ())


# Raise it when the same description would train another network: stored results then count as another experiment's.
REVISION = 2


class Experiment(Settings):
    """One training, described completely: what is trained, on what, and how.

    Parameters
    ----------
    data : str
        In-distribution data set; see :data:`isomax_viz.datasets.ID_SETS`.
    backbone : str or callable
        See :data:`isomax_viz.learning.backbones.BACKBONES`; or a class or function of your own, called with
        ``in_channels=...``, that gives a module from images to features with an attribute ``num_features``.
    loss : str, Head class or callable
        See :data:`isomax_viz.learning.losses.HEADS`; or your own :class:`~isomax_viz.learning.losses.Head`, or a
        function of ``num_features, num_classes`` that returns one. The id then covers the source of what you pass (see
        :func:`isomax_viz.learning.custom_code.fingerprint`): change it, and it is another experiment.
    entropic_scale : float
        Above 0; used by IsoMax, IsoMax+ and DisMax only.
    seed : int
        Determines initial weights, shuffling and augmentation.
    preset : str
        Training protocol: "smoke" (two epochs), "teaching" (embedded data, seconds), "fast" (pictures of
        CIFAR's size with ``backbone="fast_cnn"``, minutes; see the protocol for its tricks), "quick" (pictures of
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
    distance, training_function, detection_function : str
        d, g and h of the DisMax frame; see :class:`~isomax_viz.learning.losses.DisMaxHead`.
    similarity : str
        h of Generalized ODIN: "cosine", "euclidean", "inner".
    temperature : float
        Of logit normalisation, above 0.
    outliers : str, optional
        Train with extra data: "oe" (Outlier Exposure), "acet" (adversarial confidence), or "energy" (fine-tune the
        network of the same experiment without outliers, with bounds for the energy).
    outlier_data : str
        What the extra data is, see :func:`~isomax_viz.learning.training.outliers.load_outliers`. It can't be an
        out-of-distribution set of the same experiment.
    outlier_weight : float, optional
        Weight of the outliers' term; by default that of the method's paper: 0.5, 1 and 0.1.
    energy_margins : (float, float), optional
        Energies, of the class logits, that known pictures shall be below and outliers above. By default (-25, -7) for
        SoftMax, as in the paper; other losses need their own.
    adversarial_radius : float
        By how much ACET may change a pixel, on the scale [0, 1].
    adversarial_steps : int, optional
        ACET's steps of gradient ascent per batch; by default 40 with preset "paper", as in its paper, else 5.

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

    @property
    def protocol(self) -> Protocol:
        """The training protocol: the preset's, with this experiment's own settings applied."""
        protocol = protocol_for(self.preset, data=self.data, backbone=self.backbone, loss=self.loss)
        if self.epochs is not None:
            protocol = protocol.with_epochs(self.epochs)
        scales = {"scales_learning_rate": self.scales_learning_rate, "scales_weight_decay": self.scales_weight_decay}
        # Settings that a loss does not use do not count; what a function will return is not known yet.
        own = scales if self.of_head("slow_parameters") or not isinstance(self.loss, (str, type)) else {}
        return replace(protocol, select=self.select, validation=self.validation, **own)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the loss uses, for its head."""
        return {name: getattr(self, name) for name in self.of_head("settings")}

    @property
    def recipe(self) -> Recipe | None:
        """How extra data takes part in the training; None where it does not."""
        if self.outliers is None:
            return None
        method, weight = self.outliers, self.outlier_weight or METHODS[self.outliers][1]
        if method == "energy":
            return Recipe(method, self.outlier_data, weight, margins=self.energy_margins or (-25.0, -7.0))
        if method == "acet":
            steps = self.adversarial_steps or (40 if self.preset == "paper" else 5)
            return Recipe(method, self.outlier_data, weight, radius=self.adversarial_radius, steps=steps)
        return Recipe(method, self.outlier_data, weight)

    @property
    def method(self) -> str:
        """What figures and tables call the training: the loss, and the method that uses extra data."""
        return f"{name_of(self.loss)}+{self.outliers}" if self.outliers else name_of(self.loss)

    @property
    def id(self) -> str:
        """Readable name and hash of all that determines the network (not OOD sets, device or place)."""
        names = ("data", "seed", "held_out_classes", "examples_per_class", "precision")
        content = {name: getattr(self, name) for name in names} | self.settings
        content |= {"backbone": _identity(self.backbone), "loss": _identity(self.loss)}
        content |= {"protocol": self.protocol.described(), "revision": REVISION}
        if self.recipe is not None:
            content["outliers"] = self.recipe.described()
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
        words = (self.data, name_of(self.backbone), self.method, self.preset, f"s{self.seed}", digest)
        return "-".join(re.sub(r"[^A-Za-z0-9._+=]", "_", word) for word in words)

    @property
    def title(self) -> str:
        """Words for progress bars and messages."""
        return " · ".join([loss_style(self.method).label, self.data, name_of(self.backbone), f"seed {self.seed}"])

    @property
    def meta(self) -> dict[str, Any]:
        """What a capture keeps of the description: JSON values, without settings that are not used."""
        told = self.model_dump(mode="json")
        unused = [name for name in OF_HEADS if name not in self.settings]
        if self.recipe is None:
            unused += ["outliers", *OF_OUTLIERS]
        shown = {"loss": self.method, "backbone": name_of(self.backbone)}
        # What from_meta needs beyond the names that are shown.
        exact = {name: told[name] for name in shown if told[name] != shown[name]}
        kept = {name: value for name, value in (told | shown).items() if name not in unused}
        return {"entropic_scale": None} | kept | ({"exact": exact} if exact else {})

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Experiment:
        """Return the experiment that recorded a capture, from its ``meta``.

        Raises
        ------
        ValueError
            If no experiment recorded it, or it used something of your own that is not found as it was.

        Examples
        --------
        >>> Experiment.from_meta(Experiment(loss="softmax", outliers="oe").meta).outliers
        'oe'
        """
        if not meta.get("loss") or not meta.get("preset"):
            raise ValueError("This capture does not say which experiment recorded it: only its numbers are there.")
        told = {**meta, **meta.get("exact", {})}
        return cls(**{name: told[name] for name in cls.model_fields if told.get(name) is not None})

    def run(
        self,
        ood: Iterable[str | ImageSet] | str | ImageSet | None = None,
        *,
        device: str | torch.device | None = None,
        store: Store | str | Path | None = None,
        compile: bool | str | None = None,
        deterministic: bool = False,
        checkpoint_every_s: float = 30.0,
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
            By default :func:`isomax_viz.store.folder.default_folder`.
        compile : bool or str, optional
            Compile the backbone, in that mode of ``torch.compile``; by default once a training is long enough to repay
            it.
        deterministic : bool
            Identical numbers from run to run on CUDA too, at some cost in speed; on the CPU they are identical anyway.
        checkpoint_every_s : float
            Least time between two writes of what an interrupted training goes on from, in seconds.
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
        check_number("checkpoint_every_s", checkpoint_every_s, at_least=0)
        options = {"compile": compile, "deterministic": deterministic, "checkpoint_every_s": checkpoint_every_s}
        return running.run(self, ood, store=store, device=device, progress=progress, **options)

    def network(self, *, store: Store | str | Path | None = None) -> Classifier:
        """Return the trained network on the CPU, in evaluation mode.

        Raises
        ------
        StoreError
            If the experiment has not been run, or its weights are damaged.
        """
        return running.load_network(self, store=store if isinstance(store, Store) else Store(store))


def _identity(thing: Any) -> str:
    return thing if isinstance(thing, str) else f"{thing.__qualname__}#{fingerprint(thing)}"

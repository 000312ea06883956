"""Experiment: one frozen, validated description -> id -> trained network and capture in the store.

A setting is one field of :class:`Experiment`: its type, its default and a :class:`Setting` that says what it means,
what it accepts and who uses it. The documentation, the command line, ids, ``meta`` and messages derive from it.
Describing needs no PyTorch; running does.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
import textwrap
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import pydantic
from pydantic import Field, ValidationError, ValidationInfo, field_serializer, field_validator, model_validator

from isomax_viz import datasets
from isomax_viz._common.checks import check_choice, check_number, name_of, need_torch
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import SOURCE_COLUMNS
from isomax_viz.catalog.losses import LOSSES
from isomax_viz.catalog.style import loss_style
from isomax_viz.datasets import ImageSet
from isomax_viz.learning.training import protocols
from isomax_viz.learning.training.protocols import METHODS, PRESETS, Protocol, Recipe
from isomax_viz.store.folder import Store

if TYPE_CHECKING:
    import torch

    from isomax_viz.learning.backbones import Classifier

__all__ = ["SETTINGS", "Experiment", "Setting", "Sets", "types_of"]

# Out-of-distribution sets as they are asked for: names and pictures, several or one; None: those of the data set.
Sets = Iterable[str | ImageSet] | str | ImageSet | None


@dataclass(frozen=True)
class Setting:
    """What a field of :class:`Experiment` means, what it accepts and who uses it.

    Attributes
    ----------
    text : str
        Its meaning, for the documentation and the command line.
    accepted : collection of str
        Its values, where they are words.
    own : str
        What is accepted beside them of the reader's own, in words; empty where nothing is.
    remedy : str
        What to do for a value that is none of them.
    bounds : mapping
        Of a number, for :func:`isomax_viz._common.checks.check_number`.
    losses : tuple of str
        Keys of the losses that use it; empty where all do. A head of the reader's own names in ``settings`` what it
        uses.
    methods : tuple of str
        Keys of the methods with extra data that use it; empty where it has nothing to do with them.
    """

    text: str
    accepted: Collection[str] = ()
    own: str = ""
    remedy: str = ""
    bounds: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Its meaning, what it accepts and who uses it."""
        parts, users = [self.text], self.losses or self.methods
        if not all(word in self.text for word in self.accepted):
            parts.append(f"One of: {', '.join(self.accepted)}.")
        limits = [f"{name.replace('_', ' ')} {value}" for name, value in self.bounds.items() if name != "whole"]
        if limits:
            parts.append(f"{', '.join(limits).capitalize()}.")
        if users and len(users) < len(METHODS):
            parts.append(f"Used by {', '.join(users)} only.")
        return " ".join(parts)

    def check(self, name: str, value: Any) -> Any:
        """Return the value if it is accepted.

        Raises
        ------
        ValueError
            If it is not.

        Examples
        --------
        >>> Setting("Of the training.", bounds={"at_least": 0}).check("seed", -1)
        Traceback (most recent call last):
            ...
        ValueError: seed must be a number of at least 0, but is -1.
        """
        if self.bounds:
            try:
                return check_number(name, value, **self.bounds)
            except TypeError as error:
                raise ValueError(str(error)) from None
        if not self.own:
            return check_choice(name, value, self.accepted, remedy=self.remedy) if self.accepted else value
        if isinstance(value, str) and ":" not in value:
            return check_choice(name, value, self.accepted, remedy="A class or function of your own is accepted too.")
        from isomax_viz.learning.custom_code import check_own, find_own

        value = find_own(name, value) if isinstance(value, str) else value
        return check_own(name, value, accepted=f"one of {', '.join(map(repr, self.accepted))}, a class or a function")


def _setting(default: Any, text: str, **options: Any) -> Any:
    """Return a field of :class:`Experiment` that carries its :class:`Setting`."""
    carried: Any = {"setting": Setting(text, **options)}
    return Field(default, json_schema_extra=carried)


_POSITIVE, _COUNT = {"above": 0}, {"at_least": 1, "whole": True}
_SEED = {"at_least": 0, "at_most": 2**32 - 1, "whole": True}
_OWN_PICTURES = "Pictures of your own are trained on by isomax_viz.learning.training.loop.train."
_DISTANCES = ("euclidean", "squared", "manhattan", "chebyshev", "cosine")
_FUNCTIONS = ("identity", "scaled", "square", "log")
# Raise it when the same description would train another network: stored results then count as another experiment's.
REVISION = 2
# Settings that were there before ids left out what is at its default. A new one is not added here: it would change all
# ids, and stored networks would no longer be found.
_IN_EVERY_ID = (
    *("data", "seed", "held_out_classes", "examples_per_class", "precision", "entropic_scale", "distance"),
    *("training_function", "detection_function", "similarity", "temperature"),
)


class Experiment(pydantic.BaseModel):
    """One training, described completely: what is trained, on what, and how.

    Parameters
    ----------
    <settings>

    Raises
    ------
    ValueError
        For unknown names and impossible values; the message lists what is accepted.

    Notes
    -----
    The id covers the description, not the machine: another processor, GPU or version of PyTorch rounds otherwise, and
    the same experiment gives another network there (on digits, AUROC against one set differed by 10 points between two
    machines). ``capture.meta`` tells ``machine``, ``device`` and ``versions``.

    Examples
    --------
    >>> experiment = Experiment(loss="isomax+", preset="smoke")
    >>> Experiment.from_json(experiment.to_json()) == experiment
    True
    >>> Experiment(loss="softmax", entropic_scale=3).id == Experiment(loss="softmax").id
    True
    >>> Experiment(preset="smoke", seed=3)
    Experiment(seed=3, preset='smoke')
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    data: str = _setting("digits", "In-distribution data set.", accepted=datasets.ID_SETS, remedy=_OWN_PICTURES)
    backbone: str | Callable[..., Any] = _setting(
        "small_cnn",
        "Network below the last layer.",
        accepted=("small_cnn", "fast_cnn", "fast_cnn_small", "resnet34", "resnet110", "densenet_bc100"),
        own="Or a class or function of your own, called with in_channels=..., that gives a module from images to "
        "features with an attribute num_features.",
    )
    loss: str | Callable[..., Any] = _setting(
        "isomax+",
        "Head and loss.",
        accepted=LOSSES,
        own="Or a Head class of your own, or a function of num_features and num_classes that returns one. The id then "
        "covers the source of what you pass: change it, and it is another experiment.",
    )
    entropic_scale: float = _setting(
        10.0, "What multiplies the logits while training.", bounds=_POSITIVE, losses=("isomax", "isomax+", "dismax")
    )
    seed: int = _setting(0, "Determines initial weights, shuffling and augmentation.", bounds=_SEED)
    preset: str = _setting(
        "teaching",
        "Training protocol: smoke (two epochs), teaching (embedded data, seconds), fast (pictures of CIFAR's size with "
        "backbone fast_cnn, minutes), quick (such pictures on a CPU, minutes), paper.",
        accepted=PRESETS,
    )
    epochs: int | None = _setting(None, "Another number of epochs; milestones move in proportion.", bounds=_COUNT)
    held_out_classes: tuple[int, ...] = _setting((), "Classes to train without; they become the near OOD set unseen.")
    examples_per_class: int | None = _setting(
        None,
        "Train with so many pictures of each class (robustness study of the IsoMax2 paper); the seed says which.",
        bounds=_COUNT,
    )
    select: str = _setting(
        "last",
        "Which epoch's network is kept: last, best_validation, or best_test (the papers' code; optimistic accuracy).",
        accepted=protocols.SELECTIONS,
    )
    validation: float = _setting(
        0.0, "Share of the training pictures held out for watching.", bounds={"at_least": 0, "at_most": 0.9}
    )
    scales_learning_rate: float = _setting(
        0.1, "Learning rate of the scales and tilts, as a factor.", bounds={"at_least": 0}, losses=("isomax2",)
    )
    scales_weight_decay: bool = _setting(False, "Whether the scales and tilts decay.", losses=("isomax2",))
    precision: str = _setting("auto", "Number format of the backbone while training.", accepted=protocols.PRECISIONS)
    distance: str = _setting("euclidean", "d of the DisMax frame.", accepted=_DISTANCES, losses=("dismax",))
    training_function: str = _setting("scaled", "g of the DisMax frame.", accepted=_FUNCTIONS, losses=("dismax",))
    detection_function: str = _setting("identity", "h of the DisMax frame.", accepted=_FUNCTIONS, losses=("dismax",))
    similarity: str = _setting(
        "cosine", "h of Generalized ODIN.", accepted=("cosine", "euclidean", "inner"), losses=("godin",)
    )
    temperature: float = _setting(
        0.04, "What divides the normalised logits while training.", bounds=_POSITIVE, losses=("logit_norm",)
    )
    initialisation: str | None = _setting(
        None,
        "What prototypes start from: zeros or normal (0, 1); by default the paper's, normal for isomax+, else zeros.",
        accepted=("zeros", "normal"),
        losses=("isomax", "isomax+", "isomax2", "dismax"),
    )
    outliers: str | None = _setting(
        None,
        "Train with extra data: oe (Outlier Exposure), acet (adversarial confidence), or energy (fine-tune the network "
        "of the same experiment without outliers, with bounds for the energy).",
        accepted=METHODS,
    )
    outlier_data: str = _setting(
        "noise",
        "What the extra data is; it can't be an out-of-distribution set of the same experiment.",
        accepted=protocols.OUTLIER_DATA,
        methods=tuple(METHODS),
    )
    outlier_weight: float | None = _setting(
        None,
        "Weight of the outliers' term; by default that of the method's paper: 0.5, 1 and 0.1.",
        bounds=_POSITIVE,
        methods=tuple(METHODS),
    )
    energy_margins: tuple[float, float] | None = _setting(
        None,
        "Energies, of the class logits, that known pictures shall be below and outliers above. By default -25,-7 for "
        "SoftMax, as in the paper; other losses need their own.",
        methods=("energy",),
    )
    adversarial_radius: float = _setting(
        0.3,
        "By how much a pixel may be changed, as a share of the range from black to white.",
        bounds={"above": 0, "at_most": 1},
        methods=("acet",),
    )
    adversarial_steps: int | None = _setting(
        None,
        "Steps of gradient ascent per batch; by default 40 with preset paper, as in its paper, else 5.",
        bounds=_COUNT,
        methods=("acet",),
    )

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ValueError(_in_plain_words(error)) from None

    @field_validator("held_out_classes", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if isinstance(value, (bool, str, float)):
            raise ValueError(f"held_out_classes must be class numbers such as (8, 9), but is {value!r}.")
        return (value,) if isinstance(value, (int, np.integer)) else value

    @field_validator("*", mode="before")
    @classmethod
    def _accepted(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        optional = cls.model_fields[name].default is None
        return value if value is None and optional else SETTINGS[name].check(name, value)

    @field_serializer("backbone", "loss", when_used="json")
    def _as_text(self, value: Any) -> str:
        return _reference(value)

    @field_validator("held_out_classes")
    @classmethod
    def _of_the_data(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if "data" not in info.data:  # refused itself
            return value
        data, held_out = info.data["data"], tuple(sorted(set(value)))
        classes = int(datasets.ID_SETS[data].classes)
        unknown = [label for label in held_out if not 0 <= label < classes]
        if unknown:
            raise ValueError(f"held_out_classes must lie in 0 .. {classes - 1} for {data!r}, but holds {unknown}.")
        if classes - len(held_out) < 2:
            raise ValueError(f"held_out_classes leaves {classes - len(held_out)} of {classes} classes; keep 2 or more.")
        return held_out

    @field_validator("loss")
    @classmethod
    def _possible_loss(cls, loss: Any) -> Any:
        if isinstance(loss, str):
            return loss
        from isomax_viz.learning.losses import Head

        if isinstance(loss, type) and not issubclass(loss, Head):
            raise ValueError(
                f"loss must be a class derived from isomax_viz.learning.losses.Head, but {loss.__name__} is not. "
                "Derive it from Head, or from PrototypeHead where it has prototypes."
            )
        named = getattr(loss, "settings", ())
        if isinstance(named, str):
            raise ValueError(
                f"settings of {name_of(loss)} must be a tuple of names, but is the text {named!r}. A tuple of one is "
                f"written with a comma: settings = ({named!r},)."
            )
        unknown = [name for name in named if name not in cls.model_fields]
        if unknown:
            remedy = f"It may name {', '.join(_OF_HEADS)}; write other values into the class."
            raise ValueError(f"{name_of(loss)} names the settings {unknown}, which no Experiment has. {remedy}")
        return loss

    @field_validator("initialisation")
    @classmethod
    def _unless_usual(cls, value: str | None, info: ValidationInfo) -> str | None:
        loss = info.data.get("loss", "")
        named = {"isomax+": "normal"}.get(loss, "zeros") if isinstance(loss, str) else None
        return None if value == (named or getattr(loss, "initialisation", None)) else value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.select == "best_validation" and not self.validation:
            raise ValueError("select='best_validation' needs pictures held out for it: set validation=0.1 or the like.")
        if self.outliers is None:
            return self
        if self.outlier_data == self.data:
            raise ValueError(f"outlier_data={self.outlier_data!r} is what the network learns. Choose another set.")
        if self.outliers == "energy" and self.loss != "softmax" and self.energy_margins is None:
            raise ValueError(
                f"outliers='energy' has margins for SoftMax only (-25, -7); {name_of(self.loss)!r} has energies of "
                "another range. Set energy_margins=(known below, outliers above)."
            )
        if self.energy_margins is not None and not self.energy_margins[0] < self.energy_margins[1]:
            raise ValueError(f"energy_margins must be (lower, higher), but is {self.energy_margins}.")
        return self

    def __repr__(self) -> str:
        # As one would type it: what is left at its default is left out.
        return f"{type(self).__name__}({', '.join(f'{name}={_typed(value)}' for name, value in self._changed())})"

    __str__ = __repr__

    def _changed(self) -> Iterator[tuple[str, Any]]:
        for name, item in type(self).model_fields.items():
            if getattr(self, name) != item.default:
                yield name, getattr(self, name)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return the experiment with some settings replaced, validated like any other.

        Examples
        --------
        >>> Experiment(seed=0).model_copy(update={"seed": 5}).seed
        5
        """
        return type(self)(**(self.model_dump() | dict(update or {})))

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
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"This is no JSON: {error}. Write it with experiment.to_json().") from None
        if not isinstance(settings, dict):
            raise ValueError(f"An experiment is a JSON object, but this is {text[:40]!r}.")
        return cls(**settings)

    @classmethod
    def grid(cls, **settings: Any) -> list[Self]:
        """Return the experiments of all combinations of some settings.

        Parameters
        ----------
        **settings
            A list, range, array or other collection holds values to combine; a single value, or a text, is the same for
            all. ``held_out_classes=(8, 9)`` and ``energy_margins=(-25, -7)`` are single values; several are a list of
            tuples.

        Returns
        -------
        list of Experiment
            In the order of the settings, the last one changing fastest. Combinations that describe the same network
            (the entropic scale makes no difference to SoftMax) are there once.

        Raises
        ------
        ValueError
            For unknown settings, empty collections and impossible experiments.

        Examples
        --------
        >>> experiments = Experiment.grid(loss=["softmax", "isomax"], entropic_scale=[10, 3], seed=range(5))
        >>> len(experiments)  # 5 of SoftMax, 2 x 5 of IsoMax
        15
        >>> experiments[-1]
        Experiment(loss='isomax', entropic_scale=3, seed=4)
        """
        for name in settings:
            check_choice("the name of a setting", name, cls.model_fields)
        values = [_values(name, value) for name, value in settings.items()]
        unique: dict[str, Self] = {}
        for combination in itertools.product(*values):
            experiment = cls(**dict(zip(settings, combination, strict=True)))
            unique.setdefault(experiment.id, experiment)
        return list(unique.values())

    def uses(self, name: str) -> bool:
        """Return whether the training uses a setting; one that it does not use is no part of ids and captures.

        Examples
        --------
        >>> Experiment(loss="softmax").uses("entropic_scale"), Experiment(loss="isomax").uses("entropic_scale")
        (False, True)
        """
        setting = SETTINGS[name]
        if setting.methods:
            return self.outliers in setting.methods
        if not setting.losses or self.loss in setting.losses:
            return True
        if isinstance(self.loss, str):
            return False
        named = name in getattr(self.loss, "settings", ())
        if named or name not in _OF_PROTOCOL:
            return named
        if isinstance(self.loss, type):
            return bool(getattr(self.loss, "slow_parameters", ()))
        # Which head a function gives shows only when it is called: what was set for it counts.
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @property
    def protocol(self) -> Protocol:
        """The training protocol: the preset's, with this experiment's own settings applied."""
        protocol = protocols.protocol_for(self.preset, data=self.data, backbone=self.backbone, loss=self.loss)
        if self.epochs is not None:
            protocol = protocol.with_epochs(self.epochs)
        own = _OF_PROTOCOL & SETTINGS.keys() - {"epochs"}
        return replace(protocol, **{name: getattr(self, name) for name in own if self.uses(name)})

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the loss uses, for its head."""
        named = _OF_HEADS if isinstance(self.loss, str) else getattr(self.loss, "settings", ())
        chosen = {name: getattr(self, name) for name in named if self.uses(name)}
        return {name: value for name, value in chosen.items() if value is not None}

    @property
    def recipe(self) -> Recipe | None:
        """How extra data takes part in the training; None where it does not."""
        if self.outliers is None:
            return None
        steps = self.adversarial_steps or (40 if self.preset == "paper" else 5)
        own: dict[str, dict[str, Any]] = {
            "energy": {"margins": self.energy_margins or (-25.0, -7.0)},
            "acet": {"radius": self.adversarial_radius, "steps": steps},
        }
        weight = self.outlier_weight or METHODS[self.outliers][1]
        return Recipe(self.outliers, self.outlier_data, weight, **own.get(self.outliers, {}))

    @property
    def method(self) -> str:
        """What figures and tables call the training: the loss, and the method that uses extra data."""
        return f"{name_of(self.loss)}+{self.outliers}" if self.outliers else name_of(self.loss)

    @property
    def id(self) -> str:
        """Readable name and hash of all that determines the network (not OOD sets, device or place)."""
        content: dict[str, Any] = {"protocol": self.protocol.described(), "revision": REVISION}
        # Without the module of what is the reader's own, which may move.
        content |= {name: _reference(getattr(self, name)).rpartition(":")[2] for name in ("backbone", "loss")}
        told = {*content, "preset", "outliers", *_OF_PROTOCOL}
        for name, item in type(self).model_fields.items():
            value = getattr(self, name)
            counts = self.uses(name) and (name in _IN_EVERY_ID or value != item.default)
            if counts and name not in told and not SETTINGS[name].methods:
                content[name] = value
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
        """What a capture keeps of the description: JSON values, without settings that are not used.

        ``changed`` holds those that decide about the network and differ from the preset's.

        Examples
        --------
        >>> Experiment(loss="isomax2", epochs=3, entropic_scale=5).meta["changed"]
        {'epochs': 3}
        """
        told = self.model_dump(mode="json")
        used = {name: value for name, value in told.items() if self.uses(name)}
        if self.outliers is None:
            del used["outliers"]
        shown = {"loss": self.method, "backbone": name_of(self.backbone)}
        # What from_meta needs beyond the names that are shown.
        exact = {name: told[name] for name in shown if told[name] != shown[name]}
        changed = {name: told[name] for name, _ in self._changed() if name in used and name not in _NO_CHANGE}
        return {"entropic_scale": None} | used | shown | {"changed": changed} | ({"exact": exact} if exact else {})

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
        if not isinstance(meta, Mapping) or not meta.get("loss") or not meta.get("preset"):
            raise ValueError("This capture does not say which experiment recorded it: only its numbers are there.")
        exact = meta.get("exact")
        told = {**meta, **(exact if isinstance(exact, Mapping) else {})}
        return cls(**{name: told[name] for name in cls.model_fields if told.get(name) is not None})

    def run(
        self,
        ood: Sets = None,
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
        need_torch()
        from isomax_viz.experiments import run as running

        check_number("checkpoint_every_s", checkpoint_every_s, at_least=0)
        options = {"compile": compile, "deterministic": deterministic, "checkpoint_every_s": checkpoint_every_s}
        return running.run(self, ood, store=Store(store), device=device, progress=progress, **options)

    def network(self, *, store: Store | str | Path | None = None) -> Classifier:
        """Return the trained network on the CPU, in evaluation mode.

        Raises
        ------
        StoreError
            If the experiment has not been run, or its weights are damaged.
        """
        need_torch()
        from isomax_viz.experiments.run import load_network

        return load_network(self, store=Store(store))


# What each setting says of itself.
SETTINGS: dict[str, Setting] = {
    name: cast(Any, item.json_schema_extra)["setting"] for name, item in Experiment.model_fields.items()
}
_OF_PROTOCOL = frozenset(field.name for field in fields(Protocol))
_OF_HEADS = tuple(name for name, setting in SETTINGS.items() if setting.losses and name not in _OF_PROTOCOL)
# What figures and tables say in columns of their own, or what changes numbers by rounding only.
_NO_CHANGE = (*SOURCE_COLUMNS, "outliers", "precision")
# What the papers and other packages call a setting.
SYNONYMS = {"alpha": "entropic_scale", "lr": "preset", "dataset": "data", "model": "backbone", "network": "backbone"}
_TYPES = {str: "str", int: "int", float: "float", bool: "bool"} | {
    tuple[int, ...]: "tuple of int",
    tuple[float, float]: "(float, float)",
    type(None): "optional",
}


def types_of(name: str) -> tuple[Any, ...]:
    """Return the types that a setting may have.

    Examples
    --------
    >>> types_of("epochs")
    (<class 'int'>, <class 'NoneType'>)
    """
    annotation = Experiment.model_fields[name].annotation
    return typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


def _documented(text: str) -> str:
    """Return the documentation with the settings in it."""
    lines = []
    for name, setting in SETTINGS.items():
        types = ", ".join(_TYPES.get(kind, "class or function") for kind in types_of(name))
        words = textwrap.fill(f"{setting.words} {setting.own}".strip(), 112)
        lines.append(f"{name} : {types}\n{textwrap.indent(words, ' ' * 8)}")
    return text.replace("<settings>", "\n    ".join(lines))


Experiment.__doc__ = _documented(Experiment.__doc__ or "")


_KINDS = {"bool": "yes or no", "tuple": "a pair of numbers (such as -25,-7)"}


def _in_plain_words(error: ValidationError) -> str:
    sentences = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "value_error":
            sentences.append(str(item["ctx"]["error"]))
        elif item["type"] == "extra_forbidden":
            near = [SYNONYMS[name]] if name in SYNONYMS else difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            sentences.append(f"Experiment has no setting {name!r}; it has {', '.join(SETTINGS)}.{hint}")
        else:
            kind = next((words for key, words in _KINDS.items() if item["type"].startswith(key)), None)
            plain = f"{name} must be {kind}, but is {item['input']!r}."
            sentences.append(plain if kind else f"{name}: {item['msg']} (received {item['input']!r}).")
    return " ".join(sentences)


def _values(name: str, value: Any) -> list[Any]:
    value = value.tolist() if hasattr(value, "tolist") else value  # arrays, columns of a table
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        return [value]
    values = list(value)
    is_one = any(typing.get_origin(kind) is tuple for kind in types_of(name))
    if is_one and not any(item is None or isinstance(item, Iterable) for item in values):
        return [tuple(values)]
    if not values:
        raise ValueError(f"{name} is empty. Give at least one value, or leave it out to take the default.")
    return values


def _typed(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.__qualname__ if callable(value) else repr(value)


def _reference(thing: Any) -> str:
    if isinstance(thing, str):
        return thing
    from isomax_viz.learning.custom_code import reference

    return reference(thing)

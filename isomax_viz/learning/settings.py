"""The settings of an experiment: their names, defaults and bounds, checked when an experiment is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from pydantic import field_serializer, field_validator, model_validator

from isomax_viz import datasets
from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.learning.backbones import BACKBONES
from isomax_viz.learning.custom_code import check_own, find_own, name_of, reference
from isomax_viz.learning.descriptions import Description
from isomax_viz.learning.losses import DISTANCES, FUNCTIONS, HEADS, SIMILARITIES, Head
from isomax_viz.learning.training.hardware import PRECISIONS
from isomax_viz.learning.training.outliers import METHODS, OUTLIER_DATA
from isomax_viz.learning.training.protocols import PRESETS, SELECTIONS

__all__ = ["OF_HEADS", "OF_OUTLIERS", "Settings"]

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

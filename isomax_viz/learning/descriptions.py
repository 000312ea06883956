"""Descriptions: frozen, validated records that copy themselves, travel as JSON and word their errors plainly."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Description"]


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

        A head or backbone of your own is written as ``module:name#fingerprint``. It is looked up among the modules that
        are imported already, and refused where it has been changed since; nothing is imported because a file says so.

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

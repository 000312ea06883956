"""How figures call scores and settings."""

from __future__ import annotations

from typing import Any

import pandas as pd

from isomax_viz.analysis.scores import words
from isomax_viz.catalog.style import data_style, known, number, plain

__all__ = ["score_label", "setting_label", "settings_within_losses"]


def score_label(score: str) -> str:
    """Return the short label of a score key; your own score keeps its name.

    Examples
    --------
    >>> score_label("es")
    'ES'
    """
    return plain(words(str(score)).label)


# What captures of one loss may differ in beside the seed.
_SETTINGS = ("entropic_scale", "data", "backbone", "preset", "select", "variant")


def settings_within_losses(table: pd.DataFrame) -> list[str]:
    """Return as many columns as are needed to tell captures of one loss apart, beside the seed.

    Losses without an entropic scale have none, and a setting may belong to one loss: only where one loss has several
    values does a column tell anything apart.

    Examples
    --------
    >>> settings_within_losses(pd.DataFrame({"loss": ["isomax", "isomax", "softmax"], "entropic_scale": [1, 10, None]}))
    ['entropic_scale']
    """
    chosen: list[str] = []
    for name in _SETTINGS:
        if name in table and _count(table, [*chosen, name]) > _count(table, chosen):
            chosen.append(name)
    return chosen


def _count(table: pd.DataFrame, settings: list[str]) -> int:
    return table.groupby(["loss", *settings], dropna=False).ngroups


def setting_label(name: str, value: Any) -> str:
    """Return a setting in words.

    Examples
    --------
    >>> setting_label("entropic_scale", 10.0), setting_label("variant", None), setting_label("preset", "quick")
    ('entropic scale 10', 'unchanged', 'preset quick')
    """
    words = name.replace("_", " ")
    if name == "variant":
        return plain(value) if known(value) and value else "unchanged"
    if not known(value):
        return f"no {words}"
    if name == "data":
        return data_style(str(value)).label
    return f"{words} {number(value) if name == 'entropic_scale' else plain(value)}"

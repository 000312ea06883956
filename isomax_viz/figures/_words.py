"""The words of the figures: axis labels with their units, titles, notes and numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from isomax_viz.analysis.scores import words
from isomax_viz.catalog.losses import loss_record
from isomax_viz.catalog.style import data_style, loss_style

__all__ = [
    "check_table",
    "count_label",
    "known",
    "note",
    "number",
    "percent",
    "quantity_label",
    "score_label",
    "setting_label",
    "settings_within_losses",
    "titles",
]

_QUANTITIES = {
    "logit": "logit",
    "distance": "feature-prototype distance",
    "min_distance": "distance to the nearest prototype",
    "entropy": "entropy (nats)",
    "normalised_entropy": "entropy / log(number of classes)",
    "max_probability": "maximum probability",
}
_TO_MEANS = {
    "distance": "distance to class mean of training features",
    "min_distance": "distance to nearest class mean of training features",
}


def known(value: Any) -> bool:
    """Return whether a table says this: neither None nor NaN."""
    return value is not None and not pd.isna(value)


def quantity_label(quantity: str, loss: str) -> str:
    """Return the axis label of a quantity, with its unit or formula.

    Examples
    --------
    >>> quantity_label("logit", "isomax")
    'logit = −distance'
    >>> quantity_label("distance", "softmax")
    'distance to class mean of training features'
    """
    if quantity == "logit":
        return loss_record(loss).logits
    if quantity in _TO_MEANS and not loss_record(loss).prototypes:
        return _TO_MEANS[quantity]
    if quantity in _TO_MEANS and loss_record(loss).unit_vectors:
        return f"{_QUANTITIES[quantity]} (unit vectors)"
    if quantity in _QUANTITIES:
        return _QUANTITIES[quantity]
    label = score_label(quantity)
    # Users took scores for probabilities (entropic-ood, issue 2); MPS alone is one.
    return f"{label} score" if quantity == "mps" else f"{label} score (not a probability)"


def score_label(score: str) -> str:
    """Return the short label of a score key; your own score keeps its name.

    Examples
    --------
    >>> score_label("es")
    'ES'
    """
    return words(str(score)).label


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
        return str(value) if known(value) and value else "unchanged"
    if not known(value):
        return f"no {words}"
    if name == "data":
        return data_style(str(value)).label
    return f"{words} {number(value) if name == 'entropic_scale' else value}"


def number(value: float) -> str:
    """Return a number with three significant digits and a true minus sign.

    Examples
    --------
    >>> number(-0.42189), number(1234.5), number(999.7)
    ('−0.422', '1,234', '1,000')
    """
    text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
    return text.replace("-", "−")


def percent(fraction: float) -> str:
    """Return a fraction as percent with one decimal.

    Examples
    --------
    >>> percent(0.9731)
    '97.3 %'
    """
    return f"{100 * fraction:.1f} %"


def count_label(name: str, n: int, unit: str = "") -> str:
    """Return a legend entry with its number of values.

    Examples
    --------
    >>> count_label("letters", 1597)
    'letters (n = 1,597)'
    """
    return f"{name} (n = {n:,}{' ' + unit if unit else ''})"


def titles(loss: str | None, data: Any, ood: Iterable[str]) -> tuple[str, ...]:
    """Return the parts of a title, without what is not known.

    Examples
    --------
    >>> titles("isomax+", "digits", ["letters"])
    ('IsoMax+', 'digits', 'test against letters')
    >>> titles("unknown", None, ["letters", "patches", "uniform"])
    ('test against 3 sets',)
    """
    parts = [loss_style(loss).label] if known(loss) and loss != "unknown" else []
    parts += [data_style(str(data)).label] if known(data) else []
    names = [data_style(name).label for name in ood]
    # The legend names them all; a title has room for two.
    against = ", ".join(names) if len(names) < 3 else f"{len(names)} sets"
    return (*parts, f"test against {against}") if names else tuple(parts)


def check_table(table: pd.DataFrame, columns: Iterable[str], function: str, *, module: str = "tables") -> pd.DataFrame:
    """Return a non-empty table that has these columns, else say which function makes one.

    Examples
    --------
    >>> check_table(pd.DataFrame({"loss": []}), ["loss", "fpr"], "roc_table")
    Traceback (most recent call last):
        ...
    ValueError: data is a DataFrame without fpr. Give captures, or the table that iv.tables.roc_table made from them.
    """
    missing = ", ".join(name for name in columns if name not in table.columns) or ("" if len(table) else "rows")
    if missing:
        raise ValueError(
            f"data is a DataFrame without {missing}. "
            f"Give captures, or the table that iv.{module}.{function} made from them."
        )
    return table


def note(table: pd.DataFrame) -> str:
    """Return the small print of figures that are not from preset "paper", empty if no preset is known.

    Networks of the best test epoch are marked under any preset (their accuracy is optimistic), and so is what was
    changed against it.

    Examples
    --------
    >>> table = pd.DataFrame({"preset": ["quick"], "data": "digits", "backbone": "small_cnn", "seed": 0})
    >>> note(table), note(table.assign(variant="epochs=2"))
    ('preset quick · digits · small_cnn · seed 0', 'preset quick (epochs=2) · digits · small_cnn · seed 0')
    """
    presets = [str(value) for value in table["preset"].unique() if known(value)]
    peeked = "select" in table and (table["select"] == "best_test").any()
    changes = [text if known(text) else "" for text in table["variant"].unique()] if "variant" in table else [""]
    if not presets or (presets == ["paper"] and not peeked and changes == [""]):
        return ""
    # One change is spelled out; what changes from network to network is what the figure is about.
    changed = f" ({changes[0]})" if len(changes) == 1 and changes[0] else " (changed)" if len(changes) > 1 else ""
    parts = [f"preset {', '.join(presets)}{changed}"]
    for column in ("data", "backbone"):
        values = [str(value) for value in table[column].unique() if known(value)]
        parts += [", ".join(values)] if values else []
    seeds = [value if isinstance(value, str) else f"{value:.0f}" for value in table["seed"].unique() if known(value)]
    parts += [f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"] if seeds else []
    parts += ["best test epoch"] if peeked else []
    return " · ".join(parts)

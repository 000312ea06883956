"""The groups of a binned table, and each as filled stairs in the colours of its loss or data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.histograms import INTER, INTRA, KNOWN
from isomax_viz.catalog.style import data_style, loss_style
from isomax_viz.figures._words import count_label, known, quantity_label

__all__ = ["Drawn", "Group", "draw_groups", "groups_of", "id_label"]

_UNITS = {"logit": "logits", "distance": "distances"}  # elsewhere n counts images


@dataclass(frozen=True)
class Group:
    """One group of a binned table as arrays."""

    name: str
    ood: bool
    n: int
    median: float
    edges: np.ndarray
    density: np.ndarray
    count: np.ndarray


def groups_of(table: pd.DataFrame) -> list[Group]:
    """Return the groups of a binned table in its order."""
    names = table["group"].to_numpy()
    columns = {name: table[name].to_numpy() for name in ("ood", "n", "median", "left", "right", "density", "count")}
    groups = []
    for name in dict.fromkeys(names):
        part = {key: values[names == name] for key, values in columns.items()}
        groups.append(
            Group(
                str(name),
                bool(part["ood"][0]),
                int(part["n"][0]),
                float(part["median"][0]),
                np.append(part["left"], part["right"][-1]),
                part["density"],
                part["count"],
            )
        )
    return groups


def id_label(table: pd.DataFrame) -> str:
    """Return the name of the in-distribution group: that of its data set where known."""
    data = table["data"].iloc[0]
    return f"{data}, ID" if known(data) else "ID"


def _look(group: Group, loss: str, *, crowded: bool) -> dict[str, Any]:
    """Return the artist options of a group: ID in the loss's colour, OOD as outline in the data set's."""
    if group.ood:
        style = data_style(group.name)
        return {
            "facecolor": to_rgba(style.color, 0.0 if crowded else 0.16),
            "edgecolor": style.color,
            "linestyle": style.linestyle,
            "linewidth": 1.5,
            "zorder": 2.4,
        }
    color = loss_style(loss).color
    if group.name == INTER:
        return {
            "facecolor": to_rgba(color, 0.22),
            "edgecolor": to_rgba(color, 0.75),
            "hatch": "////",
            "linewidth": 0.8,
            "zorder": 1.5,
        }
    alpha = 0.85 if group.name == INTRA else 0.6
    return {"facecolor": to_rgba(color, alpha), "edgecolor": color, "linewidth": 0.8, "zorder": 2}


@dataclass(frozen=True)
class Drawn:
    """The groups that were drawn, the name of each in words, and where a vertical line stands among them."""

    groups: tuple[Group, ...]
    names: dict[str, str]
    quantity: str
    avoid: float | None = None


def draw_groups(
    ax: Axes, table: pd.DataFrame, *, labels: dict[str, str] | None = None, yscale: str = "linear", **kwargs: Any
) -> Drawn:
    """Draw every group as filled stairs (one artist each).

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        As :func:`isomax_viz.analysis.histograms.logits_table` returns.
    labels : dict, optional
        Words to add to the legend entries, by group.
    yscale : {"linear", "log"}
        Scale of the density axis.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.stairs`.
    """
    check_choice("yscale", yscale, ("linear", "log"))
    groups, loss, quantity = groups_of(table), table["loss"].iloc[0], table["quantity"].iloc[0]
    unit = _UNITS.get(quantity, "")
    # Many translucent areas mix to mud: more than two sets are outlines only.
    names, crowded = {}, sum(group.ood for group in groups) > 2
    for group in groups:
        ood_name = data_style(group.name).label if group.ood else group.name
        names[group.name] = id_label(table) if group.name == KNOWN and not group.ood else ood_name
        label = count_label(names[group.name], group.n, unit) + (labels or {}).get(group.name, "")
        look = _look(group, loss, crowded=crowded) | {"label": label} | kwargs
        ax.stairs(group.density, group.edges, fill=True, **look)
    ax.set_xlim(groups[0].edges[0], groups[0].edges[-1])
    ax.set_xlabel(quantity_label(quantity, loss))
    ax.set_yscale(yscale)
    ax.set_ylabel("density" if yscale == "linear" else "density (logarithmic)")
    return Drawn(tuple(groups), names, quantity)

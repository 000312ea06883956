"""Curves over the epochs of a training: accuracy, losses, entropies, logits, learned scales."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.tables import training_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import note
from isomax_viz.catalog.style import Style, loss_style, loss_styles, number, percent, plain, titles
from isomax_viz.figures._canvas import Caption, as_table, attach, check_options, draw_legend, drawing
from isomax_viz.figures._words import setting_label, settings_within_losses

__all__ = ["plot_training"]

LABELS = {
    "accuracy": "accuracy",
    "loss": "loss (nats)",
    "cross_entropy": "mean cross-entropy (nats)",
    "entropy": "mean entropy (nats)",
    "max_probability": "mean maximum probability",
    "intra_logit_mean": "mean logit of the own class",
    "inter_logit_mean": "mean logit of other classes",
    "intra_logit_std": "standard deviation of own-class logits",
    "inter_logit_std": "standard deviation of other-class logits",
    "learning_rate": "learning rate",
    "distance_scale": "learned distance scale",
    "scale_mean": "mean learned scale",
    "tilt_mean": "mean learned tilt",
}
# What is measured on the pictures of a split; anything else is a state of the training.
MEASURED = tuple(LABELS)[:9]
SPLITS = {"train": {"linestyle": (0, (3, 1.5)), "linewidth": 1.1}, "test": {"linestyle": "-", "linewidth": 1.8}}
COLUMNS = ("loss", "data", "epoch", "split", "quantity", "value")


def plot_training(
    data: Capture | Iterable[Capture] | pd.DataFrame,
    *,
    quantity: str = "accuracy",
    yscale: str = "linear",
    legend: bool = True,
    theme: str = "paper",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw one quantity over the epochs, one colour per loss; train dashed, test solid.

    Parameters
    ----------
    data : Capture, list of Capture, or DataFrame
        Captures with a history, or the table that :func:`~isomax_viz.analysis.tables.training_table` made from them.
    quantity : str
        A column of the history, such as ``"accuracy"``, ``"cross_entropy"``, ``"entropy"`` or ``"intra_logit_mean"``; a
        mean is drawn in a band of one standard deviation where the history has one.
    yscale : {"linear", "log"}
        Scale of the vertical axis.
    legend, theme, ax
        As in :func:`~isomax_viz.figures.plot_logits`.
    **kwargs
        Passed on to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a capture has no history, or none has this quantity.

    Notes
    -----
    Source: IsoMax2 paper, Figure 1 (cross-entropy and entropy), Figures 6 and 7 (accuracy, loss); DisMax paper,
    Figure 5. The "loss" is each head's own training loss, on its class logits, so it does not compare losses.

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [1, 2, 1, 2], "split": ["train", "train", "test", "test"]})
    >>> history["accuracy"] = [0.5, 0.8, 0.4, 0.7]
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax").replace(history=history)
    >>> ax = plot_training(capture)
    >>> ax.get_title(loc="left"), ax.get_ylabel()
    ('IsoMax', 'accuracy')
    """
    check_options(plot_training, kwargs, Line2D, Axes.plot)
    table = as_table(plot_training, data, training_table, COLUMNS)
    check_choice("quantity", quantity, table["quantity"].unique())
    check_choice("yscale", yscale, ("linear", "log"))
    rows = table[table["quantity"] == quantity]
    rows = rows if quantity in MEASURED else _of_one_split(rows)
    spread = quantity.replace("_mean", "_std")
    spreads = table[table["quantity"] == spread] if spread != quantity else rows.iloc[:0]
    on = [name for name in ("loss", "capture", "seed", "epoch", "split") if name in rows.columns]
    rows = rows.merge(spreads[[*on, "value"]], on=on, how="left", suffixes=("", "_spread"))
    with drawing(ax, theme=theme) as axes:
        looks = loss_styles(rows["loss"])
        for place, (loss, part) in enumerate(rows.groupby("loss", sort=False)):
            # Where curves lie on each other, markers tell them apart beside the colour: each at another epoch.
            _draw_loss(axes, looks[str(loss)], part, kwargs, at=(place + 1) / len(looks))
        axes.set(xlabel="epoch", ylabel=LABELS.get(quantity, plain(quantity.replace("_", " "))), yscale=yscale)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        axes.margins(x=0.02)
        if legend:
            _draw_legend(axes, rows)
        return attach(axes, _caption(table, rows, quantity), own=ax is None)


def _of_one_split(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a quantity that has nothing to do with a split (the learning rate, learned scales) only once."""
    keys = [name for name in ("loss", "capture", "seed", "epoch") if name in rows.columns]
    if rows["split"].nunique() < 2 or (rows.groupby(keys, dropna=False)["value"].nunique(dropna=False) > 1).any():
        return rows
    return rows.drop_duplicates(keys).assign(split="")


def _draw_loss(ax: Axes, style: Style, rows: pd.DataFrame, options: dict[str, Any], *, at: float) -> None:
    keys = [name for name in ("split", "capture", "seed") if name in rows.columns]
    for (split, *_), curve in rows.groupby(keys, sort=False, dropna=False):
        look = {"color": style.color, "zorder": 3, "marker": style.marker} | SPLITS.get(split, {})
        step = max(1, len(curve) // 4)  # markers all along the curve, apart from those of the other losses
        marked = list(range(round(at * (step - 1)), len(curve), step))
        look |= {"markevery": marked, "markersize": 6, "markeredgecolor": "white"}
        epochs, middle, spread = (curve[name].to_numpy() for name in ("epoch", "value", "value_spread"))
        ax.plot(epochs, middle, **(look | options))
        if split == "test" and not np.isnan(spread).any():
            ax.fill_between(epochs, middle - spread, middle + spread, color=style.color, alpha=0.15, linewidth=0)


def _draw_legend(ax: Axes, rows: pd.DataFrame) -> None:
    looks = loss_styles(rows["loss"]).values()
    handles = [Line2D([], [], color=look.color, linewidth=1.8, marker=look.marker) for look in looks]
    splits = [split for split in rows["split"].unique() if split]
    # A grey that is no loss's, since it stands for all colours.
    handles += [Line2D([], [], color="#9A9A9A", **SPLITS.get(split, {})) for split in splits]
    draw_legend(ax, handles, [*(look.label for look in looks), *splits])


def _caption(table: pd.DataFrame, rows: pd.DataFrame, quantity: str) -> Caption:
    losses, data = rows["loss"].unique(), rows["data"].unique()
    parts = titles(losses[0] if len(losses) == 1 else None, data[0] if len(data) == 1 else None, [])
    # Trainings may differ in length: each one's own last epoch.
    run = ["loss", "split", *(name for name in ("capture", "seed") if name in rows.columns)]
    last = rows[rows["epoch"] == rows.groupby(run, sort=False, dropna=False)["epoch"].transform("max")]
    word = percent if quantity == "accuracy" else number
    settings, values = settings_within_losses(rows), []
    for (loss, *told, split), part in last.groupby(["loss", *settings, "split"], sort=False, dropna=False):
        of_which = [setting_label(name, value) for name, value in zip(settings, told, strict=True)]
        words = [loss_style(loss).label, *of_which, split, word(part["value"].mean())]
        values.append(" ".join(filter(None, words)))
    label = LABELS.get(quantity, quantity.replace("_", " "))
    epochs = last["epoch"].unique()
    when = f"epoch {epochs[0]:.0f}" if len(epochs) == 1 else "the last epoch of each training"
    alt = f"{', '.join([*parts, label])} after {when}: {', '.join(values)}."
    return Caption(parts, note(table), alt)

"""The explorer's views: which plain figure and which table each one is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from isomax_viz import figures
from isomax_viz._common.checks import check_choice
from isomax_viz.analysis import features as projections
from isomax_viz.analysis import tables
from isomax_viz.captures.capture import Capture
from isomax_viz.figures.feature_space import plot_feature_space, plot_prototype_distances
from isomax_viz.figures.thresholds import plot_operating_point

__all__ = ["VIEWS", "Look", "View", "code", "draw", "drawn_data"]

PANEL = (4.8, 3.3)  # inches of each of two panels: the picture keeps its height


@dataclass(frozen=True)
class Look:
    """All that determines a picture; what a view does not use has no influence on it.

    Attributes
    ----------
    view : str
        A key of :data:`VIEWS`.
    captures : tuple of int
        Numbers of the captures: one, or two side by side.
    score : str
        A key of :data:`isomax_viz.analysis.scores.SCORES`.
    ood : tuple of str
        Out-of-distribution sets.
    threshold : tuple of float
        One per capture.
    quantity : str
        Column of the training history.
    same_axes : bool
        Whether two panels share their axes.
    theme : {"paper", "talk"}
        Text sizes.
    """

    view: str
    captures: tuple[int, ...]
    score: str = "es"
    ood: tuple[str, ...] = ()
    threshold: tuple[float, ...] = ()
    quantity: str = "accuracy"
    same_axes: bool = False
    theme: str = "paper"


@dataclass(frozen=True)
class View:
    """One way to look at captures.

    Attributes
    ----------
    label, tooltip : str
        On its button, and what it shows in one sentence.
    plot : callable
        The plain plot function.
    table : callable
        ``table(captures, **options)``: the data that it draws.
    uses : tuple of str
        Which fields of a look the figure depends on.
    kind : {"each", "together", "operating"}
        One panel per capture; all captures in one panel; or a figure of its own that has a threshold.
    options : tuple of pairs
        Further options of the plain call.
    """

    label: str
    tooltip: str
    plot: Callable[..., Any]
    table: Callable[..., pd.DataFrame]
    uses: tuple[str, ...] = ("ood",)
    kind: str = "each"
    options: tuple[tuple[str, Any], ...] = ()


def _each(function: Callable[..., pd.DataFrame], *arguments: Any, **fixed: Any) -> Callable[..., pd.DataFrame]:
    """Return a table function of one capture as one of several, numbered where there are two."""

    def table(captures: Sequence[Capture], **options: Any) -> pd.DataFrame:
        parts = [function(capture, *arguments, **fixed, **options) for capture in captures]
        if len(parts) == 1:
            return parts[0]
        return pd.concat([part.assign(capture=number) for number, part in enumerate(parts)], ignore_index=True)

    return table


VIEWS = {
    "scores": View(
        "Scores", "Distributions of the chosen score beside the ROC curve, with a threshold that you can move",
        plot_operating_point, _each(tables.scores_table), ("ood", "score", "threshold", "same_axes"), "operating",
    ),
    "logits": View(
        "Logits", "Logits of the own class, of the other classes, and of the unknown images",
        figures.plot_logits, _each(tables.logits_table), ("ood", "same_axes"),
    ),
    "entropy": View(
        "Entropy", "How undecided the network is, image by image",
        figures.plot_entropy, _each(tables.values_table, "entropy"), ("ood", "same_axes"),
    ),
    "max_probability": View(
        "Max. probability", "How sure the network says it is, image by image",
        figures.plot_max_probability, _each(tables.values_table, "max_probability"), ("ood", "same_axes"),
    ),
    "distances": View(
        "Distances", "Distances between features and prototypes: own class, other classes, unknown images",
        figures.plot_distances, _each(tables.logits_table, quantity="distance"), ("ood", "same_axes"),
    ),
    "roc": View(
        "ROC", "Share of unknown images accepted against share of known images accepted, at every threshold",
        plot_operating_point, tables.roc_table, ("ood", "score", "threshold"), "operating", (("panels", "roc"),),
    ),
    "training": View(
        "Training", "How a quantity developed over the epochs of the training",
        figures.plot_training, tables.training_table, ("quantity",), "together",
    ),
    "prototypes": View(
        "Prototypes", "How far the prototypes of the classes are from each other",
        plot_prototype_distances, _each(projections.prototype_distances_table), (),
    ),
    "features": View(
        "Feature space", "Features and prototypes in the plane in which the known features vary most",
        plot_feature_space, _each(projections.feature_space_table), ("ood", "same_axes"),
    ),
}  # fmt: skip


def _options(look: Look) -> dict[str, Any]:
    """Return the options of the plain call."""
    view, options = VIEWS[check_choice("view", look.view, VIEWS)], {}
    for name in view.uses:
        if name in ("score", "quantity"):
            options[name] = getattr(look, name)
        elif name == "ood":
            options["ood"] = list(look.ood)
        elif name == "threshold":
            options["threshold"] = look.threshold[0] if len(look.captures) == 1 else list(look.threshold)
    options |= dict(view.options)
    if len(look.captures) == 2 and look.view == "scores":
        # Two pairs of distributions fill the width; their ROC curves have a view of their own.
        options |= {"panels": "scores", "share": look.same_axes}
    elif look.view == "scores" and look.theme != "paper":
        options |= {"panels": "scores"}  # large words need the width
    elif len(look.captures) == 2 and view.kind == "each":
        share = look.same_axes and "same_axes" in view.uses
        options |= {"sharex": share, "sharey": share, "size": PANEL}
    return options | ({} if look.theme == "paper" else {"theme": look.theme})


def draw(look: Look, captures: Sequence[Capture]) -> Figure:
    """Return the figure of the plain call that a look stands for.

    Parameters
    ----------
    look : Look
    captures : sequence of Capture
        All captures on offer.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax")
    >>> draw(Look("entropy", (0,), ood=("mine",)), [capture]).axes[0].get_xlabel()
    'entropy (nats)'
    """
    view, chosen = VIEWS[check_choice("view", look.view, VIEWS)], [captures[number] for number in look.captures]
    options = _options(look)
    if view.kind == "each" and len(chosen) == 2:
        return figures.plot_grid(view.plot, chosen, **options)
    drawn = view.plot(chosen[0] if len(chosen) == 1 else chosen, **options)
    return drawn.get_figure(root=True)


def code(look: Look) -> str:
    """Return the plain Python that draws the same figure.

    Examples
    --------
    >>> print(code(Look("entropy", (2,), ood=("letters",))))
    import isomax_viz as iv
    <BLANKLINE>
    # captures: the list that explore() was given
    iv.plot_entropy(captures[2], ood=['letters'])
    """
    import isomax_viz

    view, options = VIEWS[look.view], _options(look)
    words = [f"captures[{number}]" for number in look.captures]
    arguments = [words[0] if len(words) == 1 else f"[{', '.join(words)}]"]
    plot = view.plot.__name__
    plot = f"iv.{plot}" if plot in isomax_viz.__all__ else f"iv.figures.{plot}"
    if view.kind == "each" and len(words) == 2:
        arguments, plot = [plot, *arguments], "iv.plot_grid"
    arguments += [f"{name}={value!r}" for name, value in options.items()]
    return f"import isomax_viz as iv\n\n# captures: the list that explore() was given\n{plot}({', '.join(arguments)})"


def drawn_data(look: Look, captures: Sequence[Capture]) -> pd.DataFrame:
    """Return the data that the figure draws, as its table function gives it.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax")
    >>> drawn_data(Look("entropy", (0,), ood=("mine",)), [capture])["group"].unique().tolist()
    ['ID', 'mine']
    """
    view, options = VIEWS[look.view], {}
    if "ood" in view.uses:
        options["ood"] = list(look.ood)
    if "score" in view.uses:
        options["score"] = look.score
    return view.table([captures[number] for number in look.captures], **options)

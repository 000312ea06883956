"""The explorer's views: which figure each one is, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isomax_viz import figures
from isomax_viz._checks import check_choice
from isomax_viz.captures import Capture

__all__ = ["VIEWS", "View", "draw"]


@dataclass(frozen=True)
class View:
    """One way to look at a capture.

    Attributes
    ----------
    label : str
        On its button.
    tooltip : str
        What it shows, in one sentence.
    plot : callable
        The plain plot function.
    uses : tuple of str
        Which of ``score`` and ``ood`` the figure depends on.
    options : dict
        Further options of the plain call.
    """

    label: str
    tooltip: str
    plot: Callable[..., Any]
    uses: tuple[str, ...] = ("ood",)
    options: tuple[tuple[str, Any], ...] = ()


VIEWS = {
    "scores": View(
        "Scores",
        "Distributions of the chosen score, with the threshold that accepts 95 % of the known images",
        figures.plot_scores,
        ("ood", "score"),
    ),
    "logits": View(
        "Logits", "Logits of the own class, of the other classes, and of the unknown images", figures.plot_logits
    ),
    "entropy": View("Entropy", "How undecided the network is, image by image", figures.plot_entropy),
    "max_probability": View(
        "Max. probability", "How sure the network says it is, image by image", figures.plot_max_probability
    ),
    "distances": View("Distances", "Distances between features and prototypes", figures.plot_distances),
}


def draw(view: str, capture: Capture, *, score: str, ood: tuple[str, ...], theme: str = "paper") -> Any:
    """Return the axes of the plain call that a view stands for.

    Parameters
    ----------
    view : str
        A key of :data:`VIEWS`.
    capture : Capture
    score : str
        A key of :data:`isomax_viz.scores.SCORES`.
    ood : tuple of str
        Out-of-distribution sets.
    theme : {"paper", "talk"}
        Text sizes.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax")
    >>> draw("entropy", capture, score="es", ood=("mine",)).get_xlabel()
    'entropy (nats)'
    """
    chosen = VIEWS[check_choice("view", view, VIEWS)]
    options: dict[str, Any] = {"theme": theme, **dict(chosen.options)}
    if "ood" in chosen.uses:
        options["ood"] = list(ood)
    if "score" in chosen.uses:
        options["score"] = score
    return chosen.plot(capture, **options)

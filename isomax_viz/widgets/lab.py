"""The teaching lab's views of recorded networks: the cost of a threshold, temperature, the simplex."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ipywidgets as widgets

from isomax_viz._common.checks import check_number
from isomax_viz.analysis.calibration import temperature_table
from isomax_viz.analysis.histograms import chosen_ood
from isomax_viz.analysis.risks import cheapest_threshold
from isomax_viz.analysis.scores import SCORES
from isomax_viz.analysis.tables import Captures, as_list
from isomax_viz.analysis.thresholds import RULES, find_threshold, score_range
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import loss_style
from isomax_viz.figures import plot_risk, plot_simplex, plot_temperature
from isomax_viz.figures.calibration import TEMPERATURES
from isomax_viz.sharing.digest import gives
from isomax_viz.widgets.controls import LABEL_WIDTH
from isomax_viz.widgets.lab_view import LabView, choice, score_choice, slider

__all__ = ["explore_risk", "explore_simplex", "explore_temperature"]

STEPS = 200
BY_HAND = "by hand"
COSTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0)
_RULES = (
    ("cheapest", "cheapest", "The threshold of least expected cost on these images"),
    ("95 % of ID", "tpr95", f"Take {RULES['tpr95']}"),
    ("best DTACC", "dtacc", f"Take {RULES['dtacc']}"),
    ("by hand", BY_HAND, "The threshold at the slider"),
)


def explore_risk(
    capture: Capture,
    *,
    ood: str | Iterable[str] | None = None,
    scores: Sequence[str] | None = None,
    strict: bool | None = None,
) -> LabView:
    """Set the cost of each error and the share of unknown images, move the threshold, and see what it costs.

    Parameters
    ----------
    capture : Capture
        With out-of-distribution sets.
    ood : str or list of str, optional
        Those to use; by default all.
    scores : sequence of str, optional
        Keys of ``iv.scores.SCORES`` to choose from; by default MPS, ES and MDS, which needs distances.
    strict : bool, optional
        Raise errors in callbacks as well as showing them in the view; by default under pytest only.

    Returns
    -------
    LabView
        Settings: ``score, rule, step, accept_unknown, reject_known, share_unknown``. The slider of the threshold counts
        steps from the lowest to the highest score. It follows the rule; moving it sets the rule "by hand".

    Raises
    ------
    TypeError
        If this is no capture.
    ValueError
        If the capture has no such set or no set at all, or a score is unknown.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"mine": [[1.0, 0.9]]}, loss="softmax")
    >>> view = explore_risk(capture)
    >>> [label for label, _ in view.controls["score"].options]
    ['MPS', 'ES']
    >>> view.controls["step"].value = 150
    >>> view.state()["rule"]
    'by hand'
    """
    names = list(chosen_ood(capture, ood))
    if scores is None:
        scores = [key for key in ("mps", "es", "mds") if gives(capture, SCORES[key], names)]

    def draw(*, score: str, rule: str, step: int, **options: float) -> Any:
        low, high = score_range(capture, names, score=score)
        threshold = low + (high - low) * step / STEPS if rule == BY_HAND else rule
        return plot_risk(capture, names, score=score, threshold=threshold, **options)

    def follow(settings: dict[str, Any]) -> dict[str, Any]:
        """Return where the slider stands while a rule gives the threshold."""
        score, rule = settings["score"], settings["rule"]
        if rule == BY_HAND:
            return {}
        costs = {name: settings[name] for name in ("accept_unknown", "reject_known", "share_unknown")}
        if rule == "cheapest":
            threshold = cheapest_threshold(capture, names, score=score, **costs)
        else:
            threshold = find_threshold(capture, names, score=score, rule=rule)
        low, high = score_range(capture, names, score=score)
        share = (min(threshold, high) - low) / max(high - low, 1e-12)
        return {"step": round(STEPS * share)}

    implied = {"step": {"rule": BY_HAND}}
    return LabView(_risk_controls(scores), draw, main="accept_unknown", follow=follow, implied=implied, strict=strict)


def _risk_controls(scores: Iterable[str]) -> dict[str, Any]:
    costs = [(f"{value:g}", value) for value in COSTS]
    shares = [(f"{100 * value:g} %", value) for value in SHARES]
    tooltip = "Number by which known and unknown images are told apart; higher = more in-distribution"
    return {
        "accept_unknown": slider("Cost: accept", costs, 1.0, tooltip="Cost of accepting an unknown image"),
        "reject_known": slider("Cost: reject", costs, 1.0, tooltip="Cost of rejecting a known image"),
        "share_unknown": slider("Unknown", shares, 0.5, tooltip="Share of unknown images among those to come"),
        "score": score_choice(scores, tooltip=tooltip),
        "rule": choice("Rule", list(_RULES), tooltip="What gives the threshold"),
        "step": widgets.IntSlider(
            description="Threshold",
            tooltip="Threshold from the lowest to the highest score (arrow keys move it)",
            min=0,
            max=STEPS,
            value=STEPS // 2,
            readout=False,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "520px", "max_width": "100%"},
        ),
    }


def explore_temperature(captures: Captures, *, strict: bool | None = None) -> LabView:
    """Move the temperature of inference: from as cold as the training to warmer than detection.

    Parameters
    ----------
    captures : Capture or list of Capture
        With out-of-distribution sets, one of each loss.
    strict : bool, optional
        As in :func:`explore_risk`.

    Returns
    -------
    LabView
        Settings: ``temperature, loss``.

    Raises
    ------
    ValueError
        If two captures have the same loss.

    Examples
    --------
    >>> logits = [[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]
    >>> capture = Capture.from_arrays(logits, [0, 0, 1, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> explore_temperature(capture).state()
    {'temperature': 1.0, 'loss': 'softmax'}
    """
    by_loss = {capture.loss: capture for capture in as_list(captures)}
    if len(by_loss) != len(as_list(captures)):
        raise ValueError("captures must have different losses, but two have the same. Give one of each.")
    tables = {loss: temperature_table(capture, TEMPERATURES) for loss, capture in by_loss.items()}
    values = sorted({*(float(f"{value:.2g}") for value in TEMPERATURES), 0.1, 1.0})
    options = [(loss_style(loss).label, loss, f"The network trained with {loss_style(loss).label}") for loss in by_loss]
    controls = {
        "temperature": slider(
            "Temperature", [(f"{value:g}", value) for value in values], 1.0, tooltip="What the logits are divided by"
        ),
        "loss": choice("Loss", options, tooltip="Loss that the network was trained with"),
    }

    def draw(*, temperature: float, loss: str) -> Any:
        return plot_temperature(by_loss[loss], temperature=temperature, table=tables[loss])

    return LabView(controls, draw, main="temperature", strict=strict)


# name -> (distances to the three prototypes, explanation); class 0 is the correct one
EXAMPLES = {
    "near one": ((0.2, 0.5, 0.8), "The features lie nearest to the correct prototype"),
    "between two": ((0.4, 0.45, 0.8), "Two prototypes are almost equally near"),
    "near none": ((0.9, 0.95, 1.0), "Far from all prototypes, as unknown images may be"),
    "wrong": ((0.5, 0.2, 0.8), "A wrong prototype is nearest"),
}


def explore_simplex(*, entropic_scale: float = 10.0, strict: bool | None = None) -> LabView:
    """Move the scale on the logits of one sample of three classes and see it travel over the simplex.

    Parameters
    ----------
    entropic_scale : float
        That of the training, to be marked.
    strict : bool, optional
        As in :func:`explore_risk`.

    Returns
    -------
    LabView
        Settings: ``scale, example``.

    Raises
    ------
    ValueError
        If the scale of the training is not above 0.

    Examples
    --------
    >>> explore_simplex().state()
    {'scale': 1.0, 'example': 'near one'}
    """
    check_number("entropic_scale", entropic_scale, above=0)
    options = [(name, name, words) for name, (_, words) in EXAMPLES.items()]
    controls = {
        "scale": slider("Scale", [(f"{value:g}", value) for value in SCALES], 1.0, tooltip="Factor on the logits"),
        "example": choice("Sample", options, tooltip="Distances of the features to the three prototypes"),
    }

    def draw(*, scale: float, example: str) -> Any:
        logits = [-distance for distance in EXAMPLES[example][0]]
        return plot_simplex(logits, scale=scale, entropic_scale=entropic_scale)

    return LabView(controls, draw, main="scale", strict=strict)

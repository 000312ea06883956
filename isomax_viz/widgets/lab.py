"""The teaching lab's views: surfaces over the epochs, the cost of a threshold, temperature, the simplex."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ipywidgets as widgets

from isomax_viz._checks import check_known
from isomax_viz.calibration import temperature_table
from isomax_viz.captures import Capture
from isomax_viz.figures import plot_risk, plot_simplex, plot_surfaces, plot_temperature
from isomax_viz.figures.calibration import TEMPERATURES
from isomax_viz.planes import SPACES, ToyRun
from isomax_viz.risks import cheapest_threshold
from isomax_viz.scores import SCORES
from isomax_viz.style import loss_style
from isomax_viz.tables import Captures, as_list
from isomax_viz.thresholds import RULES, find_threshold, score_range
from isomax_viz.widgets import lifetime
from isomax_viz.widgets.controls import LABEL_WIDTH
from isomax_viz.widgets.lab_view import LabView, choice, slider

__all__ = ["explore_risk", "explore_simplex", "explore_surfaces", "explore_temperature"]

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


def _score_choice(keys: Iterable[str]) -> Any:
    options = [(SCORES[key].label, key, f"{SCORES[key].name}: {SCORES[key].explanation}") for key in keys]
    return choice(
        "Score", options, tooltip="Number by which known and unknown are told apart; bright = in-distribution"
    )


def explore_surfaces(
    runs: ToyRun | Sequence[ToyRun],
    *,
    spaces: str | Sequence[str] | None = None,
    scores: Sequence[str] = ("mps", "es", "mds"),
    strict: bool | None = None,
) -> LabView:
    """Move through the epochs of small trainings and see the surface of a score change, side by side.

    Parameters
    ----------
    runs : ToyRun or list of ToyRun
        Of :func:`isomax_viz.train_toy`; one panel each.
    spaces : {"input", "features"} or both, optional
        What can be looked at; by default what the data allow.
    scores : sequence of str
        Keys of ``iv.scores.SCORES`` to choose from.
    strict : bool, optional
        Raise errors in callbacks as well as showing them in the view; by default under pytest only.

    Returns
    -------
    LabView
        Settings: ``epoch, score, space, fill``.

    Raises
    ------
    ValueError
        If there is no run, the runs share no epoch, or a name is unknown.

    Examples
    --------
    >>> from isomax_viz import train_toy
    >>> explore_surfaces(train_toy("moons", epochs=1, lines=9)).state()
    {'epoch': 1, 'score': 'mps', 'space': 'input', 'fill': 'score'}
    """
    listed = [runs] if isinstance(runs, ToyRun) else list(runs)
    shared = sorted(set.intersection(*(set(run.epochs) for run in listed))) if listed else []
    if not shared:
        raise ValueError(f"runs must be at least one, with common epochs, but there are {len(listed)}. Train some.")
    offered = [name for name in SPACES if all(name in run.final.planes for run in listed)]
    chosen = offered if spaces is None else check_known("spaces", spaces, offered)
    epoch = slider(
        "Epoch", [(f"{n}", n) for n in shared], shared[-1], tooltip="How long the networks have been trained"
    )
    controls = {
        "epoch": epoch,
        "score": _score_choice(check_known("scores", scores, SCORES)),
        "space": choice("Plane", [(name, name, SPACES[name]) for name in chosen], tooltip="Which plane to look at"),
        "fill": choice(
            "Fill",
            [
                ("score", "score", "The score at every point; bright is in-distribution"),
                ("regions", "regions", "The class that the network decides for"),
            ],
            tooltip="What the colours say",
        ),
    }

    if len(chosen) == 1:
        controls["space"].layout.display = "none"

    def draw(*, epoch: int, score: str, space: str, fill: str) -> Any:
        snapshots = [run.at(epoch) for run in listed]
        return plot_surfaces(snapshots, score=score, space=space, regions=fill == "regions")

    return LabView(controls, draw, main="epoch", extra={"epoch": [_player(epoch)]}, strict=strict)


def _player(control: Any) -> widgets.Play:
    last = len(control.options) - 1
    player = widgets.Play(
        min=0, max=last, value=last, interval=450, description="Play", tooltip="Play all epochs", show_repeat=False
    )

    def moved(change: Any) -> None:
        with lifetime.LOCK:
            control.index = change.new

    player.observe(moved, "value")
    return player


def explore_risk(
    capture: Capture,
    *,
    ood: str | Iterable[str] | None = None,
    scores: Sequence[str] = ("mps", "es", "mds"),
    strict: bool | None = None,
) -> LabView:
    """Set the cost of each error and the share of unknown images, move the threshold, and see what it costs.

    Parameters
    ----------
    capture : Capture
        With out-of-distribution sets.
    ood : str or list of str, optional
        Those to use; by default all.
    scores, strict
        As in :func:`explore_surfaces`.

    Returns
    -------
    LabView
        Settings: ``score, rule, step, accept_unknown, reject_known, share_unknown``. The slider of the threshold counts
        steps from the lowest to the highest score. It follows the rule; moving it sets the rule "by hand".

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"mine": [[1.0, 0.9]]}, loss="softmax")
    >>> view = explore_risk(capture, scores=["mps", "es"])
    >>> view.controls["step"].value = 150
    >>> view.state()["rule"]
    'by hand'
    """
    step = widgets.IntSlider(
        description="Threshold", min=0, max=STEPS, value=STEPS // 2, readout=False,
        style={"description_width": LABEL_WIDTH},
        tooltip="Threshold from the lowest to the highest score (arrow keys move it)",
        layout={"width": "520px", "max_width": "100%"},
    )  # fmt: skip
    costs = [(f"{value:g}", value) for value in COSTS]
    shares = [(f"{100 * value:g} %", value) for value in SHARES]
    controls = {
        "accept_unknown": slider("Cost: accept", costs, 1.0, tooltip="Cost of accepting an unknown image"),
        "reject_known": slider("Cost: reject", costs, 1.0, tooltip="Cost of rejecting a known image"),
        "share_unknown": slider("Unknown", shares, 0.5, tooltip="Share of unknown images among those to come"),
        "score": _score_choice(check_known("scores", scores, SCORES)),
        "rule": choice("Rule", list(_RULES), tooltip="What gives the threshold"),
        "step": step,
    }

    view: LabView | None = None

    def by_hand(change: Any) -> None:
        if view is not None and not view.silent:
            controls["rule"].value = BY_HAND

    def draw(*, score: str, rule: str, step: int, **options: float) -> Any:
        low, high = score_range(capture, ood, score=score)
        threshold = low + (high - low) * step / STEPS if rule == BY_HAND else rule
        return plot_risk(capture, ood, score=score, threshold=threshold, **options)

    # Before the view's own observer: the picture is then drawn with the rule that the slider stands for.
    step.observe(by_hand, "value")

    def follow(settings: dict[str, Any]) -> dict[str, Any]:
        """Return where the slider stands while a rule gives the threshold."""
        score, rule = settings["score"], settings["rule"]
        if rule == BY_HAND:
            return {}
        costs = {name: settings[name] for name in ("accept_unknown", "reject_known", "share_unknown")}
        if rule == "cheapest":
            threshold = cheapest_threshold(capture, ood, score=score, **costs)
        else:
            threshold = find_threshold(capture, ood, score=score, rule=rule)
        low, high = score_range(capture, ood, score=score)
        share = (min(threshold, high) - low) / max(high - low, 1e-12)
        return {"step": round(STEPS * share)}

    view = LabView(controls, draw, main="accept_unknown", follow=follow, strict=strict)
    return view


def explore_temperature(captures: Captures, *, strict: bool | None = None) -> LabView:
    """Move the temperature of inference: from as cold as the training to warmer than detection.

    Parameters
    ----------
    captures : Capture or list of Capture
        With out-of-distribution sets, one of each loss.
    strict : bool, optional
        As in :func:`explore_surfaces`.

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
        As in :func:`explore_surfaces`.

    Returns
    -------
    LabView
        Settings: ``scale, example``.

    Examples
    --------
    >>> explore_simplex().state()
    {'scale': 1.0, 'example': 'near one'}
    """
    options = [(name, name, words) for name, (_, words) in EXAMPLES.items()]
    controls = {
        "scale": slider("Scale", [(f"{value:g}", value) for value in SCALES], 1.0, tooltip="Factor on the logits"),
        "example": choice("Sample", options, tooltip="Distances of the features to the three prototypes"),
    }

    def draw(*, scale: float, example: str) -> Any:
        logits = [-distance for distance in EXAMPLES[example][0]]
        return plot_simplex(logits, scale=scale, entropic_scale=entropic_scale)

    return LabView(controls, draw, main="scale", strict=strict)

"""The teaching lab's first view: small trainings side by side, the surface of a score over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from isomax_viz._common.checks import check_known
from isomax_viz.analysis.features import SPACES, ToyRun
from isomax_viz.figures import plot_surfaces
from isomax_viz.widgets import lifetime
from isomax_viz.widgets.lab_view import LabView, choice, score_choice, slider

__all__ = ["explore_surfaces"]


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
        If there is no run or score, the runs share no epoch, or a name is unknown.

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
        "score": score_choice(scores, tooltip="Number that colours the plane; bright = in-distribution"),
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
        min=0,
        max=last,
        value=control.index,
        interval=450,
        description="Play",
        tooltip="Play all epochs",
        show_repeat=False,
    )

    def moved(change: Any) -> None:
        with lifetime.LOCK:
            control.index = change.new

    def followed(change: Any) -> None:
        with lifetime.LOCK:
            player.value = change.new  # playing goes on from where the slider was left

    player.observe(moved, "value")
    control.observe(followed, "index")
    return player

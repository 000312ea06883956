"""What a network says about every point of a plane, epoch by epoch: its input space, or its two features.

A training of :func:`isomax_viz.learning.toys.train_toy` gives a :class:`ToyRun`; nothing here needs the network again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz import scores as scores_module
from isomax_viz._common.checks import check_choice
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.losses import compares_directions
from isomax_viz.histograms import chosen_ood
from isomax_viz.metrics import threshold_at_tpr
from isomax_viz.projections import class_names

__all__ = ["SPACES", "Plane", "Snapshot", "ToyRun", "surface_table"]

SPACES = {"input": "the points as they are given", "features": "what the network makes of them"}
# IsoMax+ compares directions only: its features lie on the unit circle, the unknown ones a little outside it, so that
# they do not hide the known ones; all of them within what the plane shows.
OUTSIDE, OUTERMOST = 0.13, 0.5


@dataclass(frozen=True, eq=False, repr=False)
class Plane:
    """A regular grid of points and what the network says about each.

    Attributes
    ----------
    x, y : ndarray, shape (columns,) and (rows,)
        Coordinates of the grid lines.
    samples : Samples
        Row ``r * columns + c`` is the point (x[c], y[r]); labels are -1.
    """

    x: np.ndarray
    y: np.ndarray
    samples: Samples

    def __repr__(self) -> str:
        return f"Plane({len(self.x)} x {len(self.y)} points)"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top."""
        return float(self.x[0]), float(self.x[-1]), float(self.y[0]), float(self.y[-1])


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """A network at one epoch: what it says about its data, and about every point of its planes.

    Attributes
    ----------
    epoch : int
        0 is before the training.
    capture : Capture
        Training points, test points and unknown sets, with two-dimensional features.
    planes : mapping of str to Plane
        ``"features"`` and, where the data have two coordinates, ``"input"``.
    points : mapping of str to ndarray, shape (n, 2)
        ``"train"``, ``"test"`` and the unknown sets in input space; empty where the data have other than two
        coordinates.
    weights : mapping of str to ndarray
        The parameters of the network by name.
    """

    epoch: int
    capture: Capture
    planes: Mapping[str, Plane]
    points: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]

    def __repr__(self) -> str:
        return f"Snapshot(epoch {self.epoch} of {self.capture!r})"


@dataclass(frozen=True, eq=False, repr=False)
class ToyRun:
    """A training with a snapshot of every epoch.

    Attributes
    ----------
    snapshots : tuple of Snapshot
        In the order of the epochs.
    """

    snapshots: tuple[Snapshot, ...]

    def __repr__(self) -> str:
        return f"ToyRun({self.epochs[-1]} epochs of {self.capture!r})"

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs that have a snapshot."""
        return tuple(snapshot.epoch for snapshot in self.snapshots)

    @property
    def final(self) -> Snapshot:
        """The network after its training."""
        return self.snapshots[-1]

    @property
    def capture(self) -> Capture:
        """What the trained network says, for every other figure and table of the package."""
        return self.final.capture

    def at(self, epoch: int) -> Snapshot:
        """Return the snapshot of an epoch.

        Raises
        ------
        ValueError
            If that epoch has none.
        """
        if epoch not in self.epochs:
            raise ValueError(
                f"epoch must be one of {self.epochs[0]} .. {self.epochs[-1]} (those with a snapshot), but is {epoch!r}."
            )
        return self.snapshots[self.epochs.index(epoch)]


def surface_table(
    snapshot: Snapshot | ToyRun,
    *,
    score: str | Callable[[Samples], np.ndarray] = "es",
    space: str = "input",
    ood: str | Iterable[str] | None = None,
) -> pd.DataFrame:
    """Return a score at every point of a plane, and the data that lie in it.

    Parameters
    ----------
    snapshot : Snapshot or ToyRun
        Of a run, the last one.
    score : str or callable
        A key of ``iv.scores.SCORES``, or your own function; higher = more in-distribution.
    space : {"input", "features"}
        Which plane.
    ood : str or list of str, optional
        Unknown sets; by default all, ``[]`` for none.

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, backbone, preset, seed, epoch, space, score``, ``group`` ("plane", "ID", a set's
        name or "prototype"), ``ood`` (bool), ``label`` (for the plane: the class that the network decides for),
        ``name`` (of the class), ``x``, ``y``, ``value`` (the score; NaN for prototypes) and ``threshold`` (the largest
        that accepts at least 95 % of the test points). Points of the plane come row by row from the bottom left.

    Raises
    ------
    ValueError
        If a name is unknown, or the data have no plane to draw their input space in.

    Notes
    -----
    The features of IsoMax+ and its prototypes are brought to length 1, because it compares directions only; unknown
    sets are put on circles a little larger, so that they do not hide the known points.
    """
    snapshot = snapshot.final if isinstance(snapshot, ToyRun) else snapshot
    capture, chosen = snapshot.capture, scores_module.get(score)
    check_choice(
        "space", space, snapshot.planes, remedy="" if "input" in snapshot.planes else "These data have no input plane."
    )
    plane = snapshot.planes[space]
    x, y = np.meshgrid(plane.x, plane.y)
    grid = np.column_stack([x.ravel(), y.ravel()])
    parts = [_rows("plane", False, plane.samples.predictions, grid, scores_module.compute(chosen, plane.samples))]
    sets = {"test": capture.test} | chosen_ood(capture, ood if ood is not None or capture.ood else [])
    step = min(OUTSIDE, OUTERMOST / max(1, len(sets) - 1))
    for number, (name, samples) in enumerate(sets.items()):
        points = snapshot.points[name] if space == "input" else _placed(capture, samples.features, step * number)
        group, values = "ID" if name == "test" else name, scores_module.compute(chosen, samples)
        parts.append(_rows(group, name != "test", samples.labels, points, values))
    if space == "features" and capture.prototypes is not None:
        points = _placed(capture, capture.prototypes)
        parts.append(_rows("prototype", False, np.arange(len(points)), points, np.full(len(points), np.nan)))
    threshold = threshold_at_tpr(scores_module.compute(chosen, capture.test))
    names = {-1: "", **dict(enumerate(class_names(capture)))}
    told: dict[str, Any] = source(capture) | {"epoch": snapshot.epoch, "space": space, "score": chosen.key}
    table = pd.concat(parts, ignore_index=True)
    return table.assign(name=table["label"].map(names), threshold=threshold, **told)


def _placed(capture: Capture, features: np.ndarray, outside: float = 0.0) -> np.ndarray:
    if not compares_directions(capture.loss):
        return features
    lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return features / lengths * (1 + outside)


def _rows(group: str, ood: bool, labels: np.ndarray, points: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    columns = {"group": group, "ood": ood, "label": labels, "x": points[:, 0], "y": points[:, 1], "value": values}
    return pd.DataFrame(columns)

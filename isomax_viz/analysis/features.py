"""Features and prototypes in the plane, and the distances between prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import Sealed, check_choice, check_number
from isomax_viz.analysis.chosen import Names, chosen_ood
from isomax_viz.analysis.metrics import threshold_at_tpr
from isomax_viz.analysis.scores import ScoreLike, compute, get
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import loss_record

__all__ = ["Plane", "SPACES", "Snapshot", "ToyRun", "feature_space_table", "prototype_distances_table", "surface_table"]


def feature_space_table(capture: Capture, ood: Names = None, *, most: int = 600) -> pd.DataFrame:
    """Project features and prototypes on the two directions in which the known test features vary most (PCA).

    Parameters
    ----------
    capture : Capture
        With features; prototypes are added where it has them.
    ood : str or list of str, optional
        Out-of-distribution sets; by default all, ``[]`` for none. They do not influence the directions.
    most : int
        Images per set, spread evenly: more than some hundred points hide each other.

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, backbone, preset, seed``, ``group`` ("ID", a set's name or "prototype"), ``ood``
        (bool), ``index`` (of the image in its set, or of the class), ``label`` (class number, -1 if unknown), ``name``
        (of the class), ``x, y``, and ``explained`` (share of the variance of the known test features in the plane).

    Raises
    ------
    ValueError
        If the samples carry no features.

    Notes
    -----
    IsoMax+ and Scaled Cosine compare directions only, so their features and prototypes are brought to length 1 first.
    Distances in the plane are at most those in feature space.

    Examples
    --------
    >>> logits, features = [[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0]]
    >>> table = feature_space_table(Capture.from_arrays(logits, [0, 1], features=features, loss="isomax"))
    >>> table[["group", "label", "x", "y"]].round(2)
      group  label    x    y
    0    ID      0  3.0  0.0
    1    ID      1 -3.0  0.0
    """
    check_number("most", most, at_least=1, whole=True)
    sets = {"ID": capture.test} | chosen_ood(capture, ood, required=False)
    known = _placed(capture, capture.test.require("features"))
    if len(known) < 2 or known.shape[1] < 2:
        raise ValueError(
            f"A plane needs at least 2 test images and 2 features, but there are {len(known)} and {known.shape[1]}."
        )
    centre = known.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(known - centre, rowvar=False))
    plane = directions[:, :-3:-1]
    # The sign of a direction is arbitrary: the largest component is made positive, so that pictures can be compared.
    plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), range(plane.shape[1])])
    explained = float(values[:-3:-1].sum() / max(values.sum(), np.finfo(float).tiny))
    parts = []
    for name, samples in sets.items():
        chosen = np.arange(len(samples)) if len(samples) <= most else np.arange(most) * len(samples) // most
        features = samples.require("features", of=f"The samples of {name!r}")[chosen]
        points = (_placed(capture, features) - centre) @ plane
        parts.append(_rows(name, name != "ID", samples.labels[chosen], points, index=chosen))
    if capture.prototypes is not None:
        classes = np.arange(len(capture.prototypes))
        points = (_placed(capture, capture.prototypes) - centre) @ plane
        parts.append(_rows("prototype", False, classes, points, index=classes))
    return _named(capture, parts).assign(explained=explained, **source(capture))


def class_names(capture: Capture) -> list[str]:
    """Return the names of the classes, their numbers where nobody named them.

    Examples
    --------
    >>> class_names(Capture.from_arrays([[3.0, 0.0]], [0], meta={"classes": ["cat", "dog"]}))
    ['cat', 'dog']
    """
    named = capture.meta.get("classes")
    return [str(name) for name in named] if named else [str(number) for number in range(capture.test.classes)]


def _placed(capture: Capture, features: np.ndarray, outside: float = 0.0) -> np.ndarray:
    """Return features as the loss compares them; where it compares directions, that far outside the unit circle."""
    values = features.astype(np.float64)
    if not loss_record(capture.loss).unit_vectors:
        return values
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12) * (1 + outside)


def _rows(group: str, ood: bool, labels: np.ndarray, points: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    columns: dict[str, Any] = {"group": group, "ood": ood, "label": labels, "x": points[:, 0], "y": points[:, 1]}
    return pd.DataFrame(columns | more)


def _named(capture: Capture, parts: list[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True)
    return table.assign(name=table["label"].map({-1: "", **dict(enumerate(class_names(capture)))}))


def prototype_distances_table(capture: Capture) -> pd.DataFrame:
    """Return the distance between every two prototypes (for SoftMax: class means of the training features).

    Parameters
    ----------
    capture : Capture
        With prototypes.

    Returns
    -------
    DataFrame
        ``loss, entropic_scale, data, backbone, preset, seed``, ``row, column`` (class numbers), ``row_name,
        column_name`` and ``distance`` (for IsoMax+ and Scaled Cosine between unit vectors), one row per ordered pair.

    Raises
    ------
    ValueError
        If the capture has no prototypes.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax").replace(prototypes=[[0.0, 0.0], [3.0, 4.0]])
    >>> prototype_distances_table(capture)[["row", "column", "distance"]]
       row  column  distance
    0    0       0       0.0
    1    0       1       5.0
    2    1       0       5.0
    3    1       1       0.0
    """
    if capture.prototypes is None:
        raise ValueError(
            "This capture carries no prototypes. Record them with Experiment.run(), or pass prototypes=... to "
            "capture.replace()."
        )
    from scipy.spatial.distance import cdist  # a tenth of a second that no other figure shall wait for

    points, names = _placed(capture, capture.prototypes), np.array(class_names(capture), dtype=object)
    distances = cdist(points, points)
    row, column = (index.ravel() for index in np.indices(distances.shape))
    pairs = {"row": row, "column": column, "row_name": names[row], "column_name": names[column]}
    return pd.DataFrame(source(capture) | pairs | {"distance": distances.ravel()})


SPACES = {"input": "the points as they are given", "features": "what the network makes of them"}
# IsoMax+ compares directions only: its features lie on the unit circle, the unknown ones a little outside it, so that
# they do not hide the known ones; all of them within what the plane shows.
OUTSIDE, OUTERMOST = 0.13, 0.5


@dataclass(frozen=True, eq=False, repr=False)
class Plane(Sealed):
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


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot(Sealed):
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
    snapshot: Snapshot | ToyRun, *, score: ScoreLike = "es", space: str = "input", ood: Names = None
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
    capture, chosen = snapshot.capture, get(score)
    remedy = "" if "input" in snapshot.planes else "These data have no input plane."
    plane = snapshot.planes[check_choice("space", space, snapshot.planes, remedy=remedy)]
    x, y = np.meshgrid(plane.x, plane.y)
    grid = np.column_stack([x.ravel(), y.ravel()])
    values = compute(chosen, plane.samples)
    parts = [_rows("plane", False, plane.samples.require("predictions"), grid, value=values)]
    sets = {"test": capture.test} | chosen_ood(capture, ood, required=False)
    step = min(OUTSIDE, OUTERMOST / max(1, len(sets) - 1))
    for number, (name, samples) in enumerate(sets.items()):
        is_input = space == "input"
        points = snapshot.points[name] if is_input else _placed(capture, samples.require("features"), step * number)
        group = "ID" if name == "test" else name
        parts.append(_rows(group, name != "test", samples.labels, points, value=compute(chosen, samples)))
    if space == "features" and capture.prototypes is not None:
        points, classes = _placed(capture, capture.prototypes), np.arange(len(capture.prototypes))
        parts.append(_rows("prototype", False, classes, points, value=np.full(len(points), np.nan)))
    threshold = threshold_at_tpr(compute(chosen, capture.test))
    told: dict[str, Any] = source(capture) | {"epoch": snapshot.epoch, "space": space, "score": chosen.key}
    return _named(capture, parts).assign(threshold=threshold, **told)

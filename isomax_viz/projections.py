"""Features and prototypes in the plane, and the distances between prototypes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_number
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.catalog.losses import compares_directions
from isomax_viz.histograms import chosen_ood

__all__ = ["feature_space_table", "prototype_distances_table"]


def feature_space_table(capture: Capture, ood: str | Iterable[str] | None = None, *, most: int = 600) -> pd.DataFrame:
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
    sets = {"ID": capture.test} | chosen_ood(capture, ood if ood is not None or capture.ood else [])
    missing = [name for name, samples in sets.items() if samples.features is None]
    if missing:
        raise ValueError(
            f"{missing[0]!r} carries no features to project. Record them with Experiment.run(), or pass features=... "
            "when building the capture."
        )
    known = _comparable(capture, capture.test.features)
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
        points = (_comparable(capture, samples.features[chosen]) - centre) @ plane
        parts.append(_rows(name, name != "ID", chosen, samples.labels[chosen], points))
    if capture.prototypes is not None:
        classes = np.arange(len(capture.prototypes))
        points = (_comparable(capture, capture.prototypes) - centre) @ plane
        parts.append(_rows("prototype", False, classes, classes, points))
    table = pd.concat(parts, ignore_index=True)
    names = {-1: "", **dict(enumerate(class_names(capture)))}
    return table.assign(name=table["label"].map(names), explained=explained, **source(capture))


def class_names(capture: Capture) -> list[str]:
    """Return the names of the classes, their numbers where nobody named them.

    Examples
    --------
    >>> class_names(Capture.from_arrays([[3.0, 0.0]], [0], meta={"classes": ["cat", "dog"]}))
    ['cat', 'dog']
    """
    named = capture.meta.get("classes")
    return [str(name) for name in named] if named else [str(number) for number in range(capture.test.classes)]


def _comparable(capture: Capture, features: np.ndarray) -> np.ndarray:
    values = features.astype(np.float64)
    if not compares_directions(capture.loss):
        return values
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _rows(group: str, ood: bool, index: np.ndarray, labels: np.ndarray, points: np.ndarray) -> pd.DataFrame:
    columns: dict[str, Any] = {"group": group, "ood": ood, "index": index, "label": labels}
    return pd.DataFrame(columns | {"x": points[:, 0], "y": points[:, 1]})


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
    points, names = _comparable(capture, capture.prototypes), np.array(class_names(capture), dtype=object)
    squares = (points**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    row, column = (index.ravel() for index in np.indices(distances.shape))
    return pd.DataFrame(
        source(capture)
        | {"row": row, "column": column, "row_name": names[row], "column_name": names[column]}
        | {"distance": distances.ravel()}
    )

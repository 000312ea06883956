"""What a loss is made of, block by block, and what its logits look like over a plane of features."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.losses import LOSSES

__all__ = ["CENTRES", "loss_blocks_table", "plane_table"]

# Three classes on a plane: weight vectors of SoftMax, prototypes of the others.
CENTRES = 2.0 * np.array([[0.0, 1.0], [-np.sqrt(3) / 2, -0.5], [np.sqrt(3) / 2, -0.5]])
EXTENT = 6.0
_DISTANCE_SCALE = 3.0


def loss_blocks_table(loss: str) -> pd.DataFrame:
    """Return the blocks of a loss in order, from the features up.

    Parameters
    ----------
    loss : str
        A key of :data:`isomax_viz.catalog.losses.LOSSES`.

    Returns
    -------
    DataFrame
        ``loss, place`` (from 0), ``block, formula`` (mathtext without dollar signs) and ``artefact`` (what the block
        leaves in feature space, empty for most).

    Notes
    -----
    Source: DisMax paper (2019), Figure 1 and equations 1, 2, 6, 7; IsoMax+ paper, equations 2 and 3; IsoMax2 paper,
    equations 2 and 5.

    Examples
    --------
    >>> loss_blocks_table("isomax")["block"].tolist()
    ['features', 'distances: logits', 'entropic scale (training only)', 'softmax', 'cross-entropy']
    """
    blocks = LOSSES[check_choice("loss", loss, LOSSES)].blocks
    rows = [(loss, place, *block) for place, block in enumerate(blocks)]
    return pd.DataFrame(rows, columns=["loss", "place", "block", "formula", "artefact"])


def plane_table(loss: str, *, points: int = 121) -> pd.DataFrame:
    """Return the maximum probability, and by how much each class leads, over a plane of two features.

    Parameters
    ----------
    loss : str
        A key of :data:`isomax_viz.catalog.losses.LOSSES`.
    points : int
        Per side of the square.

    Returns
    -------
    DataFrame
        ``loss, x, y, max_probability`` (at temperature 1, as used for detection) and ``lead_0`` to ``lead_2`` (the
        class's probability minus the largest other one: zero on its border), row by row.

    Notes
    -----
    Made up, not learned: three classes with the :data:`CENTRES` as weight vectors (no bias) or prototypes, and 3 for
    the distance scale of IsoMax+.

    Examples
    --------
    >>> corner = [plane_table(loss, points=3)["max_probability"].iloc[0] for loss in ("softmax", "isomax")]
    >>> [round(float(value), 2) for value in corner]
    [1.0, 0.91]
    """
    check_choice("loss", loss, LOSSES)
    check_number("points", points, at_least=2, whole=True)
    axis = np.linspace(-EXTENT, EXTENT, points)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    features = np.stack([x, y], axis=1)
    samples = Samples(logits=_LOGITS[LOSSES[loss].geometry](features), labels=np.full(len(x), -1))
    table = pd.DataFrame({"loss": loss, "x": x, "y": y, "max_probability": samples.max_probabilities})
    for label in range(len(CENTRES)):
        others = np.delete(samples.probabilities, label, axis=1).max(axis=1)
        table[f"lead_{label}"] = samples.probabilities[:, label] - others
    return table


def _distances(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.linalg.norm(features[:, None] - centres, axis=2)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


# How each geometry gives logits of the features on the plane.
_LOGITS = {
    "affine": lambda features: features @ CENTRES.T,
    "distance": lambda features: -_distances(features, CENTRES),
    "unit distance": lambda features: -_DISTANCE_SCALE * _distances(_unit(features), _unit(CENTRES)),
    "cosine": lambda features: _unit(features) @ _unit(CENTRES).T,
}

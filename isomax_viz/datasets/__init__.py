"""Data sets by name: pictures as uint8 arrays with class names and provenance; no PyTorch needed.

``load_id`` and ``load_ood`` give what an experiment needs; ``describe`` lists what there is and on what terms.
"""

from __future__ import annotations

from isomax_viz.datasets.catalogue import ID_SETS, OOD_SETS, Source, default_ood, describe, load_id, load_ood
from isomax_viz.datasets.folder import from_arrays, from_folder
from isomax_viz.datasets.images import ImageSet, InDistribution
from isomax_viz.datasets.toys import TOYS, Toy, load_toy, toy_from_images

__all__ = [
    "ID_SETS", "OOD_SETS", "TOYS", "ImageSet", "InDistribution", "Source", "Toy", "default_ood", "describe",
    "from_arrays", "from_folder", "load_id", "load_ood", "load_toy", "toy_from_images",
]  # fmt: skip

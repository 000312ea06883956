"""Detectors: scores that need the network, its gradients or its training features, as columns of a capture.

Where pytorch-ood has the method, it computes it (but for Mahalanobis distances, see
:class:`~isomax_viz.learning.detectors.gaussians.Gaussians`); its scores are higher = more out-of-distribution, and the
sign is changed in the adaptor. No detector sees out-of-distribution pictures before it scores them:
:data:`isomax_viz.analysis.scores.COLUMNS` declares where each takes its settings from.
"""

from __future__ import annotations

from isomax_viz.learning.detectors.averages import Ensemble, MCDropout
from isomax_viz.learning.detectors.base import Detector, FeatureDetector, Known, NotFittedError
from isomax_viz.learning.detectors.gram import Gram
from isomax_viz.learning.detectors.layers import Layers
from isomax_viz.learning.detectors.lee import Mahalanobis
from isomax_viz.learning.detectors.on_features import SHE, KLMatching, KNearest, MahalanobisFeatures, ReAct, ViM
from isomax_viz.learning.detectors.preprocessing import GODIN, ODIN, adversarial

__all__ = [
    "DETECTORS", "GODIN", "ODIN", "SHE", "Detector", "Ensemble", "FeatureDetector", "Gram", "KLMatching", "KNearest",
    "Known", "Layers", "MCDropout", "Mahalanobis", "MahalanobisFeatures", "NotFittedError", "ReAct", "ViM",
    "adversarial",
]  # fmt: skip

# In the order in which they are shown.
_KINDS: tuple[type[Detector], ...] = (
    ODIN, GODIN, Mahalanobis, MahalanobisFeatures, KNearest, ViM, SHE, ReAct, KLMatching, Gram, MCDropout, Ensemble,
)  # fmt: skip
DETECTORS = {kind.key: kind for kind in _KINDS}

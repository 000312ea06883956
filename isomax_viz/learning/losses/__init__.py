"""Heads: drop-in replacements for the last ``nn.Linear`` that bring their loss along.

A head maps features to the logits used for detection (temperature 1, no entropic scale). Its ``class_logits`` classify
and train ("cold"), its ``loss`` is the cross-entropy of the class logits.

The papers compute softmax and its logarithm one after the other. Here the loss goes through log-softmax: value and
gradient are the same wherever theirs are finite, and ours stay finite where theirs overflow (scaled logit gaps beyond
about 100 in float32).
"""

from __future__ import annotations

from isomax_viz._common.checks import need_torch

need_torch()

from isomax_viz.learning.losses.dismax import DISTANCES, FUNCTIONS, DisMaxHead
from isomax_viz.learning.losses.heads import (
    INITIALISATIONS,
    Head,
    IsoMax2Head,
    IsoMaxHead,
    IsoMaxPlusHead,
    PrototypeHead,
    SoftMaxHead,
    parameter_groups,
)
from isomax_viz.learning.losses.similarity import SIMILARITIES, GeneralizedOdinHead, LogitNormHead, ScaledCosineHead

__all__ = [
    "DISTANCES", "FUNCTIONS", "HEADS", "INITIALISATIONS", "SIMILARITIES", "DisMaxHead", "GeneralizedOdinHead", "Head",
    "IsoMax2Head", "IsoMaxHead", "IsoMaxPlusHead", "LogitNormHead", "PrototypeHead", "ScaledCosineHead", "SoftMaxHead",
    "parameter_groups",
]  # fmt: skip

HEADS = {
    "softmax": SoftMaxHead,
    "isomax": IsoMaxHead,
    "isomax+": IsoMaxPlusHead,
    "isomax2": IsoMax2Head,
    "dismax": DisMaxHead,
    "scaled_cosine": ScaledCosineHead,
    "godin": GeneralizedOdinHead,
    "logit_norm": LogitNormHead,
}

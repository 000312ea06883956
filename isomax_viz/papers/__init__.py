"""The papers' numbers and tables as tidy frames."""

from __future__ import annotations

from isomax_viz.papers import published
from isomax_viz.papers.tables import (
    accuracies,
    extended_comparison,
    fair_comparison,
    from_published,
    scales_ablation,
    scores_and_losses,
)

__all__ = [
    "accuracies",
    "extended_comparison",
    "fair_comparison",
    "from_published",
    "published",
    "scales_ablation",
    "scores_and_losses",
]

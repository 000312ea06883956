"""Figures: Capture or table in, Axes or Figure out; nothing is computed here but what to draw."""

from __future__ import annotations

from isomax_viz.figures._canvas import describe, save_figure
from isomax_viz.figures.calibration import plot_reliability, plot_simplex, plot_temperature
from isomax_viz.figures.comparisons import plot_comparisons
from isomax_viz.figures.costs import plot_costs
from isomax_viz.figures.feature_space import plot_feature_space, plot_prototype_distances
from isomax_viz.figures.grids import plot_grid
from isomax_viz.figures.histograms import plot_distances, plot_entropy, plot_logits, plot_max_probability, plot_scores
from isomax_viz.figures.loss_blocks import plot_loss_blocks
from isomax_viz.figures.pictures import plot_pictures
from isomax_viz.figures.studies import plot_alpha, plot_robustness
from isomax_viz.figures.surfaces import plot_surface, plot_surfaces
from isomax_viz.figures.thresholds import plot_operating_point, plot_risk, plot_roc
from isomax_viz.figures.training import plot_training

__all__ = [
    "describe",
    "plot_alpha",
    "plot_risk",
    "plot_comparisons",
    "plot_costs",
    "plot_distances",
    "plot_entropy",
    "plot_feature_space",
    "plot_grid",
    "plot_logits",
    "plot_loss_blocks",
    "plot_max_probability",
    "plot_operating_point",
    "plot_pictures",
    "plot_prototype_distances",
    "plot_reliability",
    "plot_robustness",
    "plot_roc",
    "plot_scores",
    "plot_simplex",
    "plot_surface",
    "plot_surfaces",
    "plot_temperature",
    "plot_training",
    "save_figure",
]

"""isomax_viz: explore out-of-distribution detection with isotropy-maximisation losses.

``import isomax_viz as iv`` is inert and fast: every public name is loaded when it is first used, and PyTorch only by
what trains or runs a network.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# name -> module that defines it. What stands above the line works without PyTorch.
_NAMES = {
    "Capture": "captures",
    "CaptureError": "captures",
    "Samples": "captures",
    "Comparison": "comparisons",
    "compare": "comparisons",
    "evaluate": "tables",
    "logit_overlaps": "overlaps",
    "plot_alpha": "figures",
    "plot_distances": "figures",
    "plot_entropy": "figures",
    "plot_feature_space": "figures",
    "plot_grid": "figures",
    "plot_logits": "figures",
    "plot_loss_blocks": "figures",
    "plot_max_probability": "figures",
    "plot_operating_point": "figures",
    "plot_pictures": "figures",
    "plot_prototype_distances": "figures",
    "plot_robustness": "figures",
    "plot_roc": "figures",
    "plot_scores": "figures",
    "plot_training": "figures",
    "save_figure": "figures",
    "explore": "widgets",
    "explore_alpha": "widgets",
    "watch": "widgets",
    # ---------------------------------------------------------------- needs PyTorch
    "Experiment": "experiments",
    "make_fooling": "learning.fooling",
}
_MODULES = (
    "captures",
    "datasets",
    "figures",
    "loss_blocks",
    "metrics",
    "paper_tables",
    "projections",
    "published",
    "scores",
    "selections",
    "store",
    "studies",
    "style",
    "tables",
    "thresholds",
    "widgets",
)

__all__ = ["__version__", *sorted(_NAMES), *_MODULES]

if TYPE_CHECKING:  # what editors and type checkers read
    from isomax_viz import (
        captures,
        datasets,
        figures,
        loss_blocks,
        metrics,
        paper_tables,
        projections,
        published,
        scores,
        selections,
        store,
        studies,
        style,
        tables,
        thresholds,
        widgets,
    )
    from isomax_viz.captures import Capture, CaptureError, Samples
    from isomax_viz.comparisons import Comparison, compare
    from isomax_viz.experiments import Experiment
    from isomax_viz.figures import (
        plot_alpha,
        plot_distances,
        plot_entropy,
        plot_feature_space,
        plot_grid,
        plot_logits,
        plot_loss_blocks,
        plot_max_probability,
        plot_operating_point,
        plot_pictures,
        plot_prototype_distances,
        plot_robustness,
        plot_roc,
        plot_scores,
        plot_training,
        save_figure,
    )
    from isomax_viz.learning.fooling import make_fooling
    from isomax_viz.overlaps import logit_overlaps
    from isomax_viz.tables import evaluate
    from isomax_viz.widgets import explore, explore_alpha, watch


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f"isomax_viz.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"isomax_viz.{name}")
    else:
        raise AttributeError(f"module 'isomax_viz' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

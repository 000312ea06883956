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
    "load_example": "examples",
    "logit_overlaps": "overlaps",
    "plot_alpha": "figures",
    "plot_risk": "figures",
    "plot_comparisons": "figures",
    "plot_costs": "figures",
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
    "plot_reliability": "figures",
    "plot_robustness": "figures",
    "plot_roc": "figures",
    "plot_scores": "figures",
    "plot_simplex": "figures",
    "plot_surface": "figures",
    "plot_surfaces": "figures",
    "plot_temperature": "figures",
    "plot_training": "figures",
    "save_figure": "figures",
    "to_html": "sharing",
    "explore": "widgets",
    "explore_alpha": "widgets",
    "explore_risk": "widgets",
    "explore_simplex": "widgets",
    "explore_surfaces": "widgets",
    "explore_temperature": "widgets",
    "watch": "widgets",
    # ---------------------------------------------------------------- needs PyTorch
    "Experiment": "experiments",
    "SweepError": "sweeps",
    "add_scores": "scoring",
    "grid": "sweeps",
    "make_fooling": "learning.fooling",
    "record": "learning.any_classifier",
    "train_toy": "learning.toys",
    "sweep": "sweeps",
}
_MODULES = (
    "calibration",
    "captures",
    "datasets",
    "doctor",
    "examples",
    "figures",
    "loss_blocks",
    "methods",
    "metrics",
    "paper_tables",
    "planes",
    "projections",
    "published",
    "risks",
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
        calibration,
        captures,
        datasets,
        doctor,
        examples,
        figures,
        loss_blocks,
        methods,
        metrics,
        paper_tables,
        planes,
        projections,
        published,
        risks,
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
    from isomax_viz.examples import load_example
    from isomax_viz.experiments import Experiment
    from isomax_viz.figures import (
        plot_alpha,
        plot_comparisons,
        plot_costs,
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
        plot_reliability,
        plot_risk,
        plot_robustness,
        plot_roc,
        plot_scores,
        plot_simplex,
        plot_surface,
        plot_surfaces,
        plot_temperature,
        plot_training,
        save_figure,
    )
    from isomax_viz.learning.any_classifier import record
    from isomax_viz.learning.fooling import make_fooling
    from isomax_viz.learning.toys import train_toy
    from isomax_viz.overlaps import logit_overlaps
    from isomax_viz.scoring import add_scores
    from isomax_viz.sharing import to_html
    from isomax_viz.sweeps import SweepError, grid, sweep
    from isomax_viz.tables import evaluate
    from isomax_viz.widgets import (
        explore,
        explore_alpha,
        explore_risk,
        explore_simplex,
        explore_surfaces,
        explore_temperature,
        watch,
    )


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

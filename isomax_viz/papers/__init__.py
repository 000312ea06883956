"""The papers' numbers and tables as tidy frames."""

import lazy_loader

_TABLES = ["accuracies", "extended_comparison", "fair_comparison", "from_published", "scales_ablation"]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["published"], submod_attrs={"tables": [*_TABLES, "scores_and_losses"]}
)

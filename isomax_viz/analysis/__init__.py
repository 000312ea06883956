"""Analysis: captures in, numbers and tidy tables out; nothing is drawn and no PyTorch is needed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["calibration", "methods", "metrics", "risks", "scores", "studies", "tables", "thresholds"]
)

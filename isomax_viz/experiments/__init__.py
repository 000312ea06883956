"""Experiments: one frozen description -> id -> trained network and capture in the store; sweeps, costs, reports."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"experiment": ["Experiment"]})

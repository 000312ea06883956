"""Where a capture comes from: its loss, data and training, and what was changed in that against its preset."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from isomax_viz.captures.capture import Capture

__all__ = ["SOURCE_COLUMNS", "USUAL", "source", "variant"]

SOURCE_COLUMNS = ("loss", "entropic_scale", "data", "backbone", "preset", "select", "variant", "seed")

# What decides about a network beside its loss, data, backbone, preset, scale and seed, and what it is unless changed.
USUAL: dict[str, Any] = {
    "epochs": None,
    "examples_per_class": None,
    "held_out_classes": (),
    "validation": 0.0,
    "scales_learning_rate": 0.1,
    "scales_weight_decay": False,
    "distance": "euclidean",
    "training_function": "scaled",
    "detection_function": "identity",
    "similarity": "cosine",
    "temperature": 0.04,
    "outlier_data": "noise",
    "outlier_weight": None,
    "energy_margins": None,
    "adversarial_radius": 0.3,
    "adversarial_steps": None,
}


def variant(capture: Capture, *, without: Collection[str] = ()) -> str:
    """Return what was changed in a training against its preset, empty if nothing was.

    Parameters
    ----------
    capture : Capture
    without : collection of str
        Settings that are allowed to differ and are left out.

    Examples
    --------
    >>> meta = {"preset": "paper", "epochs": 10, "examples_per_class": 20}
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], meta=meta)
    >>> variant(capture), variant(capture, without=["examples_per_class"])
    ('epochs=10, examples_per_class=20', 'epochs=10')
    """
    changed = []
    for name, usual in USUAL.items():
        value = capture.meta.get(name, usual)
        value = tuple(value) if isinstance(value, list) else value
        if name not in without and value != usual:
            changed.append(f"{name}={value}")
    return ", ".join(changed)


def source(capture: Capture) -> dict[str, Any]:
    """Return where a capture comes from, one value per column of ``SOURCE_COLUMNS``, None where nobody said.

    Examples
    --------
    >>> source(Capture.from_arrays([[3.0, 0.0]], [0], meta={"data": "digits"}))["data"]
    'digits'
    """
    told = {"loss": capture.loss, "variant": variant(capture) or None}
    return {name: capture.meta.get(name) for name in SOURCE_COLUMNS} | told

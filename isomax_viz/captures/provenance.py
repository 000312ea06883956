"""Where a capture comes from: its loss, data and training, and what was changed in that against its preset."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from isomax_viz.captures.capture import Capture

__all__ = ["SOURCE_COLUMNS", "machine", "source", "variant"]

SOURCE_COLUMNS = ("loss", "entropic_scale", "data", "backbone", "preset", "select", "variant", "seed")


def variant(capture: Capture, *, without: Collection[str] = ()) -> str:
    """Return what was changed in a training against its preset, as its experiment tells; empty if nothing was.

    Parameters
    ----------
    capture : Capture
    without : collection of str
        Settings that are allowed to differ and are left out.

    Examples
    --------
    >>> meta = {"preset": "paper", "changed": {"epochs": 10, "held_out_classes": [8, 9]}}
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], meta=meta)
    >>> variant(capture), variant(capture, without=["held_out_classes"])
    ('epochs=10, held_out_classes=(8, 9)', 'epochs=10')
    """
    changed = {name: value for name, value in capture.meta.get("changed", {}).items() if name not in without}
    return ", ".join(f"{name}={tuple(v) if isinstance(v, list) else v}" for name, v in changed.items())


def machine(capture: Capture) -> str:
    """Return where a network was trained, which its numbers depend on too; empty where nobody said.

    Examples
    --------
    >>> machine(Capture.from_arrays([[3.0, 0.0]], [0], meta={"machine": "Xeon", "versions": {"torch": "2.14"}}))
    'Xeon, PyTorch 2.14'
    """
    parts = capture.meta.get("machine"), capture.meta.get("versions", {}).get("torch")
    return f"{parts[0]}, PyTorch {parts[1]}" if all(parts) else ""


def source(capture: Capture) -> dict[str, Any]:
    """Return where a capture comes from, one value per column of ``SOURCE_COLUMNS``, None where nobody said.

    Examples
    --------
    >>> source(Capture.from_arrays([[3.0, 0.0]], [0], meta={"data": "digits"}))["data"]
    'digits'
    """
    told = {"loss": capture.loss, "variant": variant(capture) or None}
    return {name: capture.meta.get(name) for name in SOURCE_COLUMNS} | told

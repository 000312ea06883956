"""What a capture is: its loss, data and training, what was changed in that against its preset, and its sets by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from isomax_viz._common.checks import check_ood, run_hint
from isomax_viz.catalog.style import known, plain

if TYPE_CHECKING:
    from isomax_viz.captures.capture import Capture
    from isomax_viz.captures.samples import Samples

__all__ = [
    "SOURCE_COLUMNS",
    "Names",
    "chosen_ood",
    "loss_key",
    "machine",
    "note",
    "several_machines",
    "source",
    "variant",
]

Names = str | Iterable[str] | None

SOURCE_COLUMNS = ("loss", "entropic_scale", "data", "backbone", "preset", "select", "variant", "machine", "seed")


def loss_key(meta: Mapping[str, Any]) -> str:
    """Return the key of the loss that a network was trained with, ``"unknown"`` if nobody said."""
    return str(meta.get("loss") or "unknown")


def variant(capture: Capture, *, without: Collection[str] = ()) -> str:
    """Return what was changed in a training against its preset, as its experiment tells; empty if nothing was.

    Parameters
    ----------
    capture : Capture
    without : collection of str
        Settings that are allowed to differ and are left out.

    Examples
    --------
    >>> from isomax_viz import Capture
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
    >>> from isomax_viz import Capture
    >>> machine(Capture.from_arrays([[3.0, 0.0]], [0], meta={"machine": "Xeon", "versions": {"torch": "2.14"}}))
    'Xeon, PyTorch 2.14'
    """
    parts = capture.meta.get("machine"), capture.meta.get("versions", {}).get("torch")
    return f"{parts[0]}, PyTorch {parts[1]}" if all(parts) else ""


def source(capture: Capture) -> dict[str, Any]:
    """Return where a capture comes from, one value per column of ``SOURCE_COLUMNS``, None where nobody said.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> source(Capture.from_arrays([[3.0, 0.0]], [0], meta={"data": "digits"}))["data"]
    'digits'
    """
    told = {"loss": loss_key(capture.meta), "variant": variant(capture) or None, "machine": machine(capture) or None}
    return {name: capture.meta.get(name) for name in SOURCE_COLUMNS} | told


def several_machines(machines: Iterable[Any]) -> str:
    """Return on which machines networks were trained, in words; empty if it was one, or nobody said.

    Examples
    --------
    >>> several_machines(["Xeon, PyTorch 2.14", None, "EPYC, PyTorch 2.14"]), several_machines(["Xeon, PyTorch 2.14"])
    ('trained on Xeon, PyTorch 2.14 and EPYC, PyTorch 2.14', '')
    """
    told = list(dict.fromkeys(value for value in machines if value and known(value)))
    return f"trained on {' and '.join(told)}" if len(told) > 1 else ""


def note(table: pd.DataFrame) -> str:
    """Return the small print of figures that are not from preset "paper", empty if no preset is known.

    Networks of the best test epoch are marked under any preset (their accuracy is optimistic), and so is what was
    changed against it, and that they come from several machines, each of which trains another network.

    Examples
    --------
    >>> table = pd.DataFrame({"preset": ["quick"], "data": "digits", "backbone": "small_cnn", "seed": 0})
    >>> note(table), note(table.assign(variant="epochs=2"))
    ('preset quick · digits · small_cnn · seed 0', 'preset quick (epochs=2) · digits · small_cnn · seed 0')
    """
    if not {"preset", "data", "backbone", "seed"} <= set(table.columns):
        return ""
    presets = [str(value) for value in table["preset"].unique() if known(value)]
    peeked = "select" in table and (table["select"] == "best_test").any()
    changes = [text if known(text) else "" for text in table["variant"].unique()] if "variant" in table else [""]
    mixed = several_machines(table["machine"]) if "machine" in table else ""
    if not presets or (presets == ["paper"] and not peeked and changes == [""] and not mixed):
        return ""
    # One change is spelled out; what changes from network to network is what the figure is about.
    changed = f" ({changes[0]})" if len(changes) == 1 and changes[0] else " (changed)" if len(changes) > 1 else ""
    parts = [f"preset {', '.join(presets)}{changed}"]
    for column in ("data", "backbone"):
        values = [str(value) for value in table[column].unique() if known(value)]
        parts += [", ".join(values)] if values else []
    seeds = [value if isinstance(value, str) else f"{value:.0f}" for value in table["seed"].unique() if known(value)]
    parts += [f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"] if seeds else []
    parts += ["best test epoch"] if peeked else []
    parts += [mixed] if mixed else []
    return " · ".join(plain(part, most=80) for part in parts)


def chosen_ood(capture: Capture, ood: Names, *, required: bool = True) -> dict[str, Samples]:
    """Return the out-of-distribution sets of that name or names; None means all, also no set where none is required.

    Raises
    ------
    TypeError
        If this is no capture.
    ValueError
        If no set is named, the capture has no such set, no set at all, or an empty one.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], ood={"letters": [[0.2, 0.1]], "patches": [[0.1, 0.2]]})
    >>> list(chosen_ood(capture, "letters")), list(chosen_ood(capture, None))
    (['letters'], ['letters', 'patches'])
    """
    if not isinstance(getattr(capture, "ood", None), Mapping):
        remedy = run_hint(capture) or "For several captures side by side use iv.plot_grid(plot, captures)."
        raise TypeError(f"data must be one Capture (or its table), but is of type {type(capture).__name__}. {remedy}")
    if ood is None and required and not capture.ood:
        raise ValueError(
            "This capture has no out-of-distribution set to compare with. Record one with "
            "Experiment.run(ood='letters'), or pass ood={'mine': logits} to Capture.from_arrays."
        )
    names = check_ood(ood, capture.ood)
    for name in names:
        if not len(capture.ood[name]):
            raise ValueError(f"The out-of-distribution set {name!r} is empty. Record it anew, or leave it out.")
    return {name: capture.ood[name] for name in names}

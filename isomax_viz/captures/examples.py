"""Recorded captures that travel with the package: figures in seconds, without PyTorch and without a training."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from isomax_viz._common.checks import check_choice
from isomax_viz._common.system import data_folder
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.losses import LOSSES

__all__ = ["EXAMPLES", "load_example"]

# name -> what it is. The files are data/captures/<name>/*.safetensors; data/captures/README.md states the protocol.
EXAMPLES = {
    "digits": "Embedded digits, small CNN, preset teaching (30 epochs): four losses, three seeds; four OOD sets.",
    "cifar10": "CIFAR10, small CNN, preset quick (two epochs): four losses, three seeds; four OOD sets.",
    "cifar10-alpha": "The same: IsoMax and IsoMax+ with entropic scales 1, 3, 10 and 30, two seeds; two OOD sets.",
}
# Which files, where it is not those of the folder of that name alone: scale 10 is in the captures of the four losses.
_FILES = {"cifar10-alpha": ("cifar10-alpha/*.safetensors", "cifar10/*-isomax-s[01].*", "cifar10/*-isomax+-s[01].*")}


def load_example(
    name: str,
    *,
    loss: str | Iterable[str] | None = None,
    backbone: str | Iterable[str] | None = None,
    seed: int | Iterable[int] | None = None,
) -> list[Capture]:
    """Load the recorded captures of that name, all or some of them.

    Parameters
    ----------
    name : str
        A key of :data:`EXAMPLES`.
    loss, backbone : str or iterable of str, optional
        Only those; by default all.
    seed : int or iterable of int, optional
        Only those; by default all.

    Returns
    -------
    list of Capture
        In the order backbone, loss (SoftMax first), entropic scale, seed; all with the same OOD sets. They were
        recorded in float32 and are stored at half precision; ``data/captures/README.md`` tells the protocol and which
        sets carry features.

    Raises
    ------
    ValueError
        If there is no example of that name, or none with that loss, backbone or seed.
    FileNotFoundError
        If the files are missing.

    Examples
    --------
    >>> len(load_example("digits"))
    12
    >>> load_example("digits", loss="isomax+", seed=0)
    [Capture(IsoMax+ · digits · small_cnn · teaching: test 599, ood letters 599, patches 599, ...)]
    """
    check_choice("name", name, EXAMPLES)
    folder = data_folder() / "captures"
    patterns = _FILES.get(name, (f"{name}/*.safetensors",))
    paths = [path for pattern in patterns for path in folder.glob(pattern)]
    if not paths:
        raise FileNotFoundError(
            f"There are no captures in {folder / name}. They come with the repository and with the wheel: get it "
            "again, or record them with examples/record_examples.py."
        )
    captures = sorted(_with_common_sets([Capture.load(path) for path in paths]), key=_order)
    for key, wanted in (("loss", loss), ("backbone", backbone), ("seed", seed)):
        there = dict.fromkeys(capture.meta[key] for capture in captures)
        asked: Any = there if wanted is None else wanted
        chosen = [asked] if isinstance(asked, (str, Integral)) else list(asked)
        for value in chosen:
            if value not in there:
                known = f"{key} must be one of {', '.join(map(repr, there))} in this example"
                raise ValueError(f"{known}, but is {value!r}. Train others with iv.Experiment.")
        captures = [capture for capture in captures if capture.meta[key] in chosen]
    return captures


def _with_common_sets(captures: list[Capture]) -> list[Capture]:
    common = [name for name in captures[0].ood if all(name in capture.ood for capture in captures)]
    return [capture.replace(ood={name: capture.ood[name] for name in common}) for capture in captures]


def _order(capture: Capture) -> tuple[str, int, float, int]:
    scale = float(capture.meta.get("entropic_scale") or 0)
    return capture.meta["backbone"], list(LOSSES).index(capture.loss), scale, capture.meta["seed"]

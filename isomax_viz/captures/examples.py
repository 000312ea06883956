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
    "cifar10": "CIFAR10, FastCNN, preset fast (16 epochs): four losses, three seeds; 5 OOD sets; detectors (seed 0).",
    "cifar10-alpha": "CIFAR10, FastCNN (small), five epochs: IsoMax, IsoMax+ at scales 1, 3, 10, 30; two seeds.",
    "cifar10-few": "CIFAR10, FastCNN (small), ten epochs: 500 to 5,000 pictures per class; four losses, 2 OOD sets.",
}


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
        In the order backbone, loss (SoftMax first), entropic scale, pictures per class, seed; all with the same OOD
        sets. They were recorded in float32 and are stored at half precision; ``data/captures/README.md`` tells the
        protocol and which sets carry features.

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
    folder = data_folder() / "captures" / name
    paths = list(folder.glob("*.safetensors"))
    if not paths:
        raise FileNotFoundError(
            f"There are no captures in {folder}. They come with the repository and with the wheel: get it "
            "again, or record them with examples/record_examples.py."
        )
    captures = sorted((Capture.load(path) for path in paths), key=_order)
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


def _order(capture: Capture) -> tuple[str, int, float, int, int]:
    scale, pictures = (capture.meta.get(key) or 0 for key in ("entropic_scale", "examples_per_class"))
    return capture.meta["backbone"], list(LOSSES).index(capture.loss), scale, pictures, capture.meta["seed"]

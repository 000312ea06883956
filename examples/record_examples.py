"""Record the captures that travel with the package: ``python examples/record_examples.py digits``.

Trains what is missing in the store (``ISOMAX_VIZ_STORE``, by default runs/), leaves out what figures do not need, and
writes data/captures/<name>/ at half precision. For maintainers; readers call ``iv.load_example(name)``.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import isomax_viz as iv

FOLDER = Path(__file__).resolve().parent.parent / "data" / "captures"
LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
SEEDS = (0, 1, 2)

# Features are the bulk of a capture: 128 numbers per picture, where logits and distances are 20. The first seed keeps
# those of the pictures that the feature-space view shows; it shows no training pictures.
WITH_FEATURES = {0: ("test", "letters", "patches")}


# Every fourth picture: with 2,500 per set an AUROC is known to about a point, and the files stay small.
CIFAR10_STEP = 4
CIFAR10_OOD = ("cifar100", "tinyimagenet_resize", "gaussian", "uniform")
CIFAR10 = {"data": "cifar10", "backbone": "small_cnn", "preset": "quick", "epochs": 2, "precision": "float32"}


def lean(capture: iv.Capture, *, features: Collection[str] = (), step: int = 1) -> iv.Capture:
    """Return the capture without training samples, with the features of some sets only, and every n-th picture."""
    kept = {
        name: _every(samples if name in features else replace(samples, features=None), step)
        for name, samples in capture.samples.items()
        if name != "train"
    }
    thinned = {"every": step} if step > 1 else {}
    return capture.replace(test=kept.pop("test"), ood=kept, train=None, meta={**capture.meta, **thinned})


def _every(samples: iv.Samples, step: int) -> iv.Samples:
    arrays = {name: getattr(samples, name) for name in ("logits", "labels", "features", "distances", "predictions")}
    return replace(samples, **{name: array[::step] for name, array in arrays.items() if array is not None})


def digits() -> dict[str, iv.Capture]:
    """Return the captures of the embedded digits by file name."""
    found = {}
    for experiment in iv.grid(data="digits", loss=LOSSES, seed=SEEDS):
        name = f"{experiment.backbone}-{experiment.loss}-s{experiment.seed}"
        found[name] = lean(experiment.run(), features=WITH_FEATURES.get(experiment.seed, ()))
    return found


def cifar10() -> dict[str, iv.Capture]:
    """Return the captures of the four losses on CIFAR10."""
    found = {}
    for experiment in iv.grid(loss=LOSSES, seed=SEEDS[:1], **CIFAR10):
        name = f"{experiment.backbone}-{experiment.loss}-s{experiment.seed}"
        found[name] = lean(experiment.run(ood=CIFAR10_OOD), step=CIFAR10_STEP)
    return found


def cifar10_alpha() -> dict[str, iv.Capture]:
    """Return the captures of IsoMax on CIFAR10 with several entropic scales."""
    found = {}
    for experiment in iv.grid(loss="isomax", entropic_scale=(1.0, 10.0, 30.0), seed=SEEDS[:1], **CIFAR10):
        name = f"{experiment.backbone}-isomax-scale{experiment.entropic_scale:g}-s{experiment.seed}"
        found[name] = lean(experiment.run(ood=CIFAR10_OOD), step=CIFAR10_STEP)
    return found


RECORDERS = {"digits": digits, "cifar10": cifar10, "cifar10-alpha": cifar10_alpha}


def main() -> None:
    """Record one example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RECORDERS)
    folder = FOLDER / (name := parser.parse_args().name)
    for stem, capture in RECORDERS[name]().items():
        path = capture.save(folder / f"{stem}.safetensors", dtype="float16")
        print(f"{path.stat().st_size / 1e3:7.0f} kB  {path}")


if __name__ == "__main__":
    main()

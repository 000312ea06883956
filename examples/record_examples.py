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


def lean(capture: iv.Capture, *, features: Collection[str]) -> iv.Capture:
    """Return the capture without training samples, and with the features of some sets only."""
    kept = {
        name: samples if name in features else replace(samples, features=None)
        for name, samples in capture.samples.items()
        if name != "train"
    }
    return capture.replace(test=kept.pop("test"), ood=kept, train=None)


def digits() -> dict[str, iv.Capture]:
    """Return the captures of the embedded digits by file name."""
    found = {}
    for experiment in iv.grid(data="digits", loss=LOSSES, seed=SEEDS):
        name = f"{experiment.backbone}-{experiment.loss}-s{experiment.seed}"
        found[name] = lean(experiment.run(), features=WITH_FEATURES.get(experiment.seed, ()))
    return found


RECORDERS = {"digits": digits}


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

"""Record the captures that travel with the package: ``python examples/record_examples.py digits``.

Trains what is missing in the store (``ISOMAX_VIZ_STORE``, by default runs/), leaves out what figures do not need, and
writes the missing files of data/captures/<name>/ at half precision; ``--networks`` writes the networks behind the first
seed to data/networks/<name>/ instead. For maintainers; readers call ``iv.load_example(name)`` and ``iv.load_network``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

import isomax_viz as iv

Recipe = Iterator[tuple[str, Callable[[], iv.Capture]]]

FOLDER = Path(__file__).resolve().parent.parent / "data"
LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
SEEDS = (0, 1, 2)

# Features are the bulk of a capture: 128 numbers per picture, where logits and distances are 20. The first seed keeps
# those of the pictures that the feature-space view shows; it shows no training pictures.
WITH_FEATURES = {0: ("test", "letters", "patches")}


PHOTOGRAPHS = ("cifar100", "tinyimagenet_resize")
MADE = 2_500  # pictures of each set that is no photograph
CIFAR10 = {"data": "cifar10", "backbone": "fast_cnn", "preset": "fast"}
COLUMNS = ("odin", "mahalanobis", "mahalanobis_features", "knn", "vim")
# Sixteen trainings each: smaller networks, fewer epochs, and every fourth picture, which tell AUROC to about a point.
SMALL = CIFAR10 | {"backbone": "fast_cnn_small", "epochs": 10}
ALPHA = {"data": "cifar10", "backbone": "small_cnn", "preset": "quick", "epochs": 2, "precision": "float32"}
ALPHA |= {"loss": ("isomax", "isomax+"), "entropic_scale": (1.0, 3.0, 10.0, 30.0), "seed": SEEDS[:2]}
PER_CLASS = {500: 500, 1_000: 1_000, 2_000: 2_000, 5_000: None}  # the last are all there are
STEP = 4


def lean(
    capture: iv.Capture, *, features: Collection[str] = (), ood: Collection[str] | None = None, step: int = 1
) -> iv.Capture:
    """Return the capture without training samples, with the features of some sets only, and every n-th picture."""
    kept = {
        name: _every(samples if name in features else replace(samples, features=None), step)
        for name, samples in capture.ood.items()
        if ood is None or name in ood
    }
    test = capture.test if "test" in features else replace(capture.test, features=None)
    told = {"ood": {name: what for name, what in capture.meta["ood"].items() if name in kept}}
    thinned = {"every": step} if step > 1 else {}
    return capture.replace(test=_every(test, step), ood=kept, train=None, meta={**capture.meta, **told, **thinned})


def _every(samples: iv.Samples, step: int) -> iv.Samples:
    arrays = {name: getattr(samples, name) for name in ("logits", "labels", "features", "distances", "predictions")}
    columns = {name: column[::step].astype(np.float32) for name, column in samples.extra_scores.items()}
    kept = {name: array[::step] for name, array in arrays.items() if array is not None}
    return replace(samples, extra_scores=columns, **kept)


def digits() -> Recipe:
    """Give the captures of the embedded digits by file name."""
    for experiment in iv.Experiment.grid(data="digits", loss=LOSSES, seed=SEEDS):
        name = f"{experiment.backbone}-{experiment.loss}-s{experiment.seed}"
        yield name, lambda e=experiment: lean(e.run(), features=WITH_FEATURES.get(e.seed, ()))


def cifar10() -> Recipe:
    """Give the captures of the four losses on CIFAR10."""
    for experiment in iv.Experiment.grid(loss=LOSSES, seed=0, **CIFAR10):
        name = f"{experiment.backbone}-{experiment.loss}-s{experiment.seed}"
        yield name, lambda e=experiment: _with_columns(e)


def _with_columns(experiment: iv.Experiment) -> iv.Capture:
    """Record what the shipped network says, whose weights are rounded to half precision, and fit detectors to it."""
    from isomax_viz.learning.recording.network import record_capture, record_ood

    data, plain = iv.datasets.load_id(experiment.data), experiment.run(ood=())
    network = experiment.network().half().float()
    capture = record_capture(network, data, meta=plain.meta, history=plain.history)
    noise = [iv.datasets.load_ood(name, data, n=MADE) for name in ("gaussian", "uniform")]
    made = {images.name: images for images in (iv.make_fooling(data, n=MADE), *noise)}
    capture = record_ood(capture, network, data, [*PHOTOGRAPHS, *made.values()])
    columns = COLUMNS if experiment.loss == "softmax" else COLUMNS[:-1]  # ViM asks for a linear last layer
    return lean(iv.add_scores(capture, columns, network=network, images=made))


def cifar10_alpha() -> Recipe:
    """Give the captures of IsoMax and IsoMax+ on CIFAR10 with each entropic scale."""
    for e in iv.Experiment.grid(**ALPHA):
        yield f"{e.backbone}-{e.loss}-scale{e.entropic_scale:g}-s{e.seed}", lambda e=e: _of_photographs(e)


def cifar10_few() -> Recipe:
    """Give the captures of the four losses trained on 500 to 5,000 pictures of each class."""
    for loss, (number, asked) in product(LOSSES, PER_CLASS.items()):
        e = iv.Experiment(loss=loss, examples_per_class=asked, **SMALL)
        yield f"{e.backbone}-{loss}-{number}-s{e.seed}", lambda e=e, n=number: _of_photographs(e, examples_per_class=n)


def _of_photographs(experiment: iv.Experiment, **told: int) -> iv.Capture:
    """Leave distances out: the isotropic losses' largest logit orders pictures as the smallest distance does."""
    capture = lean(experiment.run(ood=PHOTOGRAPHS), ood=PHOTOGRAPHS, step=STEP)
    test, *others = (replace(samples, distances=None) for samples in capture.samples.values())
    return capture.replace(test=test, ood=dict(zip(capture.ood, others, strict=True)), meta={**capture.meta, **told})


def write_networks(name: str) -> None:
    """Write the networks of the four losses, seed 0."""
    from isomax_viz.learning.shipped_networks import network_file

    for experiment in iv.Experiment.grid(loss=LOSSES, seed=0, **({"data": "digits"} if name == "digits" else CIFAR10)):
        capture, stem = experiment.run(ood=()), f"{experiment.backbone}-{experiment.loss}-s{experiment.seed}"
        path = FOLDER / "networks" / name / f"{stem}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(network_file(experiment.network(), meta=capture.meta, settings=experiment.settings))
        print(f"{path.stat().st_size / 1e3:7.0f} kB  {path}")


RECORDERS = {"digits": digits, "cifar10": cifar10, "cifar10-alpha": cifar10_alpha, "cifar10-few": cifar10_few}


def main() -> None:
    """Record one example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RECORDERS)
    parser.add_argument("--networks", action="store_true", help="the networks instead of the captures")
    parser.add_argument("--again", action="store_true", help="also the files that are there")
    options = parser.parse_args()
    if options.networks:
        write_networks(options.name)
        return
    for stem, record in RECORDERS[options.name]():
        path = FOLDER / "captures" / options.name / f"{stem}.safetensors"
        if options.again or not path.exists():
            start = time.perf_counter()
            record().save(path, dtype="float16")
            took = (time.perf_counter() - start) / 60  # from an empty store: training and recording
            print(f"{path.stat().st_size / 1e3:7.0f} kB  {took:5.1f} min  {path}", flush=True)


if __name__ == "__main__":
    main()

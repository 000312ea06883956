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

import isomax_viz as iv

Recipe = Iterator[tuple[str, Callable[[], iv.Capture]]]

FOLDER = Path(__file__).resolve().parent.parent / "data"
LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
SEEDS = (0, 1, 2)

# Features are the bulk of a capture: 128 numbers per picture, where logits and distances are 20. The first seed keeps
# those of the pictures that the feature-space view shows; it shows no training pictures.
WITH_FEATURES = {0: ("test", "letters", "patches")}


PHOTOGRAPHS = ("cifar100", "tinyimagenet_resize")
MADE = 1_000  # pictures of each set that is no photograph, of which every other one is kept
CIFAR10 = {"data": "cifar10", "backbone": "fast_cnn", "preset": "fast"}
COLUMNS = ("odin", "mahalanobis", "mahalanobis_features", "knn", "vim")
# Sixteen trainings each: smaller networks, fewer epochs, and every fourth picture, which tell AUROC to about a point.
SMALL = CIFAR10 | {"backbone": "fast_cnn_small"}
ALPHA = SMALL | {"epochs": 5, "loss": LOSSES[1:3], "entropic_scale": (1.0, 3.0, 10.0, 30.0), "seed": SEEDS[:2]}
FEW = SMALL | {"epochs": 10}
PER_CLASS = (500, 1_000, 2_000, 5_000)  # the last are all there are


def lean(capture: iv.Capture, *, features: Collection[str] = ()) -> iv.Capture:
    """Return the capture without training samples, with the features of some sets only."""
    kept = {
        name: samples if name in features else replace(samples, features=None)
        for name, samples in capture.samples.items()
        if name != "train"
    }
    told = {name: what for name, what in capture.meta["ood"].items() if name in kept}
    return capture.replace(test=kept.pop("test"), ood=kept, train=None, meta={**capture.meta, "ood": told})


def digits() -> Recipe:
    """Give the captures of the embedded digits by file name."""
    for experiment in iv.Experiment.grid(data="digits", loss=LOSSES, seed=SEEDS):
        name = f"{experiment.backbone}-{experiment.loss}-s{experiment.seed}"
        yield name, lambda e=experiment: lean(e.run(), features=WITH_FEATURES.get(e.seed, ()))


def cifar10() -> Recipe:
    """Give the captures of the four losses on CIFAR10; those of the shipped networks with the scores of detectors."""
    for e in iv.Experiment.grid(loss=LOSSES, seed=SEEDS, **CIFAR10):
        columns = COLUMNS if e.loss == "softmax" else COLUMNS[:-1]  # ViM asks for a linear last layer
        columns = columns if e.seed == 0 else ()
        name = f"{e.backbone}-{e.loss}-s{e.seed}"
        yield name, lambda e=e, columns=columns: _recorded(e, every=2, made=MADE, columns=columns)


def cifar10_alpha() -> Recipe:
    """Give the captures of IsoMax and IsoMax+ on CIFAR10 with each entropic scale."""
    for e in iv.Experiment.grid(**ALPHA):
        name = f"{e.backbone}-{e.loss}-scale{e.entropic_scale:g}-s{e.seed}"
        yield name, lambda e=e: _without_distances(_recorded(e, every=4))


def cifar10_few() -> Recipe:
    """Give the captures of the four losses trained on 500 to 5,000 pictures of each class."""
    for loss, number in product(LOSSES, PER_CLASS):
        e = iv.Experiment(loss=loss, examples_per_class=number, **FEW)
        yield f"{e.backbone}-{loss}-{number}-s{e.seed}", lambda e=e: _without_distances(_recorded(e, every=4))


def _recorded(experiment: iv.Experiment, *, every: int, made: int = 0, columns: Collection[str] = ()) -> iv.Capture:
    """Record every n-th picture from the weights rounded to half precision, as networks are shipped."""
    from isomax_viz.experiments.run import data_of
    from isomax_viz.learning.recording.network import record_capture, record_ood

    plain, data = experiment.run(ood=()), data_of(experiment)
    network = experiment.network().half().float()
    sets = [iv.datasets.load_ood(name, data) for name in PHOTOGRAPHS]
    if made:
        sets.append(iv.make_fooling(data, n=made))
        sets += [iv.datasets.load_ood(name, data, n=made) for name in ("gaussian", "uniform")]
    data, sets = replace(data, test=data.test.every(every)), [images.every(every) for images in sets]
    capture = record_capture(network, data, meta={**plain.meta, "every": every}, history=plain.history)
    capture = record_ood(capture, network, data, sets)
    if columns:
        capture = iv.add_scores(capture, columns, network=network, data=data, images={item.name: item for item in sets})
    return lean(capture)


def _without_distances(capture: iv.Capture) -> iv.Capture:
    """Leave distances out: the isotropic losses' largest logit orders pictures as the smallest distance does."""
    return capture.with_samples({name: replace(item, distances=None) for name, item in capture.samples.items()})


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
    began = time.perf_counter()
    for stem, record in RECORDERS[options.name]():
        path = FOLDER / "captures" / options.name / f"{stem}.safetensors"
        if options.again or not path.exists():
            start = time.perf_counter()
            record().save(path, dtype="float16")
            took = (time.perf_counter() - start) / 60  # from an empty store: training and recording
            print(f"{path.stat().st_size / 1e3:7.0f} kB  {took:5.1f} min  {path}", flush=True)
    print(f"{(time.perf_counter() - began) / 60:.1f} min in all")


if __name__ == "__main__":
    main()

"""What scores cost beside a plain forward pass, and what the adaptors cost beside pytorch-ood called directly."""

from __future__ import annotations

import statistics

import torch
from pytorch_ood.detector import ODIN as TheirODIN

from benchmarks.rows import Row, ratios
from benchmarks.training import pictures
from isomax_viz.analysis.scores import COLUMNS, SCORES
from isomax_viz.datasets import InDistribution
from isomax_viz.experiments.costs import computed, in_turn
from isomax_viz.learning.backbones import Classifier, small_cnn
from isomax_viz.learning.detectors import ODIN, Detector, Gram, KNearest, Known, Mahalanobis, MahalanobisFeatures
from isomax_viz.learning.losses import IsoMaxPlusHead
from isomax_viz.learning.recording.network import record_capture

# Steps are given: with a step of 0, which tuning may choose, nothing is preprocessed and nothing is slower.
STEP = 0.0014
DETECTORS: dict[str, Detector] = {
    "mahalanobis_features": MahalanobisFeatures(),
    "knn": KNearest(k=5),
    "odin": ODIN(temperatures=[1000.0], steps=[STEP]),
    "mahalanobis": Mahalanobis(steps=[STEP], pictures=100),
    "gram": Gram(),
}
# A score that one forward pass gives may cost a tenth of it (numpy, checks), on the smallest network there is.
FREE = {"mps": 1.1, "es": 1.1, "mds": 1.1, "gen": 1.15}


def known(n: int) -> Known:
    """Return an untrained network, noise in the form of CIFAR, and what the one says about the other."""
    torch.manual_seed(0)
    model = Classifier(small_cnn(3), IsoMaxPlusHead(128, 10)).eval()
    data = InDistribution("noise", pictures(n), pictures(100, seed=1))
    return Known(record_capture(model, data, meta={}, device="cpu"), model, data)


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows of this file; ``tiny`` for the tests, which only see that it runs."""
    on = known(60 if tiny else 1280)
    inputs, _ = on.some_training_pictures(10 if tiny else 100)
    network = on.network

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return network(inputs)

    functions = {"forward": forward}
    functions |= {key: lambda key=key: computed(network, inputs, key) for key in FREE}
    for key, detector in DETECTORS.items():
        detector.fit(on)
        functions[key] = lambda detector=detector: detector.score(inputs)
    theirs = TheirODIN(network, eps=STEP, temperature=1000.0, norm_std=on.std.flatten().tolist())
    functions["their odin"] = lambda: theirs(inputs)
    times = in_turn(functions, rounds=1 if tiny else 15)
    speed = f"{len(inputs) / statistics.median(times['forward']):,.0f} pictures/s"
    found = [
        Row(f"score {(SCORES | COLUMNS)[key].label}", f"forward pass ({speed})", ratios(times[key], times["forward"]),
            FREE.get(key), at_most=True)
        for key in (*FREE, *DETECTORS)
    ]  # fmt: skip
    return [*found, Row("ODIN", "pytorch-ood's ODIN", ratios(times["their odin"], times["odin"]), 0.9)]

"""Data: reading a set for the second time, and what the fast mode does to the accuracy."""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.rows import Row, seconds
from isomax_viz import datasets
from isomax_viz._common.system import cpu_features
from isomax_viz.datasets import InDistribution
from isomax_viz.learning.backbones import Classifier, small_cnn
from isomax_viz.learning.losses import IsoMaxPlusHead
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.protocols import PRESETS


def cache_rows() -> list[Row]:
    """Decoding CIFAR10 once against reading the decoded copy; ISOMAX_VIZ_BUNDLES names a folder with cifar10.zip."""
    bundles = os.environ.get("ISOMAX_VIZ_BUNDLES", "")
    if not (Path(bundles) / "cifar10.zip").is_file():
        return [Row("CIFAR10, second load", "first load", (float("nan"),), None, note="no pictures on this machine")]
    before = os.environ.get("ISOMAX_VIZ_DATA")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ISOMAX_VIZ_DATA"] = folder
        try:
            first = seconds(lambda: datasets.load_id("cifar10"))
            again = [seconds(lambda: datasets.load_id("cifar10")) for _ in range(5)]
        finally:
            os.environ.pop("ISOMAX_VIZ_DATA")
            if before is not None:
                os.environ["ISOMAX_VIZ_DATA"] = before
    note = f"{statistics.median(again):.2f} s after {first:.1f} s"
    return [
        Row("CIFAR10, second load", "first load (decoding)", tuple(first / value for value in again), 10.0, note=note)
    ]


def enlarged_digits(*, per_class: int, tested: int | None = None) -> InDistribution:
    """Return the embedded digits at the size of CIFAR, where the fast mode is chosen automatically."""
    data = datasets.load_id("digits").with_examples_per_class(per_class, seed=0)
    like = datasets.from_arrays(np.zeros((1, 32, 32, 3), np.uint8))
    return InDistribution(
        "digits", data.train.matched_to(like), data.test.subset(np.arange(len(data.test))[:tested]).matched_to(like)
    )


def fast_mode_rows(*, seeds: int = 8, epochs: int = 6, per_class: int = 100, tested: int | None = None) -> list[Row]:
    """Test accuracy of float32 against bfloat16, beside the spread between seeds.

    Eight seeds, because the difference of means of three scatters as much as single seeds do.
    """
    data = enlarged_digits(per_class=per_class, tested=tested)
    accuracies: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for seed in range(seeds):
        for precision, values in accuracies.items():
            torch.manual_seed(seed)
            model = Classifier(small_cnn(3), IsoMaxPlusHead(128, 10))
            history = train(
                model,
                data,
                PRESETS["teaching"].with_epochs(epochs),
                seed=seed,
                device="cpu",
                precision=precision,
                progress=False,
            )
            values.append(history["accuracy"].iloc[-1])
    change = abs(statistics.mean(accuracies["bfloat16"]) - statistics.mean(accuracies["float32"]))
    spread = statistics.stdev(accuracies["float32"])
    note = "; ".join(f"{name}: {', '.join(f'{value:.1%}' for value in values)}" for name, values in accuracies.items())
    return [
        Row(
            "change of accuracy by bfloat16",
            "standard deviation between seeds",
            (change / max(spread, 1e-9),),
            1.0,
            True,
            note=note,
        )
    ]


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows of this file."""
    if tiny:
        return fast_mode_rows(seeds=2, epochs=1, per_class=2, tested=5)
    if cpu_features() & {"avx512_bf16", "amx_bf16"}:
        return [*cache_rows(), *fast_mode_rows()]
    # Emulated, bfloat16 takes ten times as long as float32; it is never chosen.
    note = "this processor has no bfloat16 instructions"
    baseline = "standard deviation between seeds"
    return [*cache_rows(), Row("change of accuracy by bfloat16", baseline, (float("nan"),), None, note=note)]

"""On a GPU: images per second and the share of the roofline for each backbone, and the ratios of the training loop."""

from __future__ import annotations

import statistics

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import Row, in_turn, ratios
from benchmarks.training import BATCH, bare_loop, pictures
from isomax_viz.datasets import InDistribution
from isomax_viz.learning.backbones import BACKBONES, Classifier
from isomax_viz.learning.losses import IsoMaxPlusHead
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.protocols import Protocol


def synchronised(function, device: torch.device):
    """Return a function that also waits for the device, so that its work is what is timed."""

    def run() -> None:
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def peak_flops(device: torch.device, dtype: torch.dtype, *, size: int = 8192, rounds: int = 20) -> float:
    """Return floating-point operations per second of a large matrix product: the roof that is reached here."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    times = in_turn({"product": synchronised(lambda: a @ a, device)}, rounds=rounds, warmup=5)["product"]
    return 2 * size**3 / statistics.median(times)


def training_flops(network: torch.nn.Module, images: torch.Tensor) -> int:
    """Return floating-point operations of a forward and a backward pass."""
    with FlopCounterMode(display=False) as counter:
        network(images).sum().backward()
    return counter.get_total_flops()


def backbone_rows(name: str, device: torch.device, *, n: int, rounds: int, peak: float) -> list[Row]:
    """Training of one backbone in the fast mode against a bare loop in the same precision."""
    torch.manual_seed(0)
    images = pictures(n)
    data = InDistribution("noise", images, pictures(BATCH, seed=1))
    protocol = Protocol(epochs=1, milestones=(), learning_rate=0.01)
    inputs = torch.randn(n, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    targets = torch.tensor(images.labels, device=device)
    networks = {}
    for key in ("bare", "eager", "compiled"):
        backbone = BACKBONES[name](in_channels=3)
        network = Classifier(backbone, IsoMaxPlusHead(backbone.num_features, 10))
        networks[key] = network.to(device, memory_format=torch.channels_last)

    # Where a processor emulates it, bfloat16 takes ten times as long; the tests only look whether this runs.
    on_gpu = device.type == "cuda"

    def bare() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=on_gpu):
            bare_loop(networks["bare"], inputs, targets)

    precision = "bfloat16" if on_gpu else "float32"
    options = {"padding": 4, "flip": True, "device": device, "precision": precision, "progress": False}
    functions = {"bare": bare} | {
        key: lambda key=key: train(networks[key], data, protocol, compile=key == "compiled", **options)
        for key in (("eager", "compiled") if on_gpu else ("eager",))
    }
    times = in_turn(
        {key: synchronised(f, device) for key, f in functions.items()}, rounds=rounds, warmup=min(rounds, 2)
    )
    flops = training_flops(networks["bare"], inputs[:BATCH]) / BATCH
    rows = []
    for key in list(functions)[1:]:
        speed = n / np.array(times[key])
        middle = float(np.median(speed))
        rows.append(
            Row(f"{name}, {key}", "bare loop, bfloat16", ratios(times["bare"], times[key]), 0.95,
                note=f"{middle:,.0f} images/s, {50_000 / middle:.1f} s per epoch of CIFAR10",
                values=tuple(speed), unit="images/s")
        )  # fmt: skip
        rows.append(Row(f"{name}, {key}", "roof (matrix product, bfloat16)", tuple(speed * flops / peak), None))
    return rows


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows; ``tiny`` runs the same code on a CPU with a few pictures."""
    device = torch.device("cpu" if tiny else "cuda")
    size, n, rounds = (64, 64, 1) if tiny else (8192, 12_800, 5)
    peak = peak_flops(device, torch.bfloat16, size=size, rounds=rounds)
    names = ("small_cnn",) if tiny else tuple(BACKBONES)
    return [row for name in names for row in backbone_rows(name, device, n=n, rounds=rounds, peak=peak)]

"""Training and recording against a bare loop and against the loop that tutorials show."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rows import Row, in_turn, ratios
from isomax_viz.datasets import ImageSet, InDistribution, load_id
from isomax_viz.learning.backbones import Classifier, fast_cnn, small_cnn
from isomax_viz.learning.losses import IsoMaxPlusHead
from isomax_viz.learning.recording.network import record_samples
from isomax_viz.learning.training.batches import inference_batch
from isomax_viz.learning.training.hardware import choose_precision, suitable_layout
from isomax_viz.learning.training.history import EpochRecord
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.protocols import PRESETS, Protocol

BATCH = 64


def pictures(n: int, *, side: int = 32, seed: int = 0) -> ImageSet:
    """Return noise in the form of CIFAR; speed does not depend on what the pictures show."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return ImageSet("noise", images, np.arange(n) % 10, tuple("abcdefghij"))


def model() -> Classifier:
    torch.manual_seed(0)
    return Classifier(small_cnn(3), IsoMaxPlusHead(128, 10))


def bare_loop(
    network: nn.Module, inputs: Tensor, targets: Tensor, batch: int = BATCH, precision: str = "float32"
) -> None:
    """Forward, backward and step on a ready tensor: nothing is shuffled, augmented, normalised or recorded."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
    network.train()
    for start in range(0, len(inputs), batch):
        part = slice(start, start + batch)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            features = network.backbone(inputs[part])
        loss = network.head.loss(network.head(features), targets[part])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def tutorial_loader(images: ImageSet, *, learn: bool) -> Iterable[tuple[Tensor, Tensor]]:
    """What tutorials show: a DataLoader over PIL pictures, made on access as torchvision's sets do, and transforms."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    augmentation = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if learn else []
    as_tensor = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)]
    transform = transforms.Compose(augmentation + as_tensor)
    targets = images.labels.tolist()

    class Pictures(Dataset):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            return transform(Image.fromarray(images.images[index])), targets[index]

        def __len__(self) -> int:
            return len(images)

    return DataLoader(Pictures(), batch_size=BATCH, shuffle=learn)


def tutorial_loop(network: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Steps on what a DataLoader gives, with statistics in Python lists."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
    network.train()
    losses, correct, intra, inter, entropies = [], 0, [], [], []
    for inputs, labels in loader:
        logits = network(inputs)
        loss = network.head.loss(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        correct += (logits.argmax(dim=1) == labels).sum().item()
        mask = torch.eye(10)[labels].bool()
        intra += logits[mask].tolist()
        inter += logits[~mask].tolist()
        probabilities = torch.softmax(logits, dim=1)
        entropies += (-(probabilities * torch.log(probabilities)).sum(dim=1)).tolist()
    statistics.mean(intra), statistics.pstdev(intra), statistics.mean(inter), statistics.pstdev(inter)
    statistics.mean(losses), statistics.mean(entropies)


def training_rows(*, n: int = 1280, rounds: int = 11) -> list[Row]:
    """Images per second of the training loop, in float32 and in the fast mode."""
    images = pictures(n)
    data = InDistribution("noise", images, pictures(BATCH, seed=1))
    inputs = (torch.tensor(images.images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    layout = suitable_layout(torch.device("cpu"))  # the bare loop gets the best one too
    inputs = inputs.contiguous(memory_format=layout)
    targets = torch.tensor(images.labels)
    loader = tutorial_loader(images, learn=True)
    protocol = Protocol(epochs=1, milestones=(), learning_rate=0.01)
    longer = Protocol(epochs=5, milestones=(), learning_rate=0.01)
    networks = {name: model() for name in ("bare", "tutorial", "float32", "bfloat16", "compiled")}
    networks["bare"].to(memory_format=layout)
    options: dict[str, Any] = {"padding": 4, "flip": True, "device": "cpu", "progress": False}
    fast = choose_precision("auto", torch.device("cpu"), side=32) == torch.bfloat16
    functions = {
        "bare": lambda: bare_loop(networks["bare"], inputs, targets),
        "tutorial": lambda: tutorial_loop(networks["tutorial"], loader),
        "float32": lambda: train(networks["float32"], data, protocol, precision="float32", **options),
    }
    if fast:
        for name in ("bfloat16", "compiled"):
            functions[name] = lambda name=name: train(
                networks[name], data, longer, precision="bfloat16", compile=name == "compiled", **options
            )
    times = in_turn(functions, rounds=rounds)
    for name in (
        "bfloat16",
        "compiled",
    ):  # several epochs, over which a call's own start is spread as in real trainings
        times[name] = [value / longer.epochs for value in times.get(name, [])]
    speed = {name: f"{n / statistics.median(values):,.0f} images/s" for name, values in times.items() if values}

    def per_second(name: str) -> tuple[float, ...]:
        return tuple(n / value for value in times[name])

    rows = [
        Row("training loop, float32", f"bare loop ({speed['bare']})", ratios(times["bare"], times["float32"]), 0.95,
            note=speed["float32"], values=per_second("float32"), unit="images/s"),
        Row("training loop, float32", f"tutorial loop ({speed['tutorial']})",
            ratios(times["tutorial"], times["float32"]), 1.6, note=speed["float32"]),
    ]  # fmt: skip
    if not fast:
        return [*rows, Row("training loop, fast mode", "tutorial loop", (float("nan"),), None,
                           note="not chosen: this processor has no matrix instructions for bfloat16")]  # fmt: skip
    rows += [
        Row(
            f"training loop, {label}",
            "tutorial loop",
            ratios(times["tutorial"], times[name]),
            target,
            note=speed[name],
            values=per_second(name),
            unit="images/s",
        )  # fmt: skip
        for name, label, target in (("bfloat16", "bfloat16", None), ("compiled", "fast mode (bfloat16, compiled)", 3.0))
    ]
    return rows


def fast_rows(*, n: int = 1024, rounds: int = 5) -> list[Row]:
    """Images per second of the steps of preset "fast" on its network, in each number format that pays here."""
    images = pictures(n)
    data = InDistribution("noise", images, pictures(BATCH, seed=1))
    layout = suitable_layout(torch.device("cpu"))
    inputs = torch.tensor(images.images).permute(0, 3, 1, 2).float().div(255).contiguous(memory_format=layout)
    steps = replace(PRESETS["fast"], epochs=1, whitening=0, identity_start=False)  # what is done once is left out
    options: dict[str, Any] = {"padding": 4, "flip": True, "device": "cpu", "progress": False}
    chosen = choose_precision("auto", torch.device("cpu"), side=32, backbone=fast_cnn(3))
    rows, targets = [], torch.tensor(images.labels)
    for precision in dict.fromkeys(("float32", str(chosen).removeprefix("torch."))):
        bare, ours = (Classifier(fast_cnn(3), IsoMaxPlusHead(256, 10)) for _ in range(2))
        bare.to(memory_format=layout)
        told = {"precision": precision}
        functions = {
            "bare": lambda bare=bare, told=told: bare_loop(bare, inputs, targets, steps.batch_size, **told),
            "ours": lambda ours=ours, told=told: train(ours, data, steps, **options, **told),
        }
        times = in_turn(functions, rounds=rounds)
        speed = {name: tuple(n / value for value in values) for name, values in times.items()}
        rival, note = (f"{statistics.median(speed[name]):,.0f} images/s" for name in ("bare", "ours"))
        rows.append(
            Row(f"training loop, fast_cnn, preset fast, {precision}", f"bare loop ({rival})",
                ratios(times["bare"], times["ours"]), 0.95, note=note, values=speed["ours"], unit="images/s")
        )  # fmt: skip
    return rows


def accuracy_rows(*, wanted: float = 0.98, seeds: int = 3, epochs: int = 15) -> list[Row]:
    """Seconds of training until so many of the embedded test digits are right."""
    data, protocol = load_id("digits"), PRESETS["teaching"].with_epochs(epochs)
    took, reached = [], []
    for seed in range(seeds):
        torch.manual_seed(seed)
        network = Classifier(small_cnn(1), IsoMaxPlusHead(128, 10))
        start = time.perf_counter()
        history = train(network, data, protocol, seed=seed, device="cpu", progress=False)
        good = history[(history["split"] == "test") & (history["accuracy"] >= wanted)]["epoch"]
        reached.append(good.min())  # NaN: never
        took.append((time.perf_counter() - start) * reached[-1] / epochs)
    note = f"epochs {', '.join(f'{epoch:g}' for epoch in reached)}"
    what = f"training on digits to {wanted:.0%} accuracy, small_cnn, IsoMax+"
    return [Row(what, "10 seconds", tuple(value / 10 for value in took), None, note=note, values=tuple(took))]


def record_rows(*, n: int = 640, rounds: int = 5) -> list[Row]:
    """What the history's columns cost beside the steps they describe."""
    network, record = model(), EpochRecord()
    inputs, targets = torch.randn(n, 3, 32, 32), torch.arange(n) % 10
    with torch.no_grad():
        logits, class_logits = network.head.both_logits(network.backbone(inputs[:BATCH]))
        loss = network.head.criterion(class_logits, targets[:BATCH])

    def columns() -> None:
        for _ in range(n // BATCH):
            record.add(logits, class_logits, targets[:BATCH], loss)

    times = in_turn({"columns": columns, "steps": lambda: bare_loop(network, inputs, targets)}, rounds=rounds)
    return [Row("columns of the history", "steps of the epoch", ratios(times["columns"], times["steps"]), 0.03, True)]


def text_loop(network: nn.Module, batches: Iterable[Tensor]) -> str:
    """Record as scripts of the field do: each of the five scores of each picture as text."""
    lines = io.StringIO()
    with torch.no_grad():
        for inputs in batches:
            features = network.backbone(inputs)
            logits = network.head(features)
            for row, distances in zip(logits, network.head.distances(features), strict=True):
                probabilities = torch.softmax(row, dim=0)
                mps, es = probabilities.max(), (probabilities * torch.log(probabilities)).sum()
                scores = (mps, es, -distances.min(), row.max(), torch.logsumexp(row, dim=0))
                lines.write(" ".join(f"{score.item():.6f}" for score in scores) + "\n")
    return lines.getvalue()


def recording_rows(*, n: int = 2000, side: int = 32, rounds: int = 5) -> list[Row]:
    """Pictures per second of recording a capture."""
    images = pictures(n, side=side)
    data = InDistribution("noise", images, images)
    network = model().eval()
    inputs = (torch.tensor(images.images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    plain = inputs.contiguous()
    layout = suitable_layout(torch.device("cpu"))
    inputs = inputs.contiguous(memory_format=layout)
    other = model().eval()  # in the ordinary layout
    network.to(memory_format=layout)
    size = inference_batch(side, side, torch.device("cpu"))
    loader = tutorial_loader(images, learn=False)

    def bare() -> None:
        with torch.no_grad():
            for part in inputs.split(size):
                network(part)

    functions = {
        "bare": bare,
        "ready": lambda: text_loop(other, plain.split(BATCH)),
        "text": lambda: text_loop(other, (batch for batch, _ in loader)),
        "ours": lambda: record_samples(network, images, data, device="cpu"),
    }
    times = in_turn(functions, rounds=rounds)
    speed = f"{n / statistics.median(times['ours']):,.0f} images/s"
    return [
        Row(f"recording, {side}x{side}", "bare inference", ratios(times["bare"], times["ours"]), 0.9, note=speed,
            values=tuple(n / value for value in times["ours"]), unit="images/s"),
        Row(f"recording, {side}x{side}", "scores as text, pictures from a DataLoader",
            ratios(times["text"], times["ours"]), 2.0, note=speed),
        Row(f"recording, {side}x{side}", "scores as text, pictures ready as tensors",
            ratios(times["ready"], times["ours"]), None, note=speed),
    ]  # fmt: skip


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows of this file; ``tiny`` for the tests, which only see that it runs."""
    if tiny:
        quick = accuracy_rows(wanted=0.0, seeds=1, epochs=1) + fast_rows(n=64, rounds=1)
        return [*training_rows(n=64, rounds=1), *quick, *record_rows(n=64, rounds=1), *recording_rows(n=64, rounds=1)]
    recorded = recording_rows() + recording_rows(side=8)
    return [*training_rows(), *fast_rows(), *accuracy_rows(), *record_rows(), *recorded]

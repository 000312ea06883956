"""A million pictures and a hundred classes, and a thousand experiments: memory, opening, figures, listing."""

from __future__ import annotations

import hashlib
import json
import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax
from torch import nn

from benchmarks.rows import Row, in_turn, ratios, seconds
from benchmarks.training import pictures
from isomax_viz import Capture, Samples, evaluate, plot_logits, plot_scores, store
from isomax_viz._common.files import json_digest
from isomax_viz.analysis.scores import SCORES, compute
from isomax_viz.datasets import InDistribution
from isomax_viz.learning.backbones import Classifier
from isomax_viz.learning.losses import IsoMaxHead
from isomax_viz.learning.recording.network import record_samples
from isomax_viz.store.folder import FORMAT, FORMAT_VERSION


def memory(key: str) -> int:
    """Return what Linux says of this process's memory, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(rf"^{key}:\s+(\d+) kB", status, re.M)[1])


def peak_growth(function: Callable[[], object]) -> tuple[int, object]:
    """Return by how many bytes the memory grew at most while the function ran, and its result."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = memory("VmRSS")
    result = function()
    return memory("VmHWM") - before, result


def network(classes: int) -> Classifier:
    """Return a network that costs next to nothing, so that the arrays are what counts."""
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
    backbone.num_features = 8
    return Classifier(backbone, IsoMaxHead(8, classes))


def size(samples: Samples) -> int:
    names = ("logits", "labels", "features", "distances", "predictions")
    return sum(getattr(samples, name).nbytes for name in names if getattr(samples, name) is not None)


def recording_rows(n: int, classes: int) -> tuple[list[Row], Samples]:
    """Peak memory while recording, beside the size of what is recorded."""
    torch.manual_seed(0)
    few = pictures(100, side=2)
    data, images, model = InDistribution("noise", few, few), pictures(n, side=2), network(classes)
    record_samples(model, few, data, device="cpu")
    grown, samples = peak_growth(lambda: record_samples(model, images, data, device="cpu"))
    note = f"{grown / 2**20:,.0f} MiB for arrays of {size(samples) / 2**20:,.0f} MiB"
    row = Row(f"peak memory while recording {n:,} x {classes}", "its arrays", (grown / size(samples),), 1.25, True,
              note=note)  # fmt: skip
    return [row], samples


def file_rows(capture: Capture, path: Path, *, rounds: int) -> list[Row]:
    """Saving, opening with and without the checksum."""
    total = sum(size(samples) for samples in capture.samples.values())
    grown, _ = peak_growth(lambda: capture.save(path))
    opening = [seconds(lambda: Capture.load(path, mmap=True)) for _ in range(rounds)]
    whole = [seconds(lambda: Capture.load(path)) for _ in range(rounds)]
    hashed = [seconds(lambda: hashlib.sha256(path.read_bytes()).hexdigest()) for _ in range(rounds)]
    middle = statistics.median(opening)
    what = f"a capture of {total / 2**20:,.0f} MiB"
    ratio = tuple(value / 0.1 for value in opening)
    return [
        Row(f"peak memory while saving {what}", "its arrays", (max(0, grown) / total,), 0.1, True),
        Row(f"opening {what} by memory map", "100 ms", ratio, 1.0, True, note=f"{1000 * middle:.1f} ms"),
        Row(f"loading {what} with its checksum", "reading and hashing the file",
            tuple(a / b for a, b in zip(whole, hashed, strict=True)), None,
            note=f"{statistics.median(whole):.2f} s"),
    ]  # fmt: skip


def use_rows(path: Path) -> list[Row]:
    """Tables and figures of a mapped capture, each from a fresh start and then once more."""
    functions = {
        "evaluate, two scores": lambda capture: evaluate(capture, scores=("mps", "es")),
        "plot_scores": lambda capture: plot_scores(capture, ood="noise", score="es"),
        "plot_logits": lambda capture: plot_logits(capture, ood="noise"),
    }
    rows = []
    for name, function in functions.items():
        capture = Capture.load(path, mmap=True)
        first, again = (seconds(lambda f=function, c=capture: f(c)) for _ in range(2))
        n = sum(samples.logits.size for samples in (capture.test, *capture.ood.values()))
        row = Row(f"{name} of {n:,} logits", "10 seconds", (first / 10,), 1.0, True,
                  note=f"{first:.2f} s, again {again:.2f} s")  # fmt: skip
        rows.append(row)
    return rows


def score_rows(n: int, classes: int, *, rounds: int) -> list[Row]:
    """All scores of many classes beside one log-softmax for each of them."""
    logits = np.random.default_rng(0).standard_normal((n, classes), dtype=np.float32)
    keys = [key for key, score in SCORES.items() if score.needs == ("logits",)]

    def ours() -> None:
        samples = Samples(logits=logits, labels=np.full(n, -1))
        for key in keys:
            compute(key, samples)

    times = in_turn({"ours": ours, "log-softmax": lambda: [log_softmax(logits, axis=1) for _ in keys]}, rounds=rounds)
    note = f"{statistics.median(times['ours']):.2f} s"
    ratio = ratios(times["ours"], times["log-softmax"])
    what = f"{len(keys)} scores of {n:,} x {classes:,} logits"
    return [Row(what, "SciPy, log_softmax, each", ratio, None, True, note=note, values=tuple(times["ours"]))]


def listing_rows(folder: Path, *, count: int, epochs: int = 300, rounds: int = 5) -> list[Row]:
    """Listing many experiments with the histories of long trainings."""
    history = {name: np.random.default_rng(0).random(2 * epochs).tolist() for name in map(str, range(14))}
    protocol = {"epochs": epochs, "milestones": [150, 200, 250], "learning_rate": 0.1, "momentum": 0.9}
    experiment = {"data": "cifar10", "backbone": "resnet110", "loss": "isomax+", "preset": "paper"}
    for number in range(count):
        place = folder / f"experiment-{number}"
        place.mkdir()
        (place / "history.json").write_text(json.dumps(history) if number < 3 else "", encoding="utf-8")
        (place / "capture.safetensors").write_bytes(bytes(1000))
        document = {"format": FORMAT, "version": FORMAT_VERSION, "id": place.name}
        document |= {"created": "2020-01-01T00:00:00+00:00", "accuracy": 0.9, "entropic_scale": 10.0}
        document |= {"experiment": experiment | {"seed": number}, "protocol": protocol, "duration_s": 1.0}
        document |= {"device": "cpu", "versions": {"torch": "2"}, "files": {}}
        (place / "manifest.json").write_text(json.dumps(document | {"sha256": json_digest(document)}), encoding="utf-8")
    times = [seconds(lambda: store.list(folder)) for _ in range(rounds)]
    note = f"{statistics.median(times):.2f} s"
    return [Row(f"listing {count:,} experiments", "1 second", tuple(times), 1.0, True, note=note)]


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows of this file."""
    n, classes, rounds = (2_000, 10, 1) if tiny else (1_000_000, 100, 3)
    with tempfile.TemporaryDirectory() as folder:
        found, samples = recording_rows(n, classes)
        noise = np.random.default_rng(0).standard_normal((n // 5, classes), dtype=np.float32)
        ood = Samples(logits=noise, labels=np.full(len(noise), -1))
        capture = Capture(test=samples, ood={"noise": ood}, meta={"loss": "isomax"})
        path = Path(folder) / "capture.safetensors"
        found += file_rows(capture, path, rounds=rounds)
        del capture, samples
        found += use_rows(path)
        (Path(folder) / "store").mkdir()
        found += score_rows(30 if tiny else 300, 1000 if tiny else 100_000, rounds=rounds)
        return found + listing_rows(Path(folder) / "store", count=20 if tiny else 1000, rounds=rounds)

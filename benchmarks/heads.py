"""What the last layer costs: a forward pass with each head against the same network with ``nn.Linear``."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.rows import Row, in_turn, ratios
from isomax_viz.learning.backbones import BACKBONES
from isomax_viz.learning.losses import HEADS

LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
CLASSES = 10
LIMIT = 1.02
# batch size -> rounds: single pictures take milliseconds and scatter more
ROUNDS = {1: 60, 64: 7}


def forward(backbone: nn.Module, head: nn.Module, images: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return one call of the whole network for detection."""

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return head(backbone(images))

    return run


def alone(head: nn.Module, features: torch.Tensor, *, repeats: int) -> Callable[[], None]:
    """Return many calls of the head alone."""

    def run() -> None:
        with torch.inference_mode():
            for _ in range(repeats):
                head(features)

    return run


def head_rows(name: str, batch_size: int, *, rounds: int, repeats: int = 200) -> list[Row]:
    """Rows of one network and batch size; all heads stand on the same backbone, so that nothing else differs."""
    torch.manual_seed(0)
    backbone = BACKBONES[name](in_channels=3).eval()
    images = torch.randn(batch_size, 3, 32, 32)
    heads = {"linear": nn.Linear(backbone.num_features, CLASSES)}
    heads |= {loss: HEADS[loss](backbone.num_features, CLASSES) for loss in LOSSES}
    for head in heads.values():
        head.eval()
    with torch.inference_mode():
        features = backbone(images)
    whole = in_turn({key: forward(backbone, head, images) for key, head in heads.items()}, rounds=rounds)
    parts = in_turn({key: alone(head, features, repeats=repeats) for key, head in heads.items()}, rounds=7)
    took = {key: 1e6 * statistics.median(times) / repeats for key, times in parts.items()}
    network = statistics.median(whole["linear"])
    rows = []
    for loss in LOSSES:
        # Where whole passes scatter by tens of percent, they cannot show a difference of one percent: the verdict is on
        # the time of the heads alone, added to a pass; the ratio of whole passes stands beside it.
        added = [(mine - linear) / repeats / network for mine, linear in zip(parts[loss], parts["linear"], strict=True)]
        measured = ratios(whole[loss], whole["linear"])
        note = (
            f"head alone {took[loss]:.0f} µs, nn.Linear {took['linear']:.0f} µs, the pass {1e3 * network:.1f} ms; "
            f"whole passes: {statistics.median(measured):.3g} ({min(measured):.3g} to {max(measured):.3g})"
        )
        what = f"forward pass, {name}, batch {batch_size}, {loss}"
        rows.append(Row(what, "with nn.Linear", tuple(1 + value for value in added), LIMIT, at_most=True, note=note))
    return rows


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows of this file."""
    if tiny:
        return head_rows("small_cnn", 1, rounds=1, repeats=1)
    names = ("resnet34", "densenet_bc100")
    return [row for name in names for size, rounds in ROUNDS.items() for row in head_rows(name, size, rounds=rounds)]

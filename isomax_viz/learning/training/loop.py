"""Training: one visible loop over batches that are shuffled, augmented and normalised on the device."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from isomax_viz.datasets import InDistribution
from isomax_viz.learning.losses import parameter_groups
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.checkpoint import Checkpoint, resumed, training_digest, training_tensors
from isomax_viz.learning.training.hardware import (
    choose_device,
    choose_precision,
    compile_pays,
    compiled,
    suitable_layout,
    suitable_threads,
)
from isomax_viz.learning.training.history import EpochRecord, scales_of
from isomax_viz.learning.training.outliers import Outliers
from isomax_viz.learning.training.protocols import Protocol
from isomax_viz.learning.training.selection import BestEpoch, check_selection, splits

__all__ = ["TrainingError", "evaluate_epoch", "train"]

logger = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """A training can't go on; the message says where it stopped and what to try."""


def train(
    model: nn.Module,
    data: InDistribution,
    protocol: Protocol,
    *,
    seed: int = 0,
    padding: int = 0,
    flip: bool = False,
    device: torch.device | str | None = None,
    precision: str = "auto",
    outliers: Outliers | None = None,
    compile: bool | str | None = None,
    deterministic: bool = False,
    checkpoint: Checkpoint | None = None,
    progress: bool = True,
    title: str = "training",
) -> pd.DataFrame:
    """Train a network in place and return its history.

    Parameters
    ----------
    model : Module
        Has ``backbone`` and ``head``, see :class:`~isomax_viz.learning.backbones.Classifier`; it is moved to the
        device.
    data : InDistribution
        Training and test pictures; the test pictures are watched, and learned from only through ``select="best_test"``.
        A last batch of a single picture joins the one before it where the network can't learn from one.
    protocol : Protocol
        See :mod:`isomax_viz.learning.training.protocols`.
    seed : int
        Determines shuffling, augmentation, dropout and what is held out for validation.
    padding, flip : int, bool
        Augmentation that suits the data, used if ``protocol.augment``.
    device : str or torch.device, optional
        See :func:`~isomax_viz.learning.training.hardware.choose_device`.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the backbone; see :func:`~isomax_viz.learning.training.hardware.choose_precision`.
    outliers : Outliers, optional
        Extra data to train against, as many in each batch as pictures to be learned; they pass through the network
        together, so that batch statistics do not tell them apart.
    compile : bool or str, optional
        Whether to compile the backbone; by default once a training is long enough to repay it. A text is the mode of
        ``torch.compile``: on CUDA, ``"reduce-overhead"`` uses CUDA graphs.
    deterministic : bool
        Refuse operations whose result changes from run to run (on CUDA they are faster; on the CPU there are none
        here).
    checkpoint : Checkpoint, optional
        Where to keep the state of the unfinished training; one of the same training that is there already is
        continued, another's is written over, with a warning.
    progress : bool
        Show a progress bar.
    title : str
        What the progress bar calls this training.

    Returns
    -------
    DataFrame
        One row per epoch and split ("train": as seen while learning; "test"; "validation" if asked for): ``epoch,
        split, learning_rate, loss, accuracy, cross_entropy, entropy, max_probability, intra_logit_mean,
        intra_logit_std, inter_logit_mean, inter_logit_std`` and the head's learned scales. Entropy and probability are
        those of the detection logits. ``attrs["computing"]`` says in which precision, and whether compiled.

    Raises
    ------
    TrainingError
        If the loss becomes NaN or infinite.
    ValueError
        If ``protocol.select`` asks for a split that is not held out.
    """
    check_selection(protocol)
    device = choose_device(device)
    dtype = choose_precision(precision, device, side=data.train.size[0])
    pixels = len(data.train) * np.prod(data.train.size) * protocol.epochs
    compile = compile_pays(device, dtype, pixels=pixels) if compile is None else compile
    layout = suitable_layout(device)
    model.to(device, memory_format=layout)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
    options = {"mean": data.mean, "std": data.std, "device": device, "layout": layout}
    sets = {name: Batches(images, **options) for name, images in splits(data, protocol, seed=seed).items()}
    learned = sets.pop("train")
    backbone = model.backbone
    if compile:
        example, _ = next(learned.in_order(min(protocol.batch_size, len(learned))))
        # As the batches will be: for another number of pictures it would be compiled again.
        example = torch.cat([example] * (1 + (outliers is not None)))
        mode = compile if isinstance(compile, str) else None
        backbone = compiled(model.backbone, example, mode=mode, dtype=dtype)
    augmentation = {"padding": padding, "flip": flip} if protocol.augment else {}
    # Asked only where it matters, and joined only where it must be: networks that accept one keep their numbers.
    alone = not learned.ends_alone(protocol.batch_size) or _accepts_one(model, learned, beside=outliers is not None)
    unknown = Batches(outliers.images, **options) if outliers is not None else None
    optimizer = _optimizer(model, protocol)
    generator = torch.Generator(device).manual_seed(seed)
    kept = BestEpoch(protocol.select)
    rows: list[dict[str, object]] = []
    with _seeded(seed, device=device, deterministic=deterministic), suitable_threads(device, side=data.train.size[0]):
        if checkpoint is not None:
            told = {"seed": seed, "padding": padding, "flip": flip, "precision": str(dtype)}
            digest = training_digest(model, data, protocol, outliers=outliers, **told)
            parts = (model, optimizer, generator, kept)
            rows = resumed(checkpoint, *parts, digest=digest, epochs=protocol.epochs)
        first = int(rows[-1]["epoch"]) + 1 if rows else 1
        epochs = tqdm(range(1, protocol.epochs + 1), desc=title, unit="epoch", leave=False, disable=not progress)
        for epoch in epochs:
            if epoch < first:
                continue
            record, seen = EpochRecord(), 0
            model.train()
            if outliers is not None:
                beside = outliers.batches(unknown, protocol.batch_size, generator=generator, **augmentation)
            order = {"generator": generator, "alone": alone}
            for images, targets in learned.shuffled(protocol.batch_size, **order, **augmentation):
                n = len(images)
                factor = protocol.learning_rate_factor(epoch, (seen + n / 2) / len(learned))
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor
                seen += n
                if outliers is not None:
                    images = torch.cat([images, outliers.made_hard(model, next(beside)[:n], data)])
                with autocast:
                    features = backbone(images)
                logits, class_logits = model.head.both_logits(features)
                loss = model.head.criterion(class_logits[:n], targets)
                if outliers is not None:
                    loss = loss + outliers.term(class_logits[:n], class_logits[n:])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                record.add(logits[:n], class_logits[:n], targets, loss)
            common = {"learning_rate": optimizer.param_groups[0]["lr"]}
            summaries = {"train": record.summary()}
            _check_finite(summaries["train"]["loss"], epoch=epoch, **common)
            summaries |= {name: evaluate_epoch(model, part, dtype=dtype) for name, part in sets.items()}
            scales = scales_of(model.head)
            rows += [{"epoch": epoch, "split": key} | common | value | scales for key, value in summaries.items()]
            kept.update(model, summaries)
            if checkpoint is not None and checkpoint.is_due():
                tensors = training_tensors(model, optimizer, generator) | kept.tensors()
                state = {"rows": rows, "best": kept.accuracy, "device": device.type, "training": digest}
                checkpoint.save(tensors, state)
            epochs.set_postfix(accuracy=f"{summaries['test']['accuracy']:.1%}", refresh=False)
    kept.restore(model)
    history = pd.DataFrame(rows)
    history.attrs["computing"] = {
        "precision": str(dtype).removeprefix("torch."),
        "compiled": backbone is not model.backbone,
    }
    return history


@torch.no_grad()
def evaluate_epoch(model: nn.Module, batches: Batches, *, dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Return the history's figures for a set of pictures, in evaluation mode and without learning from it.

    Parameters
    ----------
    model : Module
        Has ``backbone`` and ``head``.
    batches : Batches
        Pictures and labels.
    dtype : torch.dtype
        Number format of the backbone; the head and its loss are float32.
    """
    record = EpochRecord()
    model.eval()
    autocast = torch.autocast(batches.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
    for images, targets in batches.in_order():
        with autocast:
            features = model.backbone(images)
        logits, class_logits = model.head.both_logits(features)
        record.add(logits, class_logits, targets, model.head.criterion(class_logits, targets))
    return record.summary()


def _accepts_one(model: nn.Module, batches: Batches, *, beside: int) -> bool:
    """Return whether the network can learn from a single picture; with batch normalisation not all can.

    Its weights, running statistics and random numbers are left as they are.
    """
    images, targets = next(batches.in_order(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    try:
        with torch.random.fork_rng([batches.device] if batches.device.type == "cuda" else []):
            _, class_logits = model.head.both_logits(model.backbone(torch.cat([images] * (1 + beside))))
            model.head.criterion(class_logits[:1], targets)
        return True
    except Exception:  # noqa: BLE001 - what has another reason is raised by the first batch, in its own words
        return False
    finally:
        model.load_state_dict(before)


def _optimizer(model: nn.Module, protocol: Protocol) -> torch.optim.SGD:
    groups = parameter_groups(
        model,
        lr=protocol.learning_rate,
        weight_decay=protocol.weight_decay,
        slow_factor=protocol.scales_learning_rate,
        slow_decay=protocol.scales_weight_decay,
    )
    for group in groups:
        group["initial_lr"] = group["lr"]
    return torch.optim.SGD(groups, lr=protocol.learning_rate, momentum=protocol.momentum, nesterov=True)


def _check_finite(loss: float, *, epoch: int, learning_rate: float) -> None:
    if not np.isfinite(loss):
        raise TrainingError(
            f"The training loss became {loss} in epoch {epoch} at learning rate {learning_rate:g}. Try a lower "
            "learning rate, a smaller entropic scale, or look for pictures whose pixels are all alike."
        )


@contextmanager
def _seeded(seed: int, *, device: torch.device, deterministic: bool) -> Iterator[None]:
    """Seed the global generators (dropout and the like), and restore everything for the caller afterwards."""
    if deterministic and device.type == "cuda":
        # Without it PyTorch refuses matrix products under deterministic algorithms.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            torch.use_deterministic_algorithms(deterministic or before, warn_only=only_warned and not deterministic)
            torch.backends.cudnn.benchmark = not deterministic
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=only_warned)
            torch.backends.cudnn.benchmark = benchmark

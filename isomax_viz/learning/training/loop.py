"""Training: one visible loop over batches that are shuffled, augmented and normalised on the device."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from isomax_viz.datasets import InDistribution
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.checkpoint import Checkpoint, TrainingState, training_digest
from isomax_viz.learning.training.hardware import Computing
from isomax_viz.learning.training.history import EpochRecord
from isomax_viz.learning.training.outliers import Outliers
from isomax_viz.learning.training.protocols import Protocol
from isomax_viz.learning.training.start import optimizer_for, prepare, splits

__all__ = ["TrainingError", "evaluate_epoch", "train"]


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
    computing = Computing.chosen(data.train, model.backbone, epochs=protocol.epochs, seed=seed, device=device,
                                 precision=precision, compile=compile, deterministic=deterministic)  # fmt: skip
    sets = {name: computing.batches(images, data) for name, images in splits(data, protocol, seed=seed).items()}
    learned = sets.pop("train")
    unknown = None if outliers is None else computing.batches(outliers.images, data)
    copies = 1 if outliers is None else 2
    optimizer = optimizer_for(model, protocol)  # before compiling: a scale that stops to learn would compile it anew
    backbone = computing.placed(model, learned, batch_size=protocol.batch_size, copies=copies)
    prepare(model.backbone, protocol, learned)
    shuffling = {"batch_size": protocol.batch_size, "generator": computing.generator()}
    shuffling |= protocol.augmentation(padding=padding, flip=flip)
    state = TrainingState(model, optimizer, shuffling["generator"], protocol.select)
    with computing.active():
        if checkpoint is not None:
            told = {"seed": seed, "padding": padding, "flip": flip, "precision": str(computing.dtype)}
            digest = training_digest(model, data, protocol, outliers=outliers, **told)
            checkpoint.resume(state, digest=digest, epochs=protocol.epochs)
        todo = range(state.epoch + 1, protocol.epochs + 1)
        epochs = tqdm(todo, initial=state.epoch, total=protocol.epochs, desc=title, unit="epoch", leave=False,
                      disable=not progress)  # fmt: skip
        for epoch in epochs:
            record, seen = EpochRecord(), 0
            model.train()
            batches = learned.shuffled(**shuffling, epoch=epoch)
            if outliers is not None and unknown is not None:
                beside = unknown.shuffled(**shuffling, epoch=epoch, total=len(learned))
                batches = outliers.joined(batches, beside, model, data)
            for images, targets in batches:
                n = len(targets)
                factor = protocol.learning_rate_factor(epoch, (seen + n / 2) / len(learned))
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * factor
                seen += n
                with computing.autocast():
                    features = backbone(images)
                logits, class_logits = model.head.both_logits(features)
                loss = model.head.criterion(class_logits[:n], targets)
                if outliers is not None:
                    loss = loss + outliers.term(class_logits[:n], class_logits[n:])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                record.add(logits[:n], class_logits[:n], targets, loss)
            learning = {"train": record.summary()}
            _check_finite(learning["train"]["loss"], epoch=epoch, learning_rate=optimizer.param_groups[0]["lr"])
            watched = {name: evaluate_epoch(model, part, computing) for name, part in sets.items()}
            state.add(learning | watched)
            if checkpoint is not None:
                checkpoint.keep(state)
            epochs.set_postfix(accuracy=f"{watched['test']['accuracy']:.1%}", refresh=False)
    if state.kept:
        model.load_state_dict(state.kept)
    history = pd.DataFrame(state.rows)
    precision = str(computing.dtype).removeprefix("torch.")
    history.attrs["computing"] = {"precision": precision, "compiled": backbone is not model.backbone}
    return history


@torch.no_grad()
def evaluate_epoch(model: nn.Module, batches: Batches, computing: Computing) -> dict[str, float]:
    """Return the history's figures for a set of pictures, in evaluation mode and without learning from it.

    Parameters
    ----------
    model : Module
        Has ``backbone`` and ``head``.
    batches : Batches
        Pictures and labels.
    computing : Computing
        Tells the number format of the backbone.
    """
    record = EpochRecord()
    model.eval()
    for images, targets in batches.in_order():
        with computing.autocast():
            features = model.backbone(images)
        logits, class_logits = model.head.both_logits(features)
        record.add(logits, class_logits, targets, model.head.criterion(class_logits, targets))
    return record.summary()


def _check_finite(loss: float, *, epoch: int, learning_rate: float) -> None:
    if not np.isfinite(loss):
        raise TrainingError(
            f"The training loss became {loss} in epoch {epoch} at learning rate {learning_rate:g}. Try a lower "
            "learning rate, a smaller entropic scale, or look for pictures whose pixels are all alike."
        )

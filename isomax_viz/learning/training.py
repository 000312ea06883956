"""Training: protocols, and one visible loop over pictures that stay on the device as one uint8 tensor."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from isomax_viz._checks import check_choice
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.losses import parameter_groups

__all__ = ["PRESETS", "DeviceImages", "Protocol", "TrainingError", "choose_device", "train"]

logger = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """A training can't go on; the message says where it stopped and what to try."""


@dataclass(frozen=True)
class Protocol:
    """How a network is trained: stochastic gradient descent with Nesterov momentum and a stepwise learning rate.

    Attributes
    ----------
    epochs : int
        Passes over the training set.
    milestones : tuple of int
        After these epochs the learning rate is divided by 10.
    batch_size, learning_rate, momentum, weight_decay
        As in the papers: 64, 0.1, 0.9, 1e-4 on every parameter but IsoMax2's scales and tilts.
    augment : bool
        Random crop with padding and horizontal flip, as far as the data set's own hints allow (digits are not flipped).

    Notes
    -----
    Source: experiments sections of the papers; the preset "paper" is their protocol for CIFAR and SVHN.
    """

    epochs: int
    milestones: tuple[int, ...]
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    augment: bool = True


PRESETS = {
    "smoke": Protocol(epochs=2, milestones=(1,)),
    "teaching": Protocol(epochs=30, milestones=(15, 20, 25)),
    "paper": Protocol(epochs=300, milestones=(150, 200, 250)),
}


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for, or the best one there is: CUDA, then Apple's MPS, then the CPU.

    Raises
    ------
    ValueError
        If a device is asked for that this machine or this build of PyTorch does not have.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device is None:
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    kind = str(device).partition(":")[0]
    available = [name for name, is_there in there.items() if is_there]
    check_choice("device", kind, available, remedy="Leave it out to take the best one there is.")
    return torch.device(device)


class DeviceImages:
    """A set of pictures as one uint8 tensor on the device, normalised batch by batch.

    Parameters
    ----------
    images : ImageSet
        Pictures and labels.
    mean, std : array, shape (channels,)
        Of the in-distribution training set, for pictures scaled to [0, 1]; every set is normalised with these.
    device : torch.device
        Where the pictures live.
    """

    def __init__(self, images: ImageSet, *, mean: np.ndarray, std: np.ndarray, device: torch.device) -> None:
        # One copy: torch wants writable memory in its own order, and the arrays of an ImageSet are read-only.
        self.pictures = torch.from_numpy(np.array(np.moveaxis(images.images, 3, 1), order="C")).to(device)
        self.labels = torch.from_numpy(np.array(images.labels)).to(device)
        # One multiplication and addition per pixel: (x / 255 - mean) / std.
        self._factor = torch.tensor(1 / (255 * std), dtype=torch.float32, device=device)[:, None, None]
        self._shift = torch.tensor(mean / std, dtype=torch.float32, device=device)[:, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def normalised(self, pictures: Tensor) -> Tensor:
        """Return uint8 pictures (n, channels, height, width) as normalised float32."""
        return pictures * self._factor - self._shift

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised pictures and labels in order."""
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield self.normalised(self.pictures[part]), self.labels[part]

    def shuffled_batches(
        self, batch_size: int, *, generator: torch.Generator, padding: int = 0, flip: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised, augmented pictures and labels in a random order that the generator determines."""
        order = torch.randperm(len(self), generator=generator).to(self.labels.device)
        for indices in order.split(batch_size):
            pictures = _augmented(self.pictures[indices], generator=generator, padding=padding, flip=flip)
            yield self.normalised(pictures), self.labels[indices]


def _augmented(pictures: Tensor, *, generator: torch.Generator, padding: int, flip: bool) -> Tensor:
    """Shift each picture by up to ``padding`` pixels (black comes in) and mirror half of them."""
    n, _, height, width = pictures.shape
    rows = torch.arange(height).expand(n, height)
    columns = torch.arange(width).expand(n, width)
    if flip:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if padding:
        shifts = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator)
        rows, columns = rows + shifts[0], columns + shifts[1]
        pictures = functional.pad(pictures, (padding,) * 4)
    if not (flip or padding):
        return pictures
    device = pictures.device
    sample = torch.arange(n, device=device)[:, None, None]
    rows, columns = rows.to(device)[:, :, None], columns.to(device)[:, None, :]
    return pictures.permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 3, 1, 2)


class EpochRecord:
    """Running sums of what the history tells about one epoch, kept on the device until the epoch ends."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._classes = 0

    @torch.no_grad()
    def add(self, head: nn.Module, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add one batch; nothing here waits for the device."""
        self._classes = logits.shape[1]
        class_logits = head.class_logits(logits)
        log_probabilities = functional.log_softmax(logits, dim=1)
        probabilities = log_probabilities.exp()
        intra = logits.gather(1, targets[:, None])[:, 0]
        intra_square = intra.square()
        sums = (
            torch.full_like(loss, len(targets)),
            loss * len(targets),
            (class_logits.argmax(dim=1) == targets).sum(),
            functional.cross_entropy(class_logits, targets, reduction="sum"),
            -(probabilities * log_probabilities).sum(),
            probabilities.amax(dim=1).sum(),
            intra.sum(),
            intra_square.sum(),
            logits.sum() - intra.sum(),
            logits.square().sum() - intra_square.sum(),
        )
        self._sums.append(torch.stack([value.float() for value in sums]))

    def summary(self) -> dict[str, float]:
        """Return means and standard deviations over the epoch, as plain numbers."""
        totals = torch.stack(self._sums).cpu().double().sum(dim=0).tolist()
        n, loss, correct, cross_entropy, entropy, max_probability, intra, intra_square, inter, inter_square = totals
        n_inter = n * (self._classes - 1)
        return {
            "loss": loss / n,
            "accuracy": correct / n,
            "cross_entropy": cross_entropy / n,
            "entropy": entropy / n,
            "max_probability": max_probability / n,
            "intra_logit_mean": intra / n,
            "intra_logit_std": max(intra_square / n - (intra / n) ** 2, 0.0) ** 0.5,
            "inter_logit_mean": inter / n_inter,
            "inter_logit_std": max(inter_square / n_inter - (inter / n_inter) ** 2, 0.0) ** 0.5,
        }


def train(
    model: nn.Module,
    data: InDistribution,
    protocol: Protocol,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
    padding: int = 0,
    flip: bool = False,
    progress: bool = True,
    title: str = "training",
) -> pd.DataFrame:
    """Train a network in place and return its history; the model kept is that of the last epoch.

    Parameters
    ----------
    model : Module
        Has ``head``, see :class:`~isomax_viz.learning.backbones.Classifier`; it is moved to the device.
    data : InDistribution
        Training and test pictures; the test pictures are only watched, never learned from.
    protocol : Protocol
        See :data:`PRESETS`.
    seed : int
        Determines shuffling, augmentation and dropout.
    device : str or torch.device, optional
        See :func:`choose_device`.
    padding, flip : int, bool
        Augmentation that suits the data, used if ``protocol.augment``.
    progress : bool
        Show a progress bar.
    title : str
        What the progress bar calls this training.

    Returns
    -------
    DataFrame
        One row per epoch and split ("train": as seen while learning; "test"): ``epoch, split, learning_rate, loss,
        accuracy, cross_entropy, entropy, max_probability, intra_logit_mean, intra_logit_std, inter_logit_mean,
        inter_logit_std`` and the head's learned scales. Entropy and probability are those of the detection logits.

    Raises
    ------
    TrainingError
        If the loss becomes NaN or infinite.
    """
    device = choose_device(device)
    train_set, test_set = (
        DeviceImages(part, mean=data.mean, std=data.std, device=device) for part in (data.train, data.test)
    )
    model.to(device)
    groups = parameter_groups(model, lr=protocol.learning_rate, weight_decay=protocol.weight_decay)
    optimizer = torch.optim.SGD(groups, momentum=protocol.momentum, nesterov=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, protocol.milestones, gamma=0.1)
    generator = torch.Generator().manual_seed(seed)
    augmentation = {"padding": padding, "flip": flip} if protocol.augment else {}
    rows = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # dropout and the like; restored for the caller afterwards
        epochs = tqdm(range(1, protocol.epochs + 1), desc=title, unit="epoch", leave=False, disable=not progress)
        for epoch in epochs:
            record = EpochRecord()
            model.train()
            for images, targets in train_set.shuffled_batches(
                protocol.batch_size, generator=generator, **augmentation
            ):
                logits = model(images)
                loss = model.head.loss(logits, targets)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                record.add(model.head, logits, targets, loss)
            summaries = {"train": record.summary(), "test": evaluate_epoch(model, test_set)}
            learning_rate = optimizer.param_groups[0]["lr"]
            _check_training(summaries["train"]["loss"], epoch=epoch, learning_rate=learning_rate)
            common = {"learning_rate": learning_rate}
            scales = model.head.scales()
            rows += [{"epoch": epoch, "split": key, **common, **value, **scales} for key, value in summaries.items()]
            schedule.step()
            epochs.set_postfix(accuracy=f"{summaries['test']['accuracy']:.1%}", refresh=False)
    return pd.DataFrame(rows)


@torch.no_grad()
def evaluate_epoch(model: nn.Module, images: DeviceImages, *, batch_size: int = 512) -> dict[str, float]:
    """Return the history's figures for a set of pictures, in evaluation mode and without learning from it."""
    record = EpochRecord()
    model.eval()
    for pictures, targets in images.batches(batch_size):
        logits = model(pictures)
        record.add(model.head, logits, targets, model.head.loss(logits, targets))
    return record.summary()


def _check_training(loss: float, *, epoch: int, learning_rate: float) -> None:
    if not np.isfinite(loss):
        raise TrainingError(
            f"The training loss became {loss} in epoch {epoch} at learning rate {learning_rate:g}. Try a lower "
            "learning rate, a smaller entropic scale, or look for pictures whose pixels are all alike."
        )

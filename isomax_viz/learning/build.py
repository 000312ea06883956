"""Assembly: the backbone and head of an experiment put together; what is the reader's own is tried before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isomax_viz._common.checks import name_of
from isomax_viz.datasets import InDistribution
from isomax_viz.learning.backbones import BACKBONES, Classifier
from isomax_viz.learning.losses import HEADS, Head
from isomax_viz.learning.training.history import scales_of

__all__ = ["assemble", "try_out"]

Part = str | Callable[..., Any]


def assemble(
    backbone: Part, loss: Part, settings: Mapping[str, Any], *, channels: int, classes: int, seed: int
) -> Classifier:
    """Return the untrained network.

    Parameters
    ----------
    backbone, loss
        Keys, or classes and functions of the reader's own; see :class:`isomax_viz.Experiment`.
    settings : mapping
        Options of the head.
    channels, classes : int
        Of the pictures.
    seed : int
        Of the initial weights.

    Raises
    ------
    TypeError
        If one of them gives something else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with _noted("backbone", backbone, f"called with in_channels={channels}"):
            body = (BACKBONES[backbone] if isinstance(backbone, str) else backbone)(in_channels=channels)
        size = getattr(body, "num_features", None)
        if not isinstance(body, nn.Module) or not isinstance(size, (int, np.integer)):
            raise TypeError(
                f"backbone={name_of(backbone)} must give a torch.nn.Module with an attribute num_features (whole "
                f"number: the length of its feature vectors), but gave {type(body).__name__}"
                f"{f' whose num_features is {size!r}' if isinstance(body, nn.Module) else ''}."
            )
        with _noted("loss", loss, f"called with ({size}, {classes}{''.join(f', {name}=...' for name in settings)})"):
            head = (HEADS[loss] if isinstance(loss, str) else loss)(int(size), classes, **settings)
        for parameter, thing, part in (("backbone", backbone, body), ("loss", loss, head)):
            if isinstance(part, nn.Module) and "_modules" not in vars(part):
                raise TypeError(f"{parameter}={name_of(thing)} must call super().__init__(...) first in its __init__.")
        if not isinstance(head, Head):
            wanted = f"loss={name_of(loss)} must give a head derived from isomax_viz.learning.losses.Head"
            raise TypeError(f"{wanted}, but gave {type(head).__name__}.")
        if type(head).loss is not Head.loss:
            raise TypeError(
                f"loss={name_of(loss)} has a method loss of its own, which training would not use: write what shall be "
                "minimised as criterion(self, class_logits, targets)."
            )
    return Classifier(body, head)


def try_out(
    model: Classifier, backbone: Part, loss: Part, settings: Mapping[str, Any], data: InDistribution, *, seed: int
) -> None:
    """Look whether what is the reader's own can be trained, by a second network of its kind on two random pictures.

    Parameters
    ----------
    model : Classifier
        From :func:`assemble` with the same arguments; it is left as it is.
    backbone, loss, settings, seed
        As there.
    data : InDistribution
        What will be learned.

    Raises
    ------
    TypeError, ValueError
        If shapes or numbers are impossible, or both networks share what is learned. An error in the reader's own code
        is raised as it is, with a note.
    """
    if isinstance(backbone, str) and isinstance(loss, str):
        return
    channels, classes = data.train.channels, len(data.train.class_names)
    trial = assemble(backbone, loss, settings, channels=channels, classes=classes, seed=seed).eval()
    shared = {id(item) for item in model.parameters() if item.requires_grad} & {id(item) for item in trial.parameters()}
    for parameter, thing, part in (("backbone", backbone, model.backbone), ("loss", loss, model.head)):
        if shared & {id(item) for item in part.parameters()}:
            raise ValueError(
                f"{parameter}={name_of(thing)} gives the same layers each time that it is called, so that one training "
                "would go on where another ended. Build them inside, or return copy.deepcopy(...) of them."
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pictures = torch.randn(2, channels, *data.train.size)
        labels = torch.tensor([0, 1])
        with _noted("backbone", backbone, f"tried with pictures of shape {tuple(pictures.shape)}"):
            features = trial.backbone(pictures)
        _check_shape(f"backbone={name_of(backbone)}", "feature vector", features, trial.head.num_features)
        head, features = trial.head, features.float()
        with _noted("loss", loss, f"tried with features of shape {tuple(features.shape)}"):
            logits = head(features)
        _check_shape(f"loss={name_of(loss)}", "logit vector", logits, head.num_classes)
        with _noted("loss", loss, f"tried with logits of shape {tuple(logits.shape)}"):
            _, class_logits = head.both_logits(features)
            value = head.criterion(class_logits, labels)
            scales_of(head)
        _check_shape(f"class_logits of loss={name_of(loss)}", "vector", class_logits, head.num_classes)
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        found = _shape(value) if isinstance(value, Tensor) and value.ndim else f"{value!r:.80}"
        wanted = "one number that can be differentiated, such as the mean over a batch"
        raise TypeError(f"{name_of(loss)}.criterion must give {wanted}, but gave {found}.")


@contextmanager
def _noted(parameter: str, thing: Part, how: str) -> Iterator[None]:
    """Say in a note to the error of whose code it is, and how it was called."""
    try:
        yield
    except Exception as error:
        if not isinstance(thing, str):
            error.add_note(f"This was raised by {parameter}={name_of(thing)}, {how}.")
        raise


def _check_shape(what: str, kind: str, found: Any, length: int) -> None:
    if not isinstance(found, Tensor) or found.shape != (2, length):
        wanted = f"one {kind} of length {length} per picture, so shape (2, {length}) for two pictures"
        raise ValueError(f"{what} must give {wanted}, but gave {_shape(found)}.")
    if not found.isfinite().all():
        raise ValueError(f"{what} gives NaN or infinite numbers before anything is trained. Look for a division by 0.")


def _shape(found: Any) -> str:
    return f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"

"""What the history tells about an epoch, summed up on the device without ever waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["EpochRecord", "scales_of"]

_MEANS = ("loss", "accuracy", "cross_entropy", "entropy", "max_probability")


class EpochRecord:
    """Running sums of one epoch's columns, kept on the device until the epoch ends.

    Examples
    --------
    >>> from isomax_viz.learning.losses import IsoMaxHead
    >>> record, logits, targets = EpochRecord(), torch.tensor([[0.0, -9.0], [0.0, -9.0]]), torch.tensor([0, 1])
    >>> record.add(logits, 10 * logits, targets, IsoMaxHead(2, 2).loss(logits, targets))
    >>> summary = record.summary()
    >>> summary["accuracy"], summary["intra_logit_mean"]
    (0.5, -4.5)
    """

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._classes = 0

    @torch.no_grad()
    def add(self, logits: Tensor, class_logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add one batch.

        Parameters
        ----------
        logits, class_logits : Tensor, shape (n, classes)
            For detection, and for classification.
        targets : Tensor of int64, shape (n,)
            Correct classes.
        loss : Tensor, no axis
            The mean that was minimised.
        """
        n, self._classes = logits.shape
        log_probabilities = functional.log_softmax(logits, dim=1)
        probabilities = log_probabilities.exp()
        # Squares are summed in double where the device has it: a small spread around a large mean would be lost.
        wide = logits if logits.device.type == "mps" else logits.double()
        intra = wide.gather(1, targets[:, None])
        sums = (
            torch.full_like(loss, n),
            loss.detach() * n,
            (class_logits.argmax(dim=1) == targets).sum(),
            functional.cross_entropy(class_logits, targets, reduction="sum"),
            -torch.dot(probabilities.flatten(), log_probabilities.flatten()),
            probabilities.amax(dim=1).sum(),
            intra.sum(),
            intra.square().sum(),
            wide.sum(),
            wide.square().sum(),
        )
        self._sums.append(torch.stack([value.to(wide.dtype) for value in sums]))

    def summary(self) -> dict[str, float]:
        """Return means and standard deviations over the epoch as plain numbers; here the device is waited for."""
        totals = torch.stack(self._sums).cpu().double().sum(dim=0).tolist()
        n, *means, intra, intra_square, every, every_square = totals
        found = {name: value / n for name, value in zip(_MEANS, means, strict=True)}
        inter = n * (self._classes - 1), every - intra, every_square - intra_square
        for name, (count, total, square) in {"intra": (n, intra, intra_square), "inter": inter}.items():
            found[f"{name}_logit_mean"] = total / count
            found[f"{name}_logit_std"] = max(square / count - (total / count) ** 2, 0.0) ** 0.5
        return found


def scales_of(head: nn.Module) -> dict[str, float]:
    """Return the head's learned scales as plain numbers, which the history and its checkpoint can hold.

    Raises
    ------
    TypeError
        If a head of the reader's own gives something else.

    Examples
    --------
    >>> from isomax_viz.learning.losses import IsoMaxPlusHead
    >>> scales_of(IsoMaxPlusHead(2, 2))
    {'distance_scale': 1.0}
    """
    found = head.scales()
    try:
        return {name: float(value.detach() if isinstance(value, Tensor) else value) for name, value in found.items()}
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{type(head).__name__}.scales must give a dict of single numbers, such as {{'scale': 2.0}}, but gave "
            f"{' '.join(repr(found).split()):.80}. Return {{name: tensor.item()}}, or a mean where there are several."
        ) from error

"""Feeds: pictures, arrays and DataLoaders as batches of floats for any network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isomax_viz._checks import as_numeric, check_number
from isomax_viz.datasets import ImageSet
from isomax_viz.learning.batches import INFERENCE_BATCH

__all__ = ["Feed"]

Batch = tuple[Tensor, Any]  # pictures as the network wants them, and labels or None
_KINDS = "an ImageSet, (images, labels) as arrays or tensors, or a DataLoader"


@dataclass(frozen=True)
class Feed:
    """One set of a reader's data, as a network of theirs wants it.

    Attributes
    ----------
    name : str
        What errors call it.
    normalise : (mean, std) or None
        For pictures of an ImageSet, on the scale [0, 1].
    batch_size : int, optional
        Images at a time; a DataLoader has its own.
    device : torch.device
        Where the network is.
    """

    name: str
    normalise: tuple[Any, Any] | None
    batch_size: int | None
    device: torch.device

    def batches(self, value: Any) -> Iterator[Batch]:
        """Yield batches of floats with their labels."""
        size = INFERENCE_BATCH if self.batch_size is None else self.batch_size
        check_number("batch_size", size, at_least=1, whole=True)
        if isinstance(value, ImageSet):
            yield from self._of_pictures(value, size)
        elif isinstance(value, tuple) and len(value) == 2 and hasattr(value[0], "shape"):
            yield from self._of_arrays(*value, size)
        elif hasattr(value, "shape") and hasattr(value, "dtype"):
            yield from self._of_arrays(value, None, size)
        elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
            for batch in value:
                images, labels = _parts(batch)
                yield from self._of_arrays(images, labels, max(len(images), 1))
        else:
            raise TypeError(f"{self.name} must be {_KINDS}, but is {type(value).__name__}.")

    def _of_pictures(self, images: ImageSet, size: int) -> Iterator[Batch]:
        if self.normalise is None:
            raise ValueError(
                f"{self.name} is an ImageSet, but nothing says how the network wants its pictures. Pass "
                "normalise=(mean, std), one number for each channel on the scale [0, 1]; (0, 1) leaves them in [0, 1]."
            )
        mean, std = (
            torch.as_tensor(np.asarray(part), dtype=torch.float32).reshape(-1, 1, 1) for part in self.normalise
        )
        for start in range(0, len(images), size):
            part = torch.from_numpy(np.array(images.images[start : start + size])).permute(0, 3, 1, 2)
            yield (part.float() / 255 - mean) / std, images.labels[start : start + size]

    def _of_arrays(self, images: Any, labels: Any, size: int) -> Iterator[Batch]:
        tensor = images if isinstance(images, Tensor) else torch.from_numpy(as_numeric(self.name, images))
        if not tensor.is_floating_point():
            raise TypeError(
                f"{self.name} must hold preprocessed images as floats, but their dtype is {tensor.dtype}. For pictures "
                "in [0, 255] pass an ImageSet: isomax_viz.datasets.from_arrays(images, labels)."
            )
        if labels is not None and len(labels) != len(tensor):
            raise ValueError(
                f"{self.name} has {len(tensor)} images but {len(labels)} labels. Give one label per image."
            )
        for start in range(0, len(tensor), size):
            yield tensor[start : start + size], None if labels is None else labels[start : start + size]


def _parts(batch: Any) -> tuple[Any, Any]:
    """Return images and labels of a DataLoader's batch; what else it holds is left aside."""
    if isinstance(batch, (tuple, list)) and batch:
        return batch[0], batch[1] if len(batch) > 1 else None
    return batch, None

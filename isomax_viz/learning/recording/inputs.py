"""Reading a user's data as a network of theirs wants it: pictures, arrays, or batches of a DataLoader."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset, SequentialSampler

from isomax_viz._common.checks import as_numeric, check_number
from isomax_viz.datasets import ImageSet
from isomax_viz.learning.training.batches import Batches, inference_batch

__all__ = ["BatchReader", "Data", "check_complete", "checked_normalisation", "drawing"]

logger = logging.getLogger(__name__)

Data: TypeAlias = "ImageSet | Tensor | np.ndarray | Iterable[Any]"  # the last: (images, labels), or batches
Batch = tuple[Tensor, Any]  # pictures as the network wants them, and labels or None
_KINDS = "an ImageSet, (images, labels) as arrays or tensors, or a DataLoader"


def checked_normalisation(normalise: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and standard deviation of channels as arrays of shape (channels,).

    Raises
    ------
    TypeError
        If they are no two numbers or lists of numbers.
    ValueError
        If they are not on the scale [0, 1] of the pictures.

    Examples
    --------
    >>> checked_normalisation((127.5, 127.5))
    Traceback (most recent call last):
        ...
    ValueError: normalise=(mean, std) must be on the scale [0, 1], with mean from 0 to 1 and std above 0, but mean is \
[127.5] and std is [127.5]. Divide what is meant for pictures in [0, 255] by 255.
    """
    if normalise is None:
        return None
    if not isinstance(normalise, Sequence | np.ndarray) or len(normalise) != 2:
        raise TypeError(f"normalise must be (mean, std), each a number or one for each channel, but is {normalise!r}.")
    mean, std = (
        np.atleast_1d(as_numeric(f"The {name} of normalise", part)).astype(float).ravel()
        for name, part in zip(("mean", "std"), normalise, strict=True)
    )
    if not ((mean >= 0) & (mean <= 1)).all() or not ((std > 0) & np.isfinite(std)).all():
        raise ValueError(
            "normalise=(mean, std) must be on the scale [0, 1], with mean from 0 to 1 and std above 0, but mean is "
            f"{mean.tolist()} and std is {std.tolist()}. Divide what is meant for pictures in [0, 255] by 255."
        )
    return mean, std


@dataclass(frozen=True)
class BatchReader:
    """One set of a reader's data, as a network of theirs wants it.

    Attributes
    ----------
    name : str
        What errors call it.
    normalise : (mean, std) or None
        For pictures of an ImageSet, from :func:`checked_normalisation`.
    batch_size : int, optional
        Images at a time; a DataLoader has its own.
    device : torch.device
        Where the network is.
    is_labelled : bool
        Whether the labels count.
    """

    name: str
    normalise: tuple[np.ndarray, np.ndarray] | None
    batch_size: int | None
    device: torch.device
    is_labelled: bool = True

    def batches(self, value: Data) -> Iterator[Batch]:
        """Yield batches of floats with their labels."""
        if self.batch_size is not None:
            check_number("batch_size", self.batch_size, at_least=1, whole=True)
        if isinstance(value, ImageSet):
            yield from self._of_pictures(value)
        elif _is_array(value) or (isinstance(value, tuple) and len(value) == 2 and _is_array(value[0])):
            yield from self._of_arrays(*_parts(value))
        elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
            yield from self._of_batches(value)
        else:
            wrong = f"{self.name} must be {_KINDS}, but is {type(value).__name__}"
            raise TypeError(f"{wrong}. Wrap a Dataset in a DataLoader.")

    def _of_batches(self, batches: Iterable[Any]) -> Iterator[Batch]:
        for batch in batches:
            images, labels = _parts(batch)
            if not _is_array(images) or not images.ndim:
                keys = f" with the keys {', '.join(map(repr, images))}" if isinstance(images, Mapping) else ""
                raise TypeError(
                    f"A batch of {self.name} must be images, or (images, labels), as arrays or tensors, but is a "
                    f"{type(images).__name__}{keys}. Give them as such: ((batch[...], batch[...]) for batch in loader)."
                )
            if labels is None and self.is_labelled and isinstance(batches, (list, tuple)) and len(batches) == 2:
                remedy = "If images and their labels are meant, pass both as arrays in a tuple: (images, labels)."
                raise ValueError(f"{self.name} is a {type(batches).__name__} of batches without labels. {remedy}")
            yield from self._of_arrays(images, labels, len(images))

    def _of_pictures(self, images: ImageSet) -> Iterator[Batch]:
        if self.normalise is None:
            raise ValueError(
                f"{self.name} is an ImageSet, but nothing says how the network wants its pictures. Pass "
                "normalise=(mean, std), one number for each channel on the scale [0, 1]; (0, 1) leaves them in [0, 1]."
            )
        mean, std = self.normalise
        for name, part in (("mean", mean), ("std", std)):
            if len(part) not in (1, images.channels):
                raise ValueError(
                    f"normalise has a {name} of {len(part)} channels, but {self.name} has {images.channels}. Give one "
                    "number for each channel, or one for all."
                )
        yield from Batches(images, mean=mean, std=std, device=self.device).in_order(self._batch_size(images.size))

    def _of_arrays(self, images: Any, labels: Any, size: int | None = None) -> Iterator[Batch]:
        tensor = images if isinstance(images, Tensor) else torch.from_numpy(as_numeric(self.name, images))
        if not tensor.is_floating_point():
            raise TypeError(
                f"{self.name} must hold preprocessed images as floats, but their dtype is {tensor.dtype}. For pictures "
                "in [0, 255] pass an ImageSet: isomax_viz.datasets.from_arrays(images, labels)."
            )
        known = self._known(labels, len(tensor)) if self.is_labelled else None
        if not tensor.isfinite().all():
            wrong = f"{self.name} holds images with NaN or infinite numbers"
            raise ValueError(f"{wrong}. Mend the preprocessing, or drop them.")
        size = size or self._batch_size(tensor.shape[2:])
        for start in range(0, len(tensor), size):
            yield tensor[start : start + size], None if known is None else known[start : start + size]

    def _known(self, labels: Any, n: int) -> np.ndarray:
        """Return the labels of n images as numbers."""
        if labels is None:
            raise ValueError(f"{self.name} has no labels. In-distribution data needs them: pass (images, labels).")
        array = as_numeric(f"The labels of {self.name}", labels)
        if array.shape != (n,):
            wanted = f"The labels of {self.name} must be one class number for each of {n} images"
            raise ValueError(f"{wanted}, but have shape {array.shape}.")
        return array

    def _batch_size(self, places: Sequence[int]) -> int:
        # What is no picture (vectors, sound) counts its places, all in one row.
        return self.batch_size or inference_batch(1, math.prod(places), self.device)


def drawing(batches: Data) -> str | None:
    """Return what may keep a DataLoader from giving all its images once, in an order of their own; None if nothing.

    Examples
    --------
    >>> drawing(DataLoader(range(3))), drawing(DataLoader(range(3), shuffle=True))
    (None, 'drawn by a RandomSampler')
    """
    if not isinstance(batches, DataLoader):
        return None
    if isinstance(batches.dataset, IterableDataset):
        several = batches.num_workers > 1
        return f"read by {batches.num_workers} workers, of which each may read all of it" if several else None
    sampler = batches.batch_sampler if batches.batch_sampler is not None else batches.sampler
    while type(sampler) is BatchSampler:
        sampler = sampler.sampler
    # What is derived from it may have another order.
    fixed = type(sampler) is SequentialSampler or isinstance(sampler, (list, tuple, range, np.ndarray))
    if fixed or (isinstance(sampler, DistributedSampler) and not sampler.shuffle):
        return None
    return f"drawn by a {type(sampler).__name__}"


def check_complete(name: str, batches: Data, recorded: int) -> None:
    """Warn where a DataLoader has not given all its images once, or not in an order that it will give again."""
    how = drawing(batches)
    if how is not None:
        logger.warning(
            f"{name} is {how}: its images may come in another order each time, some of them never or repeatedly, so "
            "captures of it can't be compared image by image. Use DataLoader(..., shuffle=False) without a sampler."
        )
    if not isinstance(batches, DataLoader):
        return
    # Without a batch sampler the set holds batches.
    if batches.batch_sampler is None or not hasattr(batches.dataset, "__len__"):
        if batches.drop_last:
            logger.warning("%s may lack its last images: its DataLoader drops an incomplete batch (drop_last).", name)
    elif (there := len(batches.dataset)) != recorded:
        told = "%s has %s images, but its DataLoader gave %s: look at its sampler and at drop_last."
        logger.warning(told, name, there, recorded)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _parts(batch: Any) -> tuple[Any, Any]:
    """Return images and labels of a DataLoader's batch; what else it holds is left aside."""
    if isinstance(batch, (tuple, list)) and batch:
        return batch[0], batch[1] if len(batch) > 1 else None
    return batch, None

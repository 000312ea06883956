"""Batches: pictures as one uint8 tensor on the device, or streamed where they do not fit; normalised there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from isomax_viz._common.system import available_memory
from isomax_viz.datasets import ImageSet

__all__ = ["Batches", "device_memory", "inference_batch"]

# Pixels per forward pass where nothing is learned. On a CPU larger batches fall out of the cache, and the C library
# returns their memory to the system after each layer: small_cnn ran at 1,870 pictures of 32x32 a second in batches of
# 64 and at 1,270 in batches of 100; at 64x64 at 490 in batches of 16 and at 310 in batches of 100. In smaller ones the
# threads wait for each other: at 8x8 it ran at 24,200 in batches of 100 and at 30,200 in batches of 1,000.
_PIXELS = {"cpu": 2**16}
_PIXELS_ELSEWHERE = 2**19
_FEWEST, _MOST = 16, 1000


def inference_batch(height: int, width: int, device: torch.device) -> int:
    """Return how many pictures to pass through a network at a time where nothing is learned.

    Parameters
    ----------
    height, width : int
        Of a picture, in pixels.
    device : torch.device
        Where the network runs.

    Examples
    --------
    >>> [inference_batch(side, side, torch.device("cpu")) for side in (8, 32, 64, 224)]
    [1000, 64, 16, 16]
    """
    fitting = _PIXELS.get(device.type, _PIXELS_ELSEWHERE) // max(height * width, 1)
    return min(max(fitting, _FEWEST), _MOST)


def device_memory(device: torch.device) -> int:
    """Return the bytes that pictures may take on a device: a quarter of what is free."""
    return (torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()) // 4


class Batches:
    """A set of pictures, given out in normalised batches on the device.

    Parameters
    ----------
    images : ImageSet
        Pictures and labels.
    mean, std : array, shape (channels,)
        Of the in-distribution training set, for pictures scaled to [0, 1]; every set is normalised with these.
    device : torch.device
        Where batches are wanted.
    stream : bool, optional
        Whether to fetch pictures batch by batch instead of keeping all on the device; by default only where they would
        take more than a quarter of its free memory.
    layout : torch.memory_format
        Order of the batches' axes in memory; see :func:`~isomax_viz.learning.training.hardware.suitable_layout`.

    Examples
    --------
    >>> import numpy as np
    >>> images = ImageSet("mine", np.full((3, 8, 8, 1), 255, np.uint8), [0, 1, 1], ("a", "b"))
    >>> batches = Batches(images, mean=np.array([0.5]), std=np.array([0.5]), device=torch.device("cpu"))
    >>> [(len(pictures), round(pictures.max().item(), 5)) for pictures, labels in batches.in_order(2)]
    [(2, 1.0), (1, 1.0)]
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        mean: np.ndarray,
        std: np.ndarray,
        device: torch.device,
        stream: bool | None = None,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.device = device
        self.stream = images.images.nbytes > device_memory(device) if stream is None else stream
        self.labels = torch.tensor(images.labels, device=device)
        self._images = images
        # One copy: torch wants writable memory, and the arrays of an ImageSet are read-only.
        self._pictures = None if self.stream else torch.from_numpy(np.array(images.images)).to(device)
        self._layout = layout
        # One multiplication and one addition per pixel: (x / 255 - mean) / std.
        self._factor = torch.tensor(1 / (255 * std), dtype=torch.float32, device=device)[:, None, None]
        self._shift = torch.tensor(-mean / std, dtype=torch.float32, device=device)[:, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def in_order(self, batch_size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised pictures (n, channels, height, width) and labels in order.

        Parameters
        ----------
        batch_size : int, optional
            By default what suits inference, :func:`inference_batch`.
        """
        batch_size = batch_size or inference_batch(*self._images.size, self.device)
        order = torch.arange(len(self), device=self.device)
        for indices in order.split(batch_size):
            yield self._normalised(self._chosen(indices)), self.labels[indices]

    def shuffled(
        self,
        batch_size: int,
        *,
        generator: torch.Generator,
        padding: int = 0,
        flip: bool | str = False,
        reflect: bool = False,
        epoch: int = 1,
        total: int | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised, augmented pictures and labels in a random order.

        Parameters
        ----------
        batch_size : int
            The last batch may be smaller, but for a single picture, which joins the batch before it: alone it has no
            variance to be normalised by.
        generator : torch.Generator
            On the same device; it determines order and augmentation.
        padding : int
            Each picture is shifted by up to so many pixels.
        flip : bool or "alternating"
            Whether half of the pictures are mirrored: by chance, or in turns, from one epoch to the next.
        reflect : bool
            Whether pictures go on beyond their edges as in a mirror; otherwise black comes in.
        epoch : int
            Counted from 1; it matters for flips in turns only.
        total : int, optional
            How many pictures; by default all, once. More than there are begin again in another order.
        """
        total = len(self) if total is None else total
        drawing: dict[str, Any] = {"generator": generator, "device": self.device}
        passes = [torch.randperm(len(self), **drawing) for _ in range(0, total, len(self))]
        parts = torch.cat(passes)[:total].split(batch_size)
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts = (*parts[:-2], torch.cat(parts[-2:]))
        if flip == "alternating":
            # Of a generator of their own: every epoch must find the same pictures mirrored at first.
            coins = torch.Generator(self.device).manual_seed(generator.initial_seed())
            turned = (torch.rand(len(self), generator=coins, device=self.device) < 0.5) ^ (epoch % 2 == 0)
        for indices in parts:
            mirrored = turned[indices] if flip == "alternating" else bool(flip)
            chosen = self._chosen(indices)
            augmented = _augmented(chosen, generator=generator, padding=padding, flip=mirrored, reflect=reflect)
            yield self._normalised(augmented), self.labels[indices]

    def sample(self, n: int) -> Tensor:
        """Return n normalised pictures, or all if there are fewer, evenly spaced over the set."""
        n = min(n, len(self))
        return self._normalised(self._chosen(torch.arange(n, device=self.device) * len(self) // n))

    def _chosen(self, indices: Tensor) -> Tensor:
        if self._pictures is not None:
            return self._pictures[indices]
        pictures, pinned = torch.from_numpy(self._images.images[indices.cpu().numpy()]), self.device.type == "cuda"
        return (pictures.pin_memory() if pinned else pictures).to(self.device, non_blocking=pinned)

    def _normalised(self, pictures: Tensor) -> Tensor:
        # The layout is asked for in the conversion: with one channel `contiguous()` would see nothing to do and leave
        # strides that look like another layout.
        floats = pictures.permute(0, 3, 1, 2).to(torch.float32, memory_format=self._layout)
        return floats.mul_(self._factor).add_(self._shift)


def _augmented(
    pictures: Tensor, *, generator: torch.Generator, padding: int, flip: bool | Tensor, reflect: bool
) -> Tensor:
    """Shift and mirror each picture (n, height, width, channels) by its own random numbers, in one gather."""
    if flip is False and not padding:
        return pictures
    n, height, width, _ = pictures.shape
    device = pictures.device
    rows = torch.arange(height, device=device).expand(n, height)
    columns = torch.arange(width, device=device).expand(n, width)
    if flip is not False:
        mirrored = torch.rand(n, 1, generator=generator, device=device) < 0.5 if flip is True else flip[:, None]
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if padding:
        shifts = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator, device=device)
        rows, columns = rows + shifts[0], columns + shifts[1]
        if reflect:
            rows, columns = _reflected(rows - padding, height), _reflected(columns - padding, width)
        else:
            pictures = functional.pad(pictures, (0, 0, padding, padding, padding, padding))
    sample = torch.arange(n, device=device)[:, None, None]
    return pictures[sample, rows[:, :, None], columns[:, None, :]]


def _reflected(places: Tensor, size: int) -> Tensor:
    """Return places within a line of that size, as in mirrors at its first and last pixel."""
    return (size - 1) - ((size - 1) - places.abs()).abs()

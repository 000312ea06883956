"""Devices, precision, layout, threads, compiling and seeds: where and how a network is computed, chosen once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isomax_viz._common.checks import check_choice
from isomax_viz._common.system import cpu_features
from isomax_viz.datasets import ImageSet, InDistribution
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.protocols import PRECISIONS

__all__ = [
    "Computing", "choose_device", "choose_precision", "compile_pays", "compiled", "limited_threads", "suitable_layout",
    "suitable_threads",
]  # fmt: skip

logger = logging.getLogger(__name__)

# Pixels of training pictures times epochs from which on compiling (half a minute to a minute) is repaid on two cores.
_COMPILE_FROM = 2e8
# Below this side the convolutions are too small for bfloat16 or several threads to gain anything on a CPU.
_SMALL = 28


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
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    available = [*(["cuda", *cuda] if cuda else []), *(["mps", "mps:0"] if _mps_can_train() else []), "cpu"]
    if device is None:
        return torch.device(available[0])
    return torch.device(check_choice("device", str(device), available, remedy="Leave it out to take the best one."))


def _mps_can_train() -> bool:
    """Return whether there is an Apple GPU and this PyTorch has the gradient of distances on it (older ones do not)."""
    if not torch.backends.mps.is_available():
        return False
    points = torch.ones(2, 2, device="mps", requires_grad=True)
    try:
        torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").sum().backward()
    except (NotImplementedError, RuntimeError):
        return False
    return True


def choose_precision(
    precision: str, device: torch.device, *, side: int, backbone: nn.Module | None = None
) -> torch.dtype:
    """Return the number format of the backbone while training; head and loss are always float32.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"`` takes bfloat16 only where it was measured to pay (``benchmarks/``): on GPUs that have it, and on
        processors with matrix instructions for it (AMX) if the pictures are large enough, or with vector instructions
        (avx512_bf16) if the backbone says so. The rule looks at nothing that changes from run to run.
    device : torch.device
        Where the network is trained.
    side : int
        Height of the pictures in pixels.
    backbone : Module, optional
        Says by an attribute ``wide`` that its convolutions are wide enough to gain from vector instructions.

    Examples
    --------
    >>> choose_precision("float32", torch.device("cpu"), side=32)
    torch.float32
    >>> choose_precision("auto", torch.device("cpu"), side=8)
    torch.float32
    """
    check_choice("precision", precision, PRECISIONS)
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        pays = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Where vector instructions (avx512_bf16) have no AMX beside them, small_cnn trained with them at 0.78 of its
        # float32 speed, and compiled at 0.75; fast_cnn at 1.7 to 1.85, fast_cnn_small at 1.5.
        needed = {"avx512_bf16", "amx_bf16"} if getattr(backbone, "wide", False) else {"amx_bf16"}
        pays = device.type == "cpu" and side >= _SMALL and not needed.isdisjoint(cpu_features())
    return torch.bfloat16 if pays else torch.float32


def compile_pays(device: torch.device, dtype: torch.dtype, *, pixels: float, backbone: nn.Module | None = None) -> bool:
    """Return whether compiling the backbone is worth its start-up time.

    Parameters
    ----------
    device : torch.device
        CUDA or CPU.
    dtype : torch.dtype
        From :func:`choose_precision`; plain float32 is left uncompiled, so that it stays the reference, and so is
        bfloat16 by vector instructions alone.
    pixels : float
        Height x width x training pictures x epochs.
    backbone : Module, optional
        Wide convolutions (see :func:`choose_precision`) are left uncompiled on a CPU: fast_cnn trained at 0.86 of its
        speed with AMX, at 0.92 without.
    """
    narrow = not getattr(backbone, "wide", False)
    gains = device.type == "cuda" or (device.type == "cpu" and narrow and "amx_bf16" in cpu_features())
    return gains and dtype != torch.float32 and pixels >= _COMPILE_FROM


def compiled(backbone: nn.Module, example: Tensor, *, mode: str | None = None, dtype: torch.dtype) -> nn.Module:
    """Return the compiled backbone, or the backbone itself with a warning where this machine cannot compile.

    Compiling needs a C++ compiler and Python's and PyTorch's headers, which not every machine has; the only way to know
    is to try.

    Parameters
    ----------
    backbone : Module
        To compile; its weights and running statistics are left as they are.
    example : Tensor
        A batch of pictures of the usual shape.
    mode : str, optional
        Of ``torch.compile``.
    dtype : torch.dtype
        From :func:`choose_precision`.
    """
    fast = torch.compile(backbone, mode=mode)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    try:
        backbone.train()
        in_format = torch.autocast(example.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
        with torch.random.fork_rng(), in_format:
            fast(example).float().sum().backward()
    except Exception as error:  # noqa: BLE001 - whatever the compiler raises, the answer is to do without
        words = (str(error).splitlines() or [type(error).__name__])[0]
        logger.warning("The backbone could not be compiled and runs uncompiled: %s", words[:300])
        fast = backbone
    backbone.load_state_dict(before)
    backbone.zero_grad(set_to_none=True)
    return fast


def suitable_layout(device: torch.device) -> torch.memory_format:
    """Return the order of a batch's axes in memory in which convolutions are fastest.

    Parameters
    ----------
    device : torch.device
        Where the network runs.

    Examples
    --------
    >>> suitable_layout(torch.device("cpu"))
    torch.channels_last
    """
    return torch.channels_last if device.type in ("cpu", "cuda") else torch.contiguous_format


@contextmanager
def limited_threads(number: int | None) -> Iterator[None]:
    """Use so many threads of PyTorch on the CPU, as many as before if None; their number is restored afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def suitable_threads(device: torch.device, *, side: int) -> AbstractContextManager[None]:
    """Use one thread where pictures are so small that threads on a CPU would mostly wait for each other.

    A training on 8x8 digits then takes the same time beside other programs, and gives the same numbers on any number of
    cores. The number of threads is restored afterwards.

    Parameters
    ----------
    device : torch.device
        Only the CPU is concerned.
    side : int
        Height of the pictures in pixels.
    """
    return limited_threads(1 if device.type == "cpu" and side < _SMALL else None)


@dataclass(frozen=True)
class Computing:
    """Where and how a training is computed; all of it is chosen before the first batch.

    Attributes
    ----------
    device : torch.device
        Where.
    dtype : torch.dtype
        Number format of the backbone; head and loss are float32.
    compile : bool or str
        Whether the backbone is compiled, or in which mode of ``torch.compile``.
    side : int
        Height of the pictures in pixels, which decides about threads.
    seed : int
        Of shuffling, augmentation and dropout.
    deterministic : bool
        Whether operations whose result changes from run to run are refused.
    """

    device: torch.device
    dtype: torch.dtype
    compile: bool | str
    side: int
    seed: int
    deterministic: bool

    @classmethod
    def chosen(
        cls,
        train: ImageSet,
        backbone: nn.Module,
        *,
        epochs: int,
        device: torch.device | str | None,
        precision: str,
        compile: bool | str | None,
        **options: Any,
    ) -> Computing:
        """Return what suits the pictures and the length of a training, where it is not said.

        Parameters
        ----------
        train : ImageSet
            Pictures to learn.
        backbone : Module
            What learns.
        epochs : int
            How often each of them is seen.
        device, precision, compile
            See :func:`~isomax_viz.learning.training.loop.train`.
        **options
            ``seed`` and ``deterministic``.
        """
        device, (height, width) = choose_device(device), train.size
        dtype = choose_precision(precision, device, side=height, backbone=backbone)
        if compile is None:
            pixels = len(train) * height * width * epochs
            compile = compile_pays(device, dtype, pixels=pixels, backbone=backbone)
        return cls(device, dtype, compile, height, **options)

    def generator(self) -> torch.Generator:
        """Return the random numbers that determine the order of the pictures and their augmentation."""
        return torch.Generator(self.device).manual_seed(self.seed)

    def batches(self, images: ImageSet, data: InDistribution) -> Batches:
        """Return pictures on the device, normalised by the statistics of the training pictures."""
        layout = suitable_layout(self.device)
        return Batches(images, mean=data.mean, std=data.std, device=self.device, layout=layout)

    def placed(self, model: nn.Module, batches: Batches, *, batch_size: int, copies: int) -> nn.Module:
        """Move a network to the device, and return its backbone as it is to be called while training.

        Parameters
        ----------
        model : Module
            Has ``backbone``.
        batches : Batches
            Pictures to compile for.
        batch_size, copies : int
            How many of them, and how often, a training batch holds: for another number it would be compiled again.
        """
        model.to(self.device, memory_format=suitable_layout(self.device))
        if not self.compile:
            return model.backbone
        example, _ = next(batches.in_order(min(batch_size, len(batches))))
        mode = self.compile if isinstance(self.compile, str) else None
        return compiled(model.backbone, torch.cat([example] * copies), mode=mode, dtype=self.dtype)

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which the backbone computes in its number format."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Seed the global generators (dropout and the like) and set threads; restore all for the caller afterwards."""
        on_cuda = self.device.type == "cuda"
        if self.deterministic and on_cuda:
            # Without it PyTorch refuses matrix products under deterministic algorithms.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        before = torch.are_deterministic_algorithms_enabled()
        only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
        benchmark = torch.backends.cudnn.benchmark
        cuda = [self.device] if on_cuda else []
        with torch.random.fork_rng(devices=cuda), suitable_threads(self.device, side=self.side):
            torch.manual_seed(self.seed)
            try:
                if self.deterministic:
                    torch.use_deterministic_algorithms(True)
                torch.backends.cudnn.benchmark = not self.deterministic
                yield
            finally:
                torch.use_deterministic_algorithms(before, warn_only=only_warned)
                torch.backends.cudnn.benchmark = benchmark

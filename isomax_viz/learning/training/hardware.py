"""Devices and precision: where a network is computed and in which numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from isomax_viz._common.checks import check_choice

__all__ = [
    "PRECISIONS",
    "choose_device",
    "choose_precision",
    "compile_pays",
    "compiled",
    "cpu_features",
    "suitable_layout",
    "suitable_threads",
]

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "float32", "bfloat16")

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
    there = {"cuda": torch.cuda.is_available(), "mps": _mps_can_train(), "cpu": True}
    available = [name for name, is_there in there.items() if is_there]
    if device is None:
        return torch.device(available[0])
    check_choice("device", str(device).partition(":")[0], available, remedy="Leave it out to take the best one.")
    return torch.device(device)


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


def choose_precision(precision: str, device: torch.device, *, side: int) -> torch.dtype:
    """Return the number format of the backbone while training; head and loss are always float32.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"`` takes bfloat16 only where it was measured to pay (``benchmarks/``): on GPUs that have it, and on
        processors with matrix instructions for it (AMX) if the pictures are large enough. The rule looks at nothing
        that changes from run to run.
    device : torch.device
        Where the network is trained.
    side : int
        Height of the pictures in pixels.

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
        # Vector instructions alone (avx512_bf16) do not pay: where there is no AMX beside them, small_cnn trained with
        # them at 0.78 of its float32 speed, and compiled at 0.75.
        pays = device.type == "cpu" and side >= _SMALL and "amx_bf16" in cpu_features()
    return torch.bfloat16 if pays else torch.float32


def cpu_features() -> frozenset[str]:
    """Return the names of the processor's instruction sets, as Linux gives them; elsewhere an empty set.

    Examples
    --------
    >>> isinstance(cpu_features(), frozenset)
    True
    """
    # /proc/cpuinfo and not torch's private functions; on Windows and macOS, where nothing is told, float32 is safe.
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:
            return frozenset(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return frozenset()


def compile_pays(device: torch.device, dtype: torch.dtype, *, pixels: float) -> bool:
    """Return whether compiling the backbone is worth its start-up time.

    Parameters
    ----------
    device : torch.device
        CUDA or CPU.
    dtype : torch.dtype
        From :func:`choose_precision`; plain float32 is left uncompiled, so that it stays the reference.
    pixels : float
        Height x width x training pictures x epochs.
    """
    return dtype != torch.float32 and device.type in ("cuda", "cpu") and pixels >= _COMPILE_FROM


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
        with (
            torch.random.fork_rng(),
            torch.autocast(example.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16),
        ):
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
def suitable_threads(device: torch.device, *, side: int) -> Iterator[None]:
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
    before = torch.get_num_threads()
    if device.type == "cpu" and side < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

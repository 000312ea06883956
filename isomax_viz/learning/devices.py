"""Devices and precision: where a network is computed and in which numbers."""

from __future__ import annotations

import ctypes
import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from isomax_viz._checks import check_choice

__all__ = [
    "PRECISIONS",
    "choose_device",
    "choose_precision",
    "compile_pays",
    "compiled",
    "freed_memory_kept",
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
        ``"auto"`` takes bfloat16 only where the processor has instructions for it and the pictures are large enough to
        gain from it (measured in ``benchmarks/``); the rule looks at nothing that changes from run to run.
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
        pays = device.type == "cpu" and side >= _SMALL and _cpu_has_bfloat16()
    return torch.bfloat16 if pays else torch.float32


def _cpu_has_bfloat16() -> bool:
    # /proc/cpuinfo and not torch's private functions; elsewhere (Windows, macOS) the safe answer is no.
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


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
        logger.warning("The backbone could not be compiled and runs uncompiled: %s", str(error).splitlines()[0][:300])
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


# glibc's own numbers of its options (malloc.h), what they are while a network runs, and afterwards: the largest that
# glibc itself would come to by its dynamic rule.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_WHILE_RUNNING = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_THRESHOLD: 2**30}
_AFTERWARDS = {_TRIM_THRESHOLD: 2**26, _MMAP_THRESHOLD: 2**25}


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Keep the memory that a batch has freed for the next one; afterwards give all of it back to the system.

    On Linux the C library otherwise returns large blocks at once, and the system has to clear them again for the next
    batch: 100,000 page faults for 20 batches of 64 CIFAR pictures, a tenth of the time and more (measured in
    ``benchmarks/``). Elsewhere, and on other devices (PyTorch keeps their memory itself), nothing is changed.

    Parameters
    ----------
    device : torch.device
        Only the CPU is concerned.
    """
    library = ctypes.CDLL(None) if device.type == "cpu" and platform.libc_ver()[0] == "glibc" else None
    try:
        if library is not None:
            for option, value in _WHILE_RUNNING.items():
                library.mallopt(option, value)
        yield
    finally:
        if library is not None:
            for option, value in _AFTERWARDS.items():
                library.mallopt(option, value)
            library.malloc_trim(0)

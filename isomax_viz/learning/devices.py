"""Devices and precision: where a network is computed and in which numbers."""

from __future__ import annotations

import torch

from isomax_viz._checks import check_choice

__all__ = ["PRECISIONS", "choose_device", "choose_precision", "compile_pays"]

PRECISIONS = ("auto", "float32", "bfloat16")

# Pixels of training pictures times epochs from which on compiling (half a minute to a minute) is repaid on two cores.
_COMPILE_FROM = 2e8
# Below this side the convolutions are too small for bfloat16 to gain anything on a CPU.
_CPU_BFLOAT16_FROM = 28


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
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [name for name, is_there in there.items() if is_there]
    if device is None:
        return torch.device(available[0])
    check_choice("device", str(device).partition(":")[0], available, remedy="Leave it out to take the best one.")
    return torch.device(device)


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
        pays = device.type == "cpu" and side >= _CPU_BFLOAT16_FROM and _cpu_has_bfloat16()
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
    if dtype == torch.float32 or device.type not in ("cuda", "cpu") or pixels < _COMPILE_FROM:
        return False
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()  # compiling for the CPU needs a C++ compiler, which not every machine has
    except Exception:  # noqa: BLE001 - whatever the private function raises, the answer is no
        return False
    return True

"""Selection of the device, and memory management of the process."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

import torch

from spsam.errors import InputError


def pick_device(name: str) -> str:
    """Resolves the name of a device.

    Args:
        name: `auto` (a GPU if available), `cpu`, `cuda` or `cuda:1`.

    Raises:
        InputError: If this machine has no such device.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if gpus else "cpu"
    known = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{index}" for index in range(gpus))]
    if name not in known:
        raise InputError(f"--device {name}: expected auto or one of {', '.join(known)}")
    return name


def emulates_bf16(device: str) -> bool:
    """Whether a device is a processor without bf16 instructions, which is slow in bf16.

    The instructions are checked on x86-64 only; the result is False on other architectures.
    """
    has = torch.cpu.get_capabilities()
    if device != "cpu" or has.get("architecture") != "x86_64":
        return False
    return not any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "avx10_2"))


def keep_memory() -> None:
    """Lets the process keep freed memory, so that the next step can reuse it.

    By default, Linux returns large blocks to the system at once. The next tensor then receives new
    pages, which are filled with zeros. On a CPU, this takes up to a sixth of a step's time.
    `give_back` releases the memory.
    """
    # Constants from glibc's malloc.h; a threshold of -1 disables trimming.
    trim_threshold, mmap_max = -1, -4
    _allocator("mallopt", trim_threshold, -1)
    _allocator("mallopt", mmap_max, 0)


def give_back() -> None:
    """Returns unused memory to the system, or to the GPU's driver."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    _allocator("malloc_trim", 0)


def _allocator(function: str, *arguments: int) -> None:
    """Calls a function of glibc on Linux; other allocators ignore the call."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            getattr(ctypes.CDLL(None), function)(*arguments)

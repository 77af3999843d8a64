"""Checks of CPU cores, memory, disk, PyTorch's build, and the GPUs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil

from spsam.data.workers import cores
from spsam.studies.doctor.finding import Examination, Finding, Status

_LEAST_MEMORY, _LEAST_DISK = 2e9, 2e9
"""Bytes of memory and disk space that a run of the demo and its results need."""
# The minimum compute capability with native support of each type.
_PRECISIONS = {"fp32": (0, 0), "fp16": (5, 3), "bf16": (8, 0)}


def machine(examined: Examination) -> Iterator[Finding]:
    """Reports the CPU cores, the free memory, and the free space on the disk of results."""
    yield _cores(cores())
    memory = psutil.virtual_memory()
    facts: dict[str, Any] = {"total": memory.total, "free": memory.available}
    text = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    few = memory.available < _LEAST_MEMORY
    advice = f"end other programs: {_LEAST_MEMORY / 1e9:.0f} GB are required" if few else ""
    yield Finding("memory", "wrong" if few else "ok", text, advice, facts)
    home = examined.home.resolve()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    disk = shutil.disk_usage(place)
    few = disk.free < _LEAST_DISK
    writable = os.access(place, os.W_OK)
    advice = "free some space, or set another folder with --out" if few or not writable else ""
    text = f"{disk.free / 1e9:,.1f} GB free in {place}" + ("" if writable else ", not writable")
    facts = {"folder": str(place), "total": disk.total, "free": disk.free}
    yield Finding("disk", "wrong" if advice else "ok", text, advice, facts)


def _cores(count: int | None) -> Finding:
    from spsam.engine.device import emulates_bf16

    slow = emulates_bf16("cpu")
    facts = {"count": count, "emulates_bf16": slow}
    if not slow:
        return Finding("cores", "ok", f"{count}", "", facts)
    text = (
        f"{count}; without bf16 instructions: train.precision=bf16 takes about eight times as long "
        "as float32 on this processor"
    )
    advice = "set train.precision=fp32 for runs on the CPU"
    return Finding("cores", "note", text, advice, facts)


def torch_build(examined: Examination) -> Iterator[Finding]:
    """Reports PyTorch's version and CUDA version, and whether it can use the NVIDIA driver."""
    import torch

    cuda, driver = torch.version.cuda, driver_version()
    facts = {"torch": torch.__version__, "cuda": cuda, "driver": driver}
    text = f"{torch.__version__}, built with {f'CUDA {cuda}' if cuda else 'no CUDA'}; " + (
        f"driver {driver}" if driver else "no NVIDIA driver found"
    )
    status: Status = "ok"
    mend = ""
    if driver and cuda is None:
        status, mend = "wrong", "the GPU needs a build of torch with CUDA: install one"
    elif driver and not torch.cuda.is_available():
        status = "wrong"
        mend = (
            f"torch cannot use the GPU: driver {driver} may be too old for CUDA {cuda}, or "
            "CUDA_VISIBLE_DEVICES hides it"
        )
    yield Finding("torch", status, text, mend, facts)


def gpus(examined: Examination) -> Iterator[Finding]:
    """Reports each GPU that torch detects: memory, precisions, and whether torch supports it."""
    import torch

    if not torch.cuda.is_available():
        yield Finding("gpus", "note", "torch detects none: runs compute on the CPU")
        return
    kernels = torch.cuda.get_arch_list()
    for index in range(torch.cuda.device_count()):
        yield _gpu(index, torch.cuda.get_device_properties(index), kernels, _free(index))


def _free(index: int) -> int:
    import torch

    return int(torch.cuda.mem_get_info(index)[0])


def _gpu(index: int, gpu: Any, kernels: list[str], free: int) -> Finding:
    capability = (gpu.major, gpu.minor)
    precisions = [name for name, least in _PRECISIONS.items() if capability >= least]
    text = (
        f"{gpu.name}, {free / 1e9:.1f} of {gpu.total_memory / 1e9:.1f} GB free, "
        f"{', '.join(precisions)}"
    )
    facts = {
        "name": gpu.name,
        "total": gpu.total_memory,
        "free": free,
        "capability": list(capability),
        "precisions": precisions,
    }
    if not _has_kernels(capability, kernels):
        advice = f"this torch supports {', '.join(kernels)} only: install one for this GPU"
        return Finding(f"cuda:{index}", "wrong", text, advice, facts)
    return Finding(f"cuda:{index}", "ok", text, "", facts)


def _has_kernels(capability: tuple[int, int], kernels: list[str]) -> bool:
    """Whether torch can run on a GPU of a compute capability.

    Compiled kernels run on later GPUs of the same generation, PTX runs on every later GPU.
    """
    major, minor = capability
    for kernel in kernels:
        kind, _, number = kernel.partition("_")
        digits = number.rstrip("af")
        if not digits.isdigit():
            continue
        its = (int(digits[:-1]), int(digits[-1]))
        if kind == "compute" and its <= capability:
            return True
        if kind == "sm" and its[0] == major and its[1] <= minor:
            return True
    # Builds that do not list their kernels return an empty list.
    return not kernels


def driver_version() -> str | None:
    """Returns the version that `nvidia-smi` reports; None if it is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout.split("\n")[0].strip()) or None

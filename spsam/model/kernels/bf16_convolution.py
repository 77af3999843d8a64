"""Convolutions that train, in bf16 on a CPU: replaces autocast where oneDNN's gradient is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor


def trained_convolutions(x: Tensor, kernel: Sequence[int]) -> AbstractContextManager[None]:
    """The context that a convolution that trains runs in: on a CPU it may have to leave autocast.

    oneDNN's bf16 gradient of a 3D convolution's weight is wrong in places (torch 2.15), and writes
    past its buffers. With AMX that is from about 64 × 64 pixels a slice; with AVX-512's bf16 alone,
    where the kernel is longer than the map, as with two slices. Without either, bf16 is only
    slower.

    Args:
        x: `(B, C, D, H, W)` or `(B, C, H, W)`, what is convolved.
        kernel: The convolution's sides.
    """
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    if _bf16_is_right() and not _is_shorter(x, kernel):
        return nullcontext()
    return torch.autocast("cpu", enabled=False)


def in_fast_layout(x: Tensor) -> Tensor:
    """`x` as convolutions that train take it fastest: on a CPU in 16 bits, channels last.

    oneDNN computes so, and torch would reorder what comes and what goes. In float32 its gradients
    are slower with channels last.
    """
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return x
    return x.contiguous(memory_format=torch.channels_last_3d)


def as_precise(x: Tensor, weight: Tensor) -> Tensor:
    """`x` in the precision of a weight that it meets, where autocast does not see to both."""
    device = x.device.type
    seen = device != "meta" and torch.is_autocast_enabled(device)
    return x if seen else x.to(weight.dtype)


def _is_shorter(x: Tensor, kernel: Sequence[int]) -> bool:
    """Whether a volume has fewer slices or rows than a kernel; a single slice is another code."""
    if len(kernel) == 2:
        return False
    depth, rows = x.shape[2:4]
    return 1 < depth < kernel[0] or rows < kernel[1]


@cache
def _bf16_is_right() -> bool:
    """Whether this CPU has bf16, and not the kind that goes wrong."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16")) and not has.get("amx_bf16")

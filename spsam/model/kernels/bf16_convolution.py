"""Trained convolutions in bf16 on a CPU: replaces autocast if oneDNN's gradient is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor


def trained_convolutions(x: Tensor, kernel: Sequence[int]) -> AbstractContextManager[None]:
    """Returns the context for a trained convolution, which disables autocast on some CPUs.

    oneDNN's bf16 gradient of the weight of a 3D convolution, transposed or not, contains wrong
    values (torch 2.15) and is written beyond its buffers. With AMX, this occurs from about 64 × 64
    pixels per slice, and for a depth-wise kernel that is longer than the map. With AVX-512's bf16
    alone, it occurs if the kernel is longer than the map, such as with two slices. Without either,
    bf16 is only slower.

    Args:
        x: `(B, C, D, H, W)` or `(B, C, H, W)`, input of the convolution.
        kernel: Kernel size of the convolution.
    """
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    if _bf16_is_right() and not _is_shorter(x, kernel):
        return nullcontext()
    return torch.autocast("cpu", enabled=False)


def in_fast_layout(x: Tensor) -> Tensor:
    """Converts `x` to the fastest memory layout for a trained convolution.

    On a CPU with 16-bit autocast, that is channels last: oneDNN computes in this layout, and torch
    would otherwise reorder inputs and outputs. In float32, oneDNN's gradients are slower with
    channels last, so that the layout is unchanged.
    """
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return x
    return x.contiguous(memory_format=torch.channels_last_3d)


def as_precise(x: Tensor, weight: Tensor) -> Tensor:
    """Casts `x` to the type of a weight, unless autocast casts both.

    Args:
        x: Tensor of any shape.
        weight: Weight of the layer that processes `x`.
    """
    device = x.device.type
    seen = device != "meta" and torch.is_autocast_enabled(device)
    return x if seen else x.to(weight.dtype)


def _is_shorter(x: Tensor, kernel: Sequence[int]) -> bool:
    """Checks whether a volume has fewer slices or rows than a kernel.

    A single slice takes another code path in oneDNN and does not count.
    """
    if len(kernel) == 2:
        return False
    depth, rows = x.shape[2:4]
    return 1 < depth < kernel[0] or rows < kernel[1]


@cache
def _bf16_is_right() -> bool:
    """Checks whether this CPU supports bf16 without AMX, whose gradients are wrong."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16")) and not has.get("amx_bf16")

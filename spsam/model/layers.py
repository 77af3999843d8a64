"""Convolutional building blocks for volumes (B, C, D, H, W) that several slots share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

LEAK = 0.01
"""Negative slope of every LeakyReLU, as in nnU-Net."""

ONLY_IN_PLANE = (1, 2, 2)
"""Stride and kernel of an upsampling that doubles the plane and leaves the slices alone."""


def trained_convolutions(x: Tensor, kernel: Sequence[int]) -> AbstractContextManager[None]:
    """What a convolution that trains is to run in: on a CPU it may have to leave autocast.

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


def _is_shorter(x: Tensor, kernel: Sequence[int]) -> bool:
    """Whether a volume has fewer slices or rows than a kernel; a single slice is another code."""
    if len(kernel) == 2:
        return False
    depth, rows = x.shape[2:4]
    return 1 < depth < kernel[0] or rows < kernel[1]


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


@cache
def _bf16_is_right() -> bool:
    """Whether this CPU has bf16, and not the kind that goes wrong."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16")) and not has.get("amx_bf16")


THIN = 20480
"""Channels · slices · rows up to which torch's rule takes oneDNN for no single volume."""


class Conv3d(nn.Conv3d):
    """Convolution that trains in any precision, and that is fast for a single volume on a CPU.

    See `trained_convolutions`. For one volume of few channels and rows torch takes a loop of its
    own, ten times slower than oneDNN's; as two halves it is a batch for oneDNN.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, D, H, W)` to `(B, C', D, H', W')`."""
        if x.device.type != "cpu":
            return super().forward(x)
        with trained_convolutions(x, self.kernel_size):
            x = as_precise(x, self.weight)
            return self._in_halves(x) if self._is_thin(x) else super().forward(x)

    def _is_thin(self, x: Tensor) -> bool:
        """Whether torch would not take oneDNN, though it can be had; strides are left alone."""
        batch, channels, depth, rows, _ = x.shape
        small = batch == 1 and channels * depth * rows <= THIN
        return small and rows >= 2 and self.kernel_size[1] > 1 and self.stride == (1, 1, 1)

    def _in_halves(self, x: Tensor) -> Tensor:
        """Upper and lower half of the rows, each with its neighbours, as a batch of two."""
        before, rows, after = self._padded_rows()
        padded = functional.pad(x, (0, 0, rows, rows))
        results = padded.shape[3] - self.kernel_size[1] + 1
        half = -(-results // 2)
        length = half + self.kernel_size[1] - 1
        halves = torch.cat([padded[:, :, :, :length], padded[:, :, :, -length:]])
        upper, lower = functional.conv3d(
            halves, self.weight, self.bias, padding=(before, 0, after)
        ).chunk(2)
        # An odd number of rows has one in both.
        return torch.cat([upper, lower[:, :, :, 2 * half - results :]], dim=3)

    def _padded_rows(self) -> tuple[int, int, int]:
        assert not isinstance(self.padding, str)
        depth, rows, columns = self.padding
        return depth, rows, columns


class InstanceNorm(nn.InstanceNorm3d):
    """Instance norm with scale and shift that also takes maps of a single element.

    One element has no spread: normalised, it would always be zero (and torch refuses it), so it
    is only scaled and shifted. Such maps are the deepest ones of tiny patches with D = 1.

    Maps with channels last stay so. torch's own would reorder them, but its batch norm, which is
    the same of a single volume, does not.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, D, H, W)` to the same shape."""
        if x.shape[2:].numel() == 1:
            shape = (1, -1, 1, 1, 1)
            return x * self.weight.view(shape) + self.bias.view(shape)
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last_3d):
            return super().forward(x)
        volumes = [self._of_one(volume) for volume in torch.split(x, 1)]
        return torch.cat(volumes) if len(volumes) > 1 else volumes[0]

    def _of_one(self, volume: Tensor) -> Tensor:
        return functional.batch_norm(
            volume, None, None, self.weight, self.bias, training=True, eps=self.eps
        )


class LeakyReLU(nn.Module):
    """LeakyReLU that keeps its output for the way back, which the next layer keeps anyway.

    torch's own keeps its input, one more map of the size; its form in place does not help behind an
    instance norm, whose result is a view: autograd copies there.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        activated: Tensor = _Leaky.apply(x)
        return activated


class _Leaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = functional.leaky_relu(x, LEAK)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (out,) = ctx.saved_tensors
        # The slope is positive, so that the output has its input's sign.
        before: Tensor = torch.ops.aten.leaky_relu_backward(gradient, out, LEAK, True)
        return before


def conv_block(in_channels: int, out_channels: int, kernel: tuple[int, int, int]) -> nn.Sequential:
    """Convolution of unchanged size, instance norm, LeakyReLU.

    The convolution has no bias, because the norm would take it away again.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel: Odd sizes (depth, height, width).
    """
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        Conv3d(in_channels, out_channels, kernel, padding=padding, bias=False),
        InstanceNorm(out_channels),
        LeakyReLU(),
    )


def doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose3d:
    """Transposed convolution ×2 in the plane: `(B, C, D, h, w)` to `(B, C', D, 2h, 2w)`."""
    return nn.ConvTranspose3d(
        in_channels, out_channels, ONLY_IN_PLANE, stride=ONLY_IN_PLANE, bias=False
    )


def resize_in_plane(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of every slice; nothing is done where the size is right already.

    Args:
        volume: `(B, C, D, H, W)`.
        size: (h, w), pixels.

    Returns:
        `(B, C, D, h, w)`.
    """
    if tuple(volume.shape[3:]) == tuple(size):
        return volume
    slices = functional.interpolate(
        volume.flatten(1, 2), size=size, mode="bilinear", align_corners=False
    )
    return slices.reshape(*volume.shape[:3], *size)

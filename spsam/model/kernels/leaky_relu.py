"""LeakyReLU that keeps its output for the way back: replaces torch's own, which keeps its input.

The next layer keeps the output anyway; the input is one more map of the size. torch's form in place
does not help behind an instance norm, whose result is a view: autograd copies there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def leaky_relu(x: Tensor, slope: float) -> Tensor:
    """Any shape to the same shape.

    Args:
        x: The map.
        slope: For negative values; positive.
    """
    activated: Tensor = _LeakyReLU.apply(x, slope)
    return activated


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        out = functional.leaky_relu(x, slope)
        ctx.save_for_backward(out)
        ctx.slope = slope
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        # The slope is positive, so that the output has its input's sign.
        before: Tensor = torch.ops.aten.leaky_relu_backward(gradient, out, ctx.slope, True)
        return before, None

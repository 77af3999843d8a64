"""LeakyReLU that saves its output for the backward pass: torch's own saves its input.

The next layer saves the output anyway, whereas the input is an additional map of the same size.
torch's in-place variant does not help after an instance norm: its output is a view, which autograd
copies.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def leaky_relu(x: Tensor, slope: float) -> Tensor:
    """Applies a LeakyReLU to a tensor of any shape.

    Args:
        x: Input tensor.
        slope: Slope for negative values; positive.

    Returns:
        The same shape.
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
        # The slope is positive, so that input and output have the same sign.
        before: Tensor = torch.ops.aten.leaky_relu_backward(gradient, out, ctx.slope, True)
        return before, None

"""The MLP along depth that three adapters share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from spsam.errors import InputError
from spsam.model.adapters.base import start


class DepthMLP(nn.Module):
    """`σ(X W_Dup) W_Ddn` along depth only, σ = GELU, without a skip (paper's App. C, Eq. 1).

    Every position and every channel is its own vector of D slices; W_Dup is D×4D, W_Ddn 4D×D. It
    is built for D = 1 as well, where it is a scalar function of each entry.

    Args:
        depth: D.
        depth_ratio: The hidden layer's width in units of D, 4 in the paper.
        init: `zero` starts W_Ddn and its bias at zero, `default` as torch does.
    """

    def __init__(self, depth: int, depth_ratio: int, init: str) -> None:
        super().__init__()
        if depth_ratio < 1:
            raise InputError(f"an adapter's depth_ratio is at least 1: got {depth_ratio}")
        self.up = nn.Linear(depth, depth_ratio * depth)
        self.down = start(nn.Linear(depth_ratio * depth, depth), init)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D, N, C)` to the same shape."""
        hidden = functional.gelu(_along_depth(self.up, x.flatten(2)))
        return _along_depth(self.down, hidden).reshape(x.shape)


def _along_depth(linear: nn.Linear, x: Tensor) -> Tensor:
    """Applies a linear layer to the second axis of `(B, D, P)`, without moving it to the end.

    The product with the layer's matrix from the left reads and writes memory in order; two
    transpositions of all tokens would cost more than the product itself.
    """
    weight = linear.weight.expand(x.shape[0], -1, -1)
    return torch.baddbmm(linear.bias[:, None], weight, x)

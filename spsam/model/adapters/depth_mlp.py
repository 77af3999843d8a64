"""MLP along the depth axis, shared by three adapters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from spsam.errors import InputError
from spsam.model.adapters.base import start


class DepthMLP(nn.Module):
    """`σ(X W_Dup) W_Ddn` along the depth axis, σ = GELU, without a skip (paper's App. C, Eq. 1).

    The MLP is applied to the vector of D slices at every position and channel; W_Dup is D×4D and
    W_Ddn is 4D×D. For D = 1, it is a scalar function of each entry.

    Args:
        depth: D, number of slices in a patch.
        depth_ratio: Width of the hidden layer as a multiple of D; 4 in the paper.
        init: `zero` initialises W_Ddn and its bias to zero; `default` keeps torch's initialisation.
    """

    def __init__(self, depth: int, depth_ratio: int, init: str) -> None:
        super().__init__()
        if depth_ratio < 1:
            raise InputError(f"an adapter's depth_ratio must be at least 1: got {depth_ratio}")
        self.up = nn.Linear(depth, depth_ratio * depth)
        self.down = start(nn.Linear(depth_ratio * depth, depth), init)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens `(B, D, N, C)` to the same shape."""
        hidden = functional.gelu(_along_depth(self.up, x.flatten(2)))
        return _along_depth(self.down, hidden).reshape(x.shape)


def _along_depth(linear: nn.Linear, x: Tensor) -> Tensor:
    """Applies a linear layer to the second axis of `(B, D, P)` without transposing the input.

    Multiplication by the weight matrix from the left reads and writes memory sequentially. Two
    transpositions of all tokens would cost more than the product itself.
    """
    weight = linear.weight.expand(x.shape[0], -1, -1)
    return torch.baddbmm(linear.bias[:, None], weight, x)

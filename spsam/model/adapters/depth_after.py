"""Bottleneck adapter followed by a depth MLP."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from spsam.model.adapters.base import Adapter, Reach
from spsam.model.adapters.depth_mlp import DepthMLP
from spsam.model.adapters.vanilla import VanillaAdapter


class DepthAfterAdapter(Adapter):
    """`Y + depthMLP(Y)`, Y = vanilla(X): the depth MLP at full width (paper's Table 4).

    Args:
        dim: C, the tokens' width.
        depth: D, slices of a patch.
        ratio: r, the bottleneck's width in units of C.
        depth_ratio: The depth MLP's hidden width in units of D.
        init: `zero` starts the last layer of the bottleneck and of the depth MLP at zero, so that
            the adapter begins as the identity; `default` as torch does.
    """

    reach = Reach(slices=None)

    def __init__(
        self,
        dim: int,
        depth: int,
        *,
        ratio: float = 0.25,
        depth_ratio: int = 4,
        init: Literal["zero", "default"] = "zero",
    ) -> None:
        super().__init__()
        self.vanilla = VanillaAdapter(dim, depth, ratio=ratio, init=init)
        self.depth_mlp = DepthMLP(depth, depth_ratio, init)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D, N, dim)` to the same shape."""
        adapted = self.vanilla(x)
        mixed: Tensor = adapted + self.depth_mlp(adapted)
        return mixed

"""Bottleneck adapter followed by a depth MLP."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from spsam.model.adapters.base import Adapter, Reach
from spsam.model.adapters.depth_mlp import DepthMLP
from spsam.model.adapters.vanilla import VanillaAdapter


class DepthAfterAdapter(Adapter):
    """`Y + depthMLP(Y)`, Y = vanilla(X), with the depth MLP at full width (paper's Table 4).

    Args:
        dim: C, width of the tokens.
        depth: D, number of slices in a patch.
        ratio: r, width of the bottleneck as a fraction of C.
        depth_ratio: Hidden width of the depth MLP as a multiple of D.
        init: `zero` initialises the last layers of the bottleneck and of the depth MLP to zero, so
            that the adapter starts as the identity; `default` keeps torch's initialisation.
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
        """Adapts tokens `(B, D, N, dim)`; returns the same shape."""
        adapted = self.vanilla(x)
        mixed: Tensor = adapted + self.depth_mlp(adapted)
        return mixed

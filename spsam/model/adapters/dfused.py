"""The paper's depth-fused adapter: a depth MLP inside the bottleneck."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import Adapter, Reach, hidden_width, start
from spsam.model.adapters.depth_mlp import DepthMLP


class DFusedAdapter(Adapter):
    """`X + (h + σ(h W_Dup) W_Ddn) W_up`, h = σ(X W_dn), σ = GELU (paper's Sec. 2.1; App. C, Eq. 1).

    The depth MLP works on r·C channels instead of C, which makes it 1/r times cheaper than the
    adapters that mix slices before or after the bottleneck.

    Args:
        dim: C, the tokens' width.
        depth: D, slices of a patch.
        ratio: r, the bottleneck's width in units of C.
        depth_ratio: The depth MLP's hidden width in units of D.
        init: `zero` starts W_up and W_Ddn at zero, so that the adapter begins as the identity;
            `default` as torch does.
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
        hidden = hidden_width(dim, ratio)
        self.down = nn.Linear(dim, hidden)
        self.depth_mlp = DepthMLP(depth, depth_ratio, init)
        self.up = start(nn.Linear(hidden, dim), init)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D, N, dim)` to the same shape."""
        return x + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """The bottleneck alone."""
        hidden = functional.gelu(self.down(x))
        change: Tensor = self.up(hidden + self.depth_mlp(hidden))
        return change

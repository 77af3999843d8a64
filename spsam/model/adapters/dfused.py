"""The paper's depth-fused adapter: a depth MLP inside the bottleneck."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import Adapter, Reach, hidden_width, start
from spsam.model.adapters.depth_mlp import DepthMLP


class DFusedAdapter(Adapter):
    """`X + (h + σ(h W_Dup) W_Ddn) W_up`, h = σ(X W_dn), σ = GELU (paper's Sec. 2.1; App. C, Eq. 1).

    The depth MLP processes r·C channels instead of C. Its cost is therefore r times that of the
    depth MLPs before or after the bottleneck.

    Args:
        dim: C, width of the tokens.
        depth: D, number of slices in a patch.
        ratio: r, width of the bottleneck as a fraction of C.
        depth_ratio: Hidden width of the depth MLP as a multiple of D.
        init: `zero` initialises W_up and W_Ddn to zero, so that the adapter starts as the
            identity; `default` keeps torch's initialisation.
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
        """Adapts tokens `(B, D, N, dim)`; returns the same shape."""
        return x + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """Returns the output of the bottleneck, without the skip connection."""
        hidden = functional.gelu(self.down(x))
        change: Tensor = self.up(hidden + self.depth_mlp(hidden))
        return change

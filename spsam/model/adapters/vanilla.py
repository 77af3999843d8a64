"""Plain bottleneck adapter for 2D models."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import Adapter, hidden_width, start


class VanillaAdapter(Adapter):
    """`X + σ(X W_dn) W_up`, σ = GELU, without mixing slices (paper's Sec. 2.1; AIM).

    Args:
        dim: C, the tokens' width.
        depth: D, slices of a patch; not used.
        ratio: r, the bottleneck's width in units of C.
        init: `zero` starts W_up and its bias at zero, so that the adapter begins as the identity;
            `default` as torch does.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        *,
        ratio: float = 0.25,
        init: Literal["zero", "default"] = "zero",
    ) -> None:
        super().__init__()
        hidden = hidden_width(dim, ratio)
        self.down = nn.Linear(dim, hidden)
        self.up = start(nn.Linear(hidden, dim), init)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D, N, dim)` to the same shape."""
        return x + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """The bottleneck alone."""
        change: Tensor = self.up(functional.gelu(self.down(x)))
        return change

"""Plain bottleneck adapter for 2D models."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import Adapter, hidden_width, start


class VanillaAdapter(Adapter):
    """`X + σ(X W_dn) W_up`, σ = GELU; slices are not mixed (paper's Sec. 2.1).

    This is the bottleneck adapter of AIM (arXiv 2302.03024).

    Args:
        dim: C, width of the tokens.
        depth: D, number of slices in a patch; not used.
        ratio: r, width of the bottleneck as a fraction of C.
        init: `zero` initialises W_up and its bias to zero, so that the adapter starts as the
            identity; `default` keeps torch's initialisation.
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
        """Adapts tokens `(B, D, N, dim)`; returns the same shape."""
        return x + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """Returns the output of the bottleneck, without the skip connection."""
        change: Tensor = self.up(functional.gelu(self.down(x)))
        return change

"""AdaptFormer: a scaled bottleneck adapter."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import Adapter, at_least, start


class AdaptFormerAdapter(Adapter):
    """`X + s · ReLU(X W_dn) W_up` (AdaptFormer, arXiv 2205.13535).

    AdaptFormer places the adapter only parallel to the MLP, on the normalised tokens. Set
    `adapter_placement.parallel_scale` to 1 to reproduce this, because s already scales the change.

    Args:
        dim: C, width of the tokens.
        depth: D, number of slices in a patch; not used.
        width: Width of the bottleneck.
        scale: s, factor of the change.
        init: `zero` initialises W_up and its bias to zero, so that the adapter starts as the
            identity; `default` keeps torch's initialisation.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        *,
        width: int = 64,
        scale: float = 0.1,
        init: Literal["zero", "default"] = "zero",
    ) -> None:
        super().__init__()
        at_least("width", width, 1)
        self.scale = scale
        self.down = nn.Linear(dim, width)
        self.up = start(nn.Linear(width, dim), init)

    def forward(self, x: Tensor) -> Tensor:
        """Adapts tokens `(B, D, N, dim)`; returns the same shape."""
        return x + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """Returns the scaled output of the bottleneck, without the skip connection."""
        change: Tensor = self.scale * self.up(functional.relu(self.down(x)))
        return change

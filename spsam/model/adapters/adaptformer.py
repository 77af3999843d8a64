"""AdaptFormer: a scaled bottleneck adapter."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import Adapter, at_least, start


class AdaptFormerAdapter(Adapter):
    """`X + s · ReLU(X W_dn) W_up` (AdaptFormer, arXiv 2205.13535).

    There it stands parallel to the MLP alone, behind the norm; the factor of parallel places,
    `adapter_placement.parallel_scale`, is then 1.

    Args:
        dim: C, the tokens' width.
        depth: D, slices of a patch; not used.
        width: The bottleneck's width.
        scale: s.
        init: `zero` starts W_up and its bias at zero, so that the adapter begins as the identity;
            `default` as torch does.
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
        """`(B, D, N, dim)` to the same shape."""
        return x + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """The scaled bottleneck alone."""
        change: Tensor = self.scale * self.up(functional.relu(self.down(x)))
        return change

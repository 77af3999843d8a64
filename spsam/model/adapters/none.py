"""No adapter: the frozen transformer block as it is."""

from __future__ import annotations

from torch import Tensor

from spsam.model.adapters.base import Adapter


class NoAdapter(Adapter):
    """Returns the tokens as they came; no parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D, N, dim)`, unchanged."""
        return x

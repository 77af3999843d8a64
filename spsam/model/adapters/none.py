"""No adapter: the frozen transformer block is unchanged."""

from __future__ import annotations

from torch import Tensor

from spsam.model.adapters.base import Adapter


class NoAdapter(Adapter):
    """Returns the tokens unchanged; no parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the tokens `(B, D, N, dim)` unchanged."""
        return x

"""No depth position: slices are told apart by their content only."""

from __future__ import annotations

from torch import Tensor

from spsam.model.depth_pos_embeds.base import DepthPosEmbed


class NoDepthPosEmbed(DepthPosEmbed):
    """Adds nothing; no parameters."""

    def __init__(
        self, encoder_dim: int, decoder_dim: int, depth: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()

    def encoder_tokens(self, tokens: Tensor) -> Tensor:
        """`(B·D, gh, gw, E)`, unchanged."""
        return tokens

    def decoder_position(self, image_pe: Tensor) -> Tensor:
        """`(1, C, gh, gw)`, unchanged."""
        return image_pe

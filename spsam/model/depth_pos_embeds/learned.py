"""Learned depth position embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spsam.model.depth_pos_embeds.base import DepthPosEmbed


class LearnedDepthPosEmbed(DepthPosEmbed):
    """Zero-initialised vectors, one per slice, for encoder and decoder (paper's Sec. 2.2, 2.5).

    Args:
        encoder_dim: E, width of the encoder's tokens.
        decoder_dim: C, width of the decoder's position encoding.
        depth: D, number of slices in a patch.
        grid: (gh, gw), size of the token grid.
        full_grid: Whether the decoder has a separate vector for every position of the grid instead
            of one vector per slice.
    """

    def __init__(
        self,
        encoder_dim: int,
        decoder_dim: int,
        depth: int,
        grid: tuple[int, int],
        *,
        full_grid: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = nn.Parameter(torch.zeros(1, depth, encoder_dim))
        places = grid if full_grid else (1, 1)
        self.decoder = nn.Parameter(torch.zeros(depth, decoder_dim, *places))

    def leave_decoder_out(self) -> None:
        """Freezes the decoder's vectors at zero."""
        self.decoder.requires_grad_(False)

    def encoder_tokens(self, tokens: Tensor) -> Tensor:
        """Adds one vector per slice to tokens `(B·D, gh, gw, E)`; returns the same shape."""
        slices = tokens.reshape(-1, self.encoder.shape[1], *tokens.shape[1:])
        return (slices + self.encoder[:, :, None, None].to(tokens.dtype)).reshape(tokens.shape)

    def decoder_position(self, image_pe: Tensor) -> Tensor:
        """Adds the decoder's vectors to `(1, C, gh, gw)`; returns `(D, C, gh, gw)`."""
        return image_pe + self.decoder.to(image_pe.dtype)

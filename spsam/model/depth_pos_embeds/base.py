"""What a depth position embedding is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class DepthPosEmbed(nn.Module, ABC):
    """Tells the slices of a patch apart, in the image encoder and in the mask decoder.

    The engine gives `encoder_dim`, E, `decoder_dim`, C, `depth`, D, and `grid`, (gh, gw) tokens.
    """

    @abstractmethod
    def encoder_tokens(self, tokens: Tensor) -> Tensor:
        """Adds the depth position to the encoder's tokens, after SAM's own position embedding.

        Args:
            tokens: `(B·D, gh, gw, E)`.

        Returns:
            The same shape and data type.
        """

    @abstractmethod
    def decoder_position(self, image_pe: Tensor) -> Tensor:
        """Adds the depth position to the image position that the mask decoder gets.

        Args:
            image_pe: `(1, C, gh, gw)`, SAM's own.

        Returns:
            `(1, C, gh, gw)` if all slices share it, else `(D, C, gh, gw)`.
        """

"""Base class of depth position embeddings."""

from __future__ import annotations

from torch import Tensor, nn


class DepthPosEmbed(nn.Module):
    """Encodes the position of a slice, in the image encoder and in the mask decoder.

    A component writes the method of the place where it adds something, or both.

    Args:
        encoder_dim: E, width of the encoder's tokens; from the engine, not kept.
        decoder_dim: C, width of the decoder's image position; from the engine, not kept.
        depth: D, slices of a patch; from the engine, not kept.
        grid: (gh, gw), the token grid; from the engine, not kept.
    """

    def __init__(
        self,
        encoder_dim: int = 0,
        decoder_dim: int = 0,
        depth: int = 0,
        grid: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()

    def leave_decoder_out(self) -> None:
        """Called once by a network without a mask decoder: what only that needs does not train."""

    def encoder_tokens(self, tokens: Tensor) -> Tensor:
        """Adds the depth position to the encoder's tokens, after SAM's own position embedding.

        Args:
            tokens: `(B·D, gh, gw, E)`.

        Returns:
            The same shape and data type; unchanged unless a component does otherwise.
        """
        return tokens

    def decoder_position(self, image_pe: Tensor) -> Tensor:
        """Adds the depth position to the image position that the mask decoder gets.

        Args:
            image_pe: `(1, C, gh, gw)`, SAM's own.

        Returns:
            `(1, C, gh, gw)` if all slices share it, else `(D, C, gh, gw)`;
            unchanged unless a component does otherwise.
        """
        return image_pe

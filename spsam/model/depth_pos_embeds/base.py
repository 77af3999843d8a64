"""Base class of depth position embeddings."""

from __future__ import annotations

from torch import Tensor, nn


class DepthPosEmbed(nn.Module):
    """Encodes the position of a slice, in the image encoder and in the mask decoder.

    A component overrides `encoder_tokens`, `decoder_position` or both.

    Args:
        encoder_dim: E, width of the encoder's tokens; passed by the engine, not stored.
        decoder_dim: C, width of the decoder's position encoding; passed by the engine, not stored.
        depth: D, number of slices in a patch; passed by the engine, not stored.
        grid: (gh, gw), size of the token grid; passed by the engine, not stored.
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
        """Disables training of the parameters that only the mask decoder uses.

        Networks without a mask decoder call this once.
        """

    def encoder_tokens(self, tokens: Tensor) -> Tensor:
        """Adds the depth position to the encoder's tokens, after SAM's own position embedding.

        Args:
            tokens: `(B·D, gh, gw, E)`.

        Returns:
            The same shape and data type. By default, the tokens unchanged.
        """
        return tokens

    def decoder_position(self, image_pe: Tensor) -> Tensor:
        """Adds the depth position to the image position encoding of the mask decoder.

        Args:
            image_pe: `(1, C, gh, gw)`, SAM's position encoding of the image tokens.

        Returns:
            `(1, C, gh, gw)` if all slices share it, otherwise `(D, C, gh, gw)`. By default, the
            encoding unchanged.
        """
        return image_pe

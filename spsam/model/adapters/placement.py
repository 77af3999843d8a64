"""Where adapters sit: one module for every chosen place of every transformer block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from spsam.model.adapters.base import Adapter

ENCODER_PLACES = ("after_attention", "parallel_mlp")
BLOCK_PLACES = (
    "after_self_attention",
    "after_token_to_image",
    "parallel_mlp",
    "after_image_to_token",
)
FINAL_PLACES = ("after_final_attention",)
DECODER_PLACES = BLOCK_PLACES + FINAL_PLACES


class AdapterSet(nn.Module):
    """The adapters of SAM's image encoder and mask decoder (paper's Sec. 2.1, 2.5).

    Where they stand is the paper's: after attention and parallel to the MLP in the encoder, in the
    cross-attentions of the decoder. That the decoder's are serial is chosen here.

    Two ways of attaching exist. *Serial*: the adapter with its own skip, `A(x)`, on a sublayer's
    output before the residual sum. *Parallel*: beside a sublayer, without the adapter's own skip
    and scaled, `s · (A(x) - x)` added to the sublayer's output.

    An adapter always sees un-windowed tokens `(B, D, N, dim)`: position n is the same place in
    the plane (or the same class and token) in all D slices, so that mixing along D mixes slices.

    Args:
        factory: Makes an adapter for a width.
        encoder_dim: E, width of the image encoder's tokens.
        encoder_blocks: Number of transformer blocks in the image encoder.
        decoder_dim: C, width of the mask decoder's tokens.
        decoder_blocks: Number of two-way blocks in the mask decoder.
        encoder_places: Of `ENCODER_PLACES`, in every block of the image encoder.
        decoder_places: Of `DECODER_PLACES`, in every two-way block (the final attention has one).
        parallel_scale: s, of the parallel places.

    Attributes:
        encoder: `encoder[i][place]`, block i of the image encoder.
        decoder: `decoder[i][place]`, two-way block i of the mask decoder.
        final: `final["after_final_attention"]`, the mask decoder's last attention.

    Raises:
        ValueError: If a place does not exist.
    """

    def __init__(
        self,
        factory: Callable[[int], nn.Module],
        *,
        encoder_dim: int,
        encoder_blocks: int,
        decoder_dim: int,
        decoder_blocks: int = 2,
        encoder_places: Sequence[str] = ENCODER_PLACES,
        decoder_places: Sequence[str] = ("after_token_to_image", "after_image_to_token"),
        parallel_scale: float = 0.5,
    ) -> None:
        super().__init__()
        _check_places(encoder_places, ENCODER_PLACES, "encoder")
        _check_places(decoder_places, DECODER_PLACES, "decoder")
        in_block = [place for place in decoder_places if place in BLOCK_PLACES]
        at_end = [place for place in decoder_places if place in FINAL_PLACES]

        def site(places: Sequence[str], dim: int) -> nn.ModuleDict:
            return nn.ModuleDict({place: factory(dim) for place in places})

        self.encoder = nn.ModuleList(
            site(encoder_places, encoder_dim) for _ in range(encoder_blocks)
        )
        self.decoder = nn.ModuleList(site(in_block, decoder_dim) for _ in range(decoder_blocks))
        self.final = site(at_end, decoder_dim)
        self.parallel_scale = parallel_scale

    def encoder_site(self, block: int) -> nn.ModuleDict:
        """The adapters of one block of the image encoder, by place."""
        site = self.encoder[block]
        assert isinstance(site, nn.ModuleDict)
        return site

    def decoder_site(self, block: int) -> nn.ModuleDict:
        """The adapters of one two-way block of the mask decoder, by place."""
        site = self.decoder[block]
        assert isinstance(site, nn.ModuleDict)
        return site

    def serial(self, site: nn.ModuleDict, place: str, x: Tensor, folded: tuple[int, int]) -> Tensor:
        """A sublayer's output, adapted with the adapter's own skip.

        Args:
            site: The block's adapters.
            place: Where in the block; a place without an adapter returns `x`.
            x: `(B·D·…, …, dim)` tokens, slices folded into the batch.
            folded: (B, D).

        Returns:
            `A(x)`, shaped like `x`.
        """
        return _adapt(site[place], x, folded) if place in site else x

    def parallel(
        self, site: nn.ModuleDict, place: str, x: Tensor, output: Tensor, folded: tuple[int, int]
    ) -> Tensor:
        """A sublayer's output plus the scaled adapter beside the sublayer.

        Args:
            site: The block's adapters.
            place: Where in the block; a place without an adapter returns `output`.
            x: `(B·D·…, …, dim)` tokens that go into the sublayer.
            output: What the sublayer made of them, shaped like `x`.
            folded: (B, D).

        Returns:
            `output + s · (A(x) - x)`.
        """
        if place not in site:
            return output
        adapter, unfolded = site[place], x.reshape(*folded, -1, x.shape[-1])
        # An adapter that knows its own change need not add its tokens for them to be taken away.
        if isinstance(adapter, Adapter):
            change = adapter.change(unfolded)
        else:
            change = adapter(unfolded) - unfolded
        return torch.add(output, change.reshape(x.shape), alpha=self.parallel_scale)


def _adapt(adapter: nn.Module, x: Tensor, folded: tuple[int, int]) -> Tensor:
    """Unfolds slices from the batch, adapts, folds them back."""
    adapted: Tensor = adapter(x.reshape(*folded, -1, x.shape[-1]))
    return adapted.reshape(x.shape)


def _check_places(places: Sequence[str], known: Sequence[str], part: str) -> None:
    unknown = [place for place in places if place not in known]
    if unknown:
        raise ValueError(f"no such place in the {part}: {unknown}; places are {', '.join(known)}")

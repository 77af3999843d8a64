"""Placement of adapters: one module for every selected place of every transformer block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from spsam.model.adapters.base import Adapter, ProjectionAdapter
from spsam.model.adapters.projected import Projected, arranged
from spsam.model.adapters.sites import encoder_module

Grid = tuple[int, int]

NO_GRID: Grid = (1, 1)
"""Grid of tokens that have no position in the plane."""

USUAL_ENCODER_PLACES = ("after_attention", "parallel_mlp")
ENCODER_PLACES = (*USUAL_ENCODER_PLACES, "before_attention", "before_mlp")
BLOCK_PLACES = (
    "after_self_attention",
    "after_token_to_image",
    "parallel_mlp",
    "after_image_to_token",
)
FINAL_PLACES = ("after_final_attention",)
DECODER_PLACES = BLOCK_PLACES + FINAL_PLACES
IN_THE_PLANE = ("after_image_to_token",)
"""Places in the decoder that process image tokens, once for each class."""


class AdapterSet(nn.Module):
    """The adapters of SAM's image encoder and mask decoder (paper's Sec. 2.1, 2.5).

    Token adapters are attached at places. Projection adapters are attached at the projections that
    they select. The default places are the paper's: after the attention and parallel to the MLP in
    the encoder, and in the cross-attentions of the decoder. The paper does not specify how the
    decoder's adapters are attached; they are serial here.

    A token adapter is attached in one of two ways. *Serial*: the adapter with its skip connection,
    `A(x)`, is applied to a sublayer's output before the residual sum; at a place before a sublayer,
    to the residual sum itself. *Parallel*: the scaled change `s · (A(x) - x)` of a sublayer's input
    is added to the sublayer's output.

    A token adapter always receives tokens without windows, `(B, D, N, dim)`. Position n is the same
    place in the plane (or the same class and token) in all D slices, so that an operation along D
    mixes slices.

    Args:
        factory: Builds a token adapter for a width and a grid; None: no token adapters.
        encoder_dim: E, width of the image encoder's tokens.
        encoder_blocks: Number of transformer blocks in the image encoder.
        decoder_dim: C, width of the mask decoder's tokens.
        decoder_blocks: Number of two-way blocks in the mask decoder.
        encoder_places: Places from `ENCODER_PLACES`, applied in every block of the image encoder.
        decoder_places: Places from `DECODER_PLACES`, applied in every two-way block; the final
            attention has one place.
        parallel_scale: s, factor of parallel adapters.
        grid: (gh, gw), token grid of the image.
        projections: Projection adapters by component.

    Attributes:
        encoder: `encoder[i][place]`, block i of the image encoder.
        decoder: `decoder[i][place]`, two-way block i of the mask decoder.
        final: `final["after_final_attention"]`, the mask decoder's last attention.
        projections: Projection adapters by component.

    Raises:
        ValueError: If a place does not exist.
        InputError: If two projection adapters at the same projection are incompatible.
    """

    def __init__(
        self,
        factory: Callable[[int, Grid], nn.Module] | None,
        *,
        encoder_dim: int,
        encoder_blocks: int,
        decoder_dim: int,
        decoder_blocks: int = 2,
        encoder_places: Sequence[str] = USUAL_ENCODER_PLACES,
        decoder_places: Sequence[str] = ("after_token_to_image", "after_image_to_token"),
        parallel_scale: float = 0.5,
        grid: Grid = NO_GRID,
        projections: Mapping[str, ProjectionAdapter] | None = None,
    ) -> None:
        super().__init__()
        _check_places(encoder_places, ENCODER_PLACES, "encoder")
        _check_places(decoder_places, DECODER_PLACES, "decoder")
        in_block = [place for place in decoder_places if place in BLOCK_PLACES]
        at_end = [place for place in decoder_places if place in FINAL_PLACES]

        def site(places: Sequence[str], dim: int, in_the_plane: Sequence[str]) -> nn.ModuleDict:
            if factory is None:
                return nn.ModuleDict()
            grids = {place: grid if place in in_the_plane else NO_GRID for place in places}
            return nn.ModuleDict({place: factory(dim, grids[place]) for place in places})

        self.encoder = nn.ModuleList(
            site(encoder_places, encoder_dim, ENCODER_PLACES) for _ in range(encoder_blocks)
        )
        self.decoder = nn.ModuleList(
            site(in_block, decoder_dim, IN_THE_PLANE) for _ in range(decoder_blocks)
        )
        self.final = site(at_end, decoder_dim, ())
        self.parallel_scale = parallel_scale
        self.projections = nn.ModuleDict(dict(projections or {}))
        self._projected = arranged(projections or {})

    def projected(self, module: str) -> Projected | None:
        """Returns the projection adapters of a frozen module; None without any.

        Args:
            module: Name of the module, as defined in `spsam.model.adapters.sites`.
        """
        return self._projected.get(module)

    def first_encoder_block(self) -> int | None:
        """Returns the index of the first encoder block with a trained adapter; None without any."""
        for index, site in enumerate(self.encoder):
            at_projections = self._projected.get(encoder_module(index))
            if at_projections is not None or any(True for _ in site.parameters()):
                return index
        return None

    def with_tokens(self, sets: Mapping[str, AdapterSet]) -> AdapterSet:
        """Adds the token adapters of other sets to this one; several at one place form a `Chain`.

        Args:
            sets: Adapter sets by component, in the order in which they process the tokens.

        Returns:
            This set.
        """
        own = [*self.encoder, *self.decoder, self.final]
        others = {name: [*each.encoder, *each.decoder, each.final] for name, each in sets.items()}
        for index, site in enumerate(own):
            assert isinstance(site, nn.ModuleDict)
            there = {name: dict(sites[index].items()) for name, sites in others.items()}
            for place in dict.fromkeys(place for each in there.values() for place in each):
                links = {name: each[place] for name, each in there.items()}
                site[place] = Chain(links) if len(links) > 1 else next(iter(links.values()))
        return self

    def encoder_site(self, block: int) -> nn.ModuleDict:
        """Returns the adapters of one block of the image encoder, by place."""
        site = self.encoder[block]
        assert isinstance(site, nn.ModuleDict)
        return site

    def decoder_site(self, block: int) -> nn.ModuleDict:
        """Returns the adapters of one two-way block of the mask decoder, by place."""
        site = self.decoder[block]
        assert isinstance(site, nn.ModuleDict)
        return site

    def serial(self, site: nn.ModuleDict, place: str, x: Tensor, folded: tuple[int, int]) -> Tensor:
        """Applies an adapter, including its skip connection, to a sublayer's output.

        Args:
            site: Adapters of the block, by place.
            place: Place in the block; `x` is returned if it has no adapter.
            x: `(B·D·…, …, dim)` tokens, slices folded into the batch.
            folded: (B, D).

        Returns:
            `A(x)`, the same shape as `x`.
        """
        return _adapt(site[place], x, folded) if place in site else x

    def parallel(
        self, site: nn.ModuleDict, place: str, x: Tensor, output: Tensor, folded: tuple[int, int]
    ) -> Tensor:
        """Adds the scaled change of a parallel adapter to a sublayer's output.

        Args:
            site: Adapters of the block, by place.
            place: Place in the block; `output` is returned if it has no adapter.
            x: `(B·D·…, …, dim)` tokens, the input of the sublayer.
            output: Output of the sublayer, the same shape as `x`.
            folded: (B, D).

        Returns:
            `output + s · (A(x) - x)`.
        """
        if place not in site:
            return output
        adapter, unfolded = site[place], x.reshape(*folded, -1, x.shape[-1])
        # `change` avoids adding the skip connection only to subtract it again.
        if isinstance(adapter, Adapter):
            change = adapter.change(unfolded)
        else:
            change = adapter(unfolded) - unfolded
        return torch.add(output, change.reshape(x.shape), alpha=self.parallel_scale)


class Chain(nn.ModuleDict):
    """Token adapters of several components at one place, applied in order."""

    def forward(self, x: Tensor) -> Tensor:
        """Applies all adapters to tokens `(B, D, N, dim)`; returns the same shape."""
        for adapter in self.values():
            x = adapter(x)
        return x


def _adapt(adapter: nn.Module, x: Tensor, folded: tuple[int, int]) -> Tensor:
    """Unfolds slices from the batch, applies the adapter and folds the slices back."""
    adapted: Tensor = adapter(x.reshape(*folded, -1, x.shape[-1]))
    return adapted.reshape(x.shape)


def _check_places(places: Sequence[str], known: Sequence[str], part: str) -> None:
    unknown = [place for place in places if place not in known]
    if unknown:
        raise ValueError(f"no such place in the {part}: {unknown}; expected {', '.join(known)}")

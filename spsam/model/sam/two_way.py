"""The mask decoder's two-way transformer, with places for adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from spsam.model.adapters.placement import AdapterSet
from spsam.model.adapters.sites import (
    FINAL_ATTENTION,
    IMAGE_TO_TOKEN,
    MLP,
    SELF_ATTENTION,
    TOKEN_TO_IMAGE,
    decoder_module,
)


@dataclass(frozen=True)
class TwoWayPass:
    """One pass of `segment_anything`'s `TwoWayTransformer` with adapters before its residual sums.

    The package's modules are used, but not its loop. B·D·K prompts are processed at once, and an
    adapter receives them as `(B, D, K·n, C)`, the same class and token in every slice.

    Attributes:
        transformer: The `TwoWayTransformer`.
        adapters: Adapters of every two-way block and of the final attention.
        folded: (B, D).
        tokens: `(B·D·K, T, C)` output and prompt tokens; also their own position encoding.
        position: `(1 or D, N, C)`, position encoding of the image tokens.
    """

    transformer: Any
    adapters: AdapterSet
    folded: tuple[int, int]
    tokens: Tensor
    position: Tensor

    def run(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the mutual attention of tokens and image.

        Args:
            image: `(B·D·K, N, C)` image tokens.

        Returns:
            Tokens `(B·D·K, T, C)` and image tokens `(B·D·K, N, C)`.
        """
        queries, keys = self.tokens, image
        for index, block in enumerate(self.transformer.layers):
            queries, keys = self._block(index, block, queries, keys)
        attended = self._attend(
            FINAL_ATTENTION,
            self.transformer.final_attn_token_to_image,
            (queries + self.tokens, self._placed(keys), keys),
        )
        attended = self.adapters.serial(
            self.adapters.final, "after_final_attention", attended, self.folded
        )
        return self.transformer.norm_final_attn(queries + attended), keys

    def _block(
        self, index: int, block: Any, queries: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Computes one block: self-attention, tokens to image, MLP, image to tokens."""
        site = self.adapters.decoder_site(index)
        serial, parallel, folded = self.adapters.serial, self.adapters.parallel, self.folded
        if block.skip_first_layer_pe:
            # SAM's first block replaces the tokens instead of adding to them.
            inputs = (queries, queries, queries)
        else:
            placed = queries + self.tokens
            inputs = (placed, placed, queries)
        attended = self._attend(decoder_module(index, SELF_ATTENTION), block.self_attn, inputs)
        attended = serial(site, "after_self_attention", attended, folded)
        queries = block.norm1(attended if block.skip_first_layer_pe else queries + attended)

        placed_keys = self._placed(keys)
        inputs = (queries + self.tokens, placed_keys, keys)
        attended = self._attend(
            decoder_module(index, TOKEN_TO_IMAGE), block.cross_attn_token_to_image, inputs
        )
        queries = queries + serial(site, "after_token_to_image", attended, folded)
        queries = block.norm2(queries)

        expanded = self._expand(decoder_module(index, MLP), block.mlp, queries)
        queries = queries + parallel(site, "parallel_mlp", queries, expanded, folded)
        queries = block.norm3(queries)

        inputs = (placed_keys, queries + self.tokens, queries)
        attended = self._attend(
            decoder_module(index, IMAGE_TO_TOKEN), block.cross_attn_image_to_token, inputs
        )
        keys = keys + serial(site, "after_image_to_token", attended, folded)
        return queries, block.norm4(keys)

    def _attend(self, module: str, attention: Any, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Computes a frozen attention of (q, k, v), including its projections' adapters."""
        projected = self.adapters.projected(module)
        if projected is not None:
            return projected.attention(attention, *inputs)
        attended: Tensor = attention(*inputs)
        return attended

    def _expand(self, module: str, mlp: Any, queries: Tensor) -> Tensor:
        """Computes a frozen MLP, including its projections' adapters."""
        projected = self.adapters.projected(module)
        if projected is not None:
            return projected.mlp(mlp.lin1, mlp.act, mlp.lin2, queries)
        expanded: Tensor = mlp(queries)
        return expanded

    def _placed(self, keys: Tensor) -> Tensor:
        """Adds the position to image tokens, the same for all classes of a slice."""
        slices = keys.reshape(*self.folded, -1, *keys.shape[1:])  # (B, D, K, N, C)
        return (slices + self.position.unsqueeze(1)).flatten(0, 2)

"""The mask decoder's two-way transformer, with places for adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from spsam.model.adapters.placement import AdapterSet


@dataclass(frozen=True)
class TwoWayPass:
    """One pass of `segment_anything`'s `TwoWayTransformer`, adapters before its residual sums.

    The package's modules are used and its loop is not: B·D·K prompts go through at once, and an
    adapter sees them as `(B, D, K·n, C)`, the same class and token in every slice.

    Attributes:
        transformer: The `TwoWayTransformer`.
        adapters: The adapters of every two-way block and of the final attention.
        folded: (B, D).
        tokens: `(B·D·K, T, C)` output and prompt tokens; also their own position.
        position: `(1 or D, N, C)`, the position of the image tokens.
    """

    transformer: Any
    adapters: AdapterSet
    folded: tuple[int, int]
    tokens: Tensor
    position: Tensor

    def run(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Lets tokens and image attend to each other.

        Args:
            image: `(B·D·K, N, C)` image tokens.

        Returns:
            Tokens `(B·D·K, T, C)` and image tokens `(B·D·K, N, C)`.
        """
        queries, keys = self.tokens, image
        for index, block in enumerate(self.transformer.layers):
            queries, keys = self._block(index, block, queries, keys)
        attended = self.transformer.final_attn_token_to_image(
            q=queries + self.tokens, k=self._placed(keys), v=keys
        )
        attended = self.adapters.serial(
            self.adapters.final, "after_final_attention", attended, self.folded
        )
        return self.transformer.norm_final_attn(queries + attended), keys

    def _block(
        self, index: int, block: Any, queries: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens among themselves, tokens to image, MLP, image to tokens."""
        site = self.adapters.decoder_site(index)
        serial, parallel, folded = self.adapters.serial, self.adapters.parallel, self.folded
        if block.skip_first_layer_pe:
            # SAM's first block replaces the tokens instead of adding to them.
            attended = block.self_attn(q=queries, k=queries, v=queries)
            queries = serial(site, "after_self_attention", attended, folded)
        else:
            placed = queries + self.tokens
            attended = block.self_attn(q=placed, k=placed, v=queries)
            queries = queries + serial(site, "after_self_attention", attended, folded)
        queries = block.norm1(queries)

        placed_keys = self._placed(keys)
        attended = block.cross_attn_token_to_image(q=queries + self.tokens, k=placed_keys, v=keys)
        queries = queries + serial(site, "after_token_to_image", attended, folded)
        queries = block.norm2(queries)

        expanded = block.mlp(queries)
        queries = queries + parallel(site, "parallel_mlp", queries, expanded, folded)
        queries = block.norm3(queries)

        attended = block.cross_attn_image_to_token(
            q=placed_keys, k=queries + self.tokens, v=queries
        )
        keys = keys + serial(site, "after_image_to_token", attended, folded)
        return queries, block.norm4(keys)

    def _placed(self, keys: Tensor) -> Tensor:
        """Image tokens with their position, which a slice's classes share."""
        slices = keys.reshape(*self.folded, -1, *keys.shape[1:])  # (B, D, K, N, C)
        return (slices + self.position.unsqueeze(1)).flatten(0, 2)

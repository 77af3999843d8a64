"""SAM's image encoder from timm's modules, with places for adapters and depth positions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import torch
from timm.models.vision_transformer_sam import Block, VisionTransformerSAM
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from spsam.model.adapters.placement import AdapterSet
from spsam.model.adapters.projected import Projected
from spsam.model.adapters.sites import encoder_module
from spsam.model.kernels.patch_embedding import PatchEmbedding
from spsam.model.sam.attention import Attention
from spsam.model.sam.backbones import Backbone, token_grid


class DepthTokens(Protocol):
    """Interface of a depth position embedding in the image encoder."""

    def encoder_tokens(self, tokens: Tensor) -> Tensor:
        """Adds the depth position to `(B·D, gh, gw, E)` tokens."""
        ...


class ImageEncoder(nn.Module):
    """SAM's ViT, frozen; adapters and depth positions are passed in at each call.

    The parts are built by timm's `VisionTransformerSAM`. Only the loop over its blocks is
    implemented here, because adapters act between attention and the residual sum, on tokens without
    windows.

    Args:
        spec: The backbone.
        encoder_size: (h, w) of the input, pixels; multiples of the patch size.

    Attributes:
        image_size: (h, w) of the input, pixels.
        grid: (gh, gw), size of the token grid.
        out_dim: C, channels of the neck's output.
        checkpointed: Whether the backward pass recomputes the blocks instead of keeping their
            activations.
    """

    def __init__(self, spec: Backbone, encoder_size: tuple[int, int]) -> None:
        super().__init__()
        self.image_size = encoder_size
        self.grid = token_grid(spec, encoder_size)
        vit = VisionTransformerSAM(
            # timm also accepts (h, w); its annotation is int.
            img_size=encoder_size,  # type: ignore[arg-type]
            patch_size=spec.patch,
            embed_dim=spec.embed_dim,
            depth=spec.depth,
            num_heads=spec.heads,
            use_rel_pos=True,
            window_size=spec.window,
            global_attn_indexes=spec.global_blocks,
            neck_chans=spec.out_dim,
            num_classes=0,
            # SAM's epsilon; timm's is 1e-5. timm accepts any factory; its annotation is a class.
            norm_layer=partial(nn.LayerNorm, eps=1e-6),  # type: ignore[arg-type]
        )
        assert vit.pos_embed is not None
        assert isinstance(vit.patch_embed.proj, nn.Conv2d)
        self.patch_embed = PatchEmbedding(vit.patch_embed.proj)
        self.pos_embed = vit.pos_embed
        self.blocks = vit.blocks
        for block in self.transformer_blocks():
            # timm's attention has the same parameters, but pads windows and adds an N×N bias.
            block.attn = Attention(block.attn, block.window_size)  # type: ignore[assignment]
        self.neck = vit.neck
        self.global_blocks = spec.global_blocks
        self.out_dim = spec.out_dim
        self.checkpointed = False
        self.requires_grad_(False).eval()

    def forward(
        self, slices: Tensor, *, depth: int, adapters: AdapterSet, depth_pos: DepthTokens
    ) -> tuple[list[Tensor], Tensor]:
        """Encodes slices; only adapters and depth positions combine several slices.

        Args:
            slices: `(B·D, 3, h, w)`, the slices of a volume next to each other.
            depth: D.
            adapters: The adapters of every block.
            depth_pos: Adds depth positions, right after the spatial ones.

        Returns:
            The outputs of the blocks with global attention, shallow first, `(B·D, E, gh, gw)`
            each, and the neck's output `(B·D, C, gh, gw)`.

        Raises:
            ValueError: If the encoder was built for another size of slices.
        """
        if tuple(slices.shape[2:]) != self.image_size:
            raise ValueError(
                f"expected slices of {self.image_size} pixels, got {tuple(slices.shape[2:])}"
            )
        folded = (slices.shape[0] // depth, depth)
        x = depth_pos.encoder_tokens(self.patch_embed(slices) + self.pos_embed)
        taps: list[Tensor] = []
        for index, block in enumerate(self.transformer_blocks()):
            if self.checkpointed and torch.is_grad_enabled():
                x = checkpoint(
                    _adapted_block, block, x, adapters, index, folded, use_reentrant=False
                )
            else:
                x = _adapted_block(block, x, adapters, index, folded)
            if index in self.global_blocks:
                taps.append(x.permute(0, 3, 1, 2))
        return taps, self.neck(x.permute(0, 3, 1, 2))

    def transformer_blocks(self) -> Iterator[Block]:
        """Iterates over the blocks, shallow first."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block


def _adapted_block(
    block: Block, x: Tensor, adapters: AdapterSet, index: int, folded: tuple[int, int]
) -> Tensor:
    """Computes one transformer block with its adapters (paper's Sec. 2.1; AIM's placement).

    Args:
        block: timm's block; SAM uses neither its layer scale nor its drop path.
        x: `(B·D, gh, gw, E)`.
        adapters: The adapters of all blocks and how they are attached.
        index: Index of the block, which selects its adapters.
        folded: (B, D).
    """
    site, projected = adapters.encoder_site(index), adapters.projected(encoder_module(index))
    x = adapters.serial(site, "before_attention", x, folded)
    # The norm is applied before the windows are padded, so that padding is zero, as in SAM.
    y = block.norm1(x)
    attended = block.attn(y) if projected is None else block.attn(y, projected)
    x = x + adapters.serial(site, "after_attention", attended, folded)
    x = adapters.serial(site, "before_mlp", x, folded)
    y = block.norm2(x)
    expanded = block.mlp(y) if projected is None else _projected_mlp(block.mlp, y, projected)
    return x + adapters.parallel(site, "parallel_mlp", y, expanded, folded)


def _projected_mlp(mlp: Any, y: Tensor, projected: Projected) -> Tensor:
    return projected.mlp(mlp.fc1, mlp.act, mlp.fc2, y)

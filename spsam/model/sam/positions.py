"""Resampling of SAM's position embeddings to other input sizes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spsam.model.sam.backbones import Backbone
from spsam.model.sam.image_encoder import ImageEncoder


def resample_pos_embed(pos_embed: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resamples absolute positions to another grid; the whole image is resampled, without cropping.

    Args:
        pos_embed: `(1, rows, columns, E)`.
        grid: (gh, gw).

    Returns:
        `(1, gh, gw, E)`.
    """
    if tuple(pos_embed.shape[1:3]) == grid:
        return pos_embed
    # With antialiasing as in timm, because a checkpoint's 64 x 64 positions are mostly downsampled.
    resampled = nn.functional.interpolate(
        pos_embed.float().permute(0, 3, 1, 2), size=grid, mode="bicubic", antialias=True
    )
    return resampled.permute(0, 2, 3, 1).to(pos_embed.dtype)


def resample_rel_pos(rel_pos: Tensor, length: int) -> Tensor:
    """Resamples relative positions along one axis to another length, by SAM's own interpolation.

    Args:
        rel_pos: `(2·n - 1, head width)`.
        length: 2·g - 1 for g tokens along the axis.

    Returns:
        `(length, head width)`.
    """
    if rel_pos.shape[0] == length:
        return rel_pos
    resampled = nn.functional.interpolate(
        rel_pos.float().T.unsqueeze(0), size=length, mode="linear"
    )
    return resampled.squeeze(0).T.to(rel_pos.dtype)


def randomize_positions(encoder: ImageEncoder, spec: Backbone, std: float = 0.02) -> None:
    """Draws random position embeddings for an encoder without a checkpoint; timm's are zero.

    Positions are drawn for the native input size and resampled, so that a random state determines
    the same network for every input size.

    Args:
        encoder: Modified in place.
        spec: The backbone.
        std: Standard deviation.
    """
    native = spec.native_grid
    positions = torch.empty(1, *native, spec.embed_dim)
    nn.init.trunc_normal_(positions, std=std)
    encoder.pos_embed.data.copy_(resample_pos_embed(positions, encoder.grid))
    for index, block in enumerate(encoder.transformer_blocks()):
        side = native[0] if index in spec.global_blocks else spec.window
        for parameter in (block.attn.rel_pos_h, block.attn.rel_pos_w):
            drawn = torch.empty(2 * side - 1, parameter.shape[1])
            nn.init.trunc_normal_(drawn, std=std)
            parameter.data.copy_(resample_rel_pos(drawn, parameter.shape[0]))

"""A SAM on a part of its picture: the same weights on fewer tokens, at their own positions."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from spsam.model.sam.backbones import Backbone, token_grid
from spsam.model.sam.image_encoder import ImageEncoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from spsam.model.sam.promptable import Asked, PromptableSAM

Part = TypeVar("Part", bound=nn.Module)


class Excerpt(PromptableSAM):
    """Sees a square of the picture as the whole SAM would if there were no other tokens.

    Nothing is copied: gradients reach the whole SAM's parameters. Positions are cut out of its
    own, not resampled, so that what is learned here holds there. A quarter of the tokens costs
    less than a quarter of the time.

    Args:
        whole: The SAM, which is left as it is.
        spec: Which SAM it is.
        size: Side of the square, pixels; whole patches, at most the SAM's own.
    """

    def __init__(self, whole: PromptableSAM, spec: Backbone, size: int) -> None:
        grid = token_grid(spec, (size, size))
        super().__init__(spec, (_encoder(whole.encoder, grid, size), _decoder(whole.decoder, grid)))
        # Not a submodule: its parameters are its own.
        self._whole = (whole,)
        self._patch = spec.patch
        self._corner = (0, 0)
        self.move(0, 0)

    @property
    def corners(self) -> int:
        """Rows, and columns, at which the square may begin."""
        return self._whole[0].encoder.grid[0] - self.encoder.grid[0] + 1

    def move(self, row: int, column: int) -> None:
        """Takes the positions of the square that begins at this token; once a step of training."""
        (whole,), (height, width) = self._whole, self.encoder.grid
        square = (slice(row, row + height), slice(column, column + width))
        self._corner = (column * self._patch, row * self._patch)
        self.encoder.pos_embed = whole.encoder.pos_embed[(slice(None), *square)]  # type: ignore[assignment]
        pairs = zip(
            self.encoder.transformer_blocks(), whole.encoder.transformer_blocks(), strict=True
        )
        for mine, theirs in pairs:
            if not mine.window_size:
                mine.attn.rel_pos_h = _middle(theirs.attn.rel_pos_h, height)  # type: ignore[assignment]
                mine.attn.rel_pos_w = _middle(theirs.attn.rel_pos_w, width)  # type: ignore[assignment]
        full = whole.decoder.grid
        position = whole.decoder.prompt_encoder.pe_layer(full)[(None, slice(None), *square)]
        self.decoder.prompt_encoder.get_dense_pe = lambda: position

    def answer(self, embedding: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
        """As the whole SAM, with prompts in the square's own pixels."""
        corner = torch.tensor(self._corner, dtype=torch.float32, device=embedding.device)
        moved = replace(
            asked,
            points=None if asked.points is None else asked.points + corner,
            boxes=None if asked.boxes is None else asked.boxes + corner.repeat(2),
        )
        return super().answer(embedding, moved)


def _encoder(whole: ImageEncoder, grid: tuple[int, int], size: int) -> ImageEncoder:
    """The encoder with positions that are still to be set."""
    encoder = _twin(whole)
    encoder.grid, encoder.image_size = grid, (size, size)
    del encoder._parameters["pos_embed"]
    blocks = []
    for each in whole.transformer_blocks():
        block = _twin(each)
        if not each.window_size:
            block.attn = _twin(each.attn)
            del block.attn._parameters["rel_pos_h"], block.attn._parameters["rel_pos_w"]
        blocks.append(block)
    encoder.blocks = nn.Sequential(*blocks)
    return encoder


def _decoder(whole: PromptedMaskDecoder, grid: tuple[int, int]) -> PromptedMaskDecoder:
    """The decoder for a smaller grid; points and boxes stay in the whole picture's frame."""
    decoder = _twin(whole)
    decoder.grid, decoder.mask_size = grid, (4 * grid[0], 4 * grid[1])
    decoder.prompt_encoder = _twin(whole.prompt_encoder)
    decoder.prompt_encoder.image_embedding_size = grid
    return decoder


def _twin(module: Part) -> Part:
    """Another module with the same parameters and submodules, and places of its own for them."""
    twin = copy.copy(module)
    twin._parameters = dict(module._parameters)
    twin._modules = dict(module._modules)
    return twin


def _middle(positions: Tensor, side: int) -> Tensor:
    """Relative positions `(2S - 1, c)` of keys at most `side` - 1 away, `(2 · side - 1, c)`."""
    extra = (len(positions) + 1) // 2 - side
    return positions[extra : len(positions) - extra]

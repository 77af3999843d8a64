"""A SAM restricted to a part of its image: the same weights on fewer tokens."""

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
    """Processes a square of the image as the whole SAM would without any other tokens.

    Weights are shared, so that gradients reach the whole SAM's parameters. Position embeddings are
    cropped from the whole SAM's, not resampled, so that the training of the excerpt also applies to
    the whole SAM. A quarter of the tokens takes less than a quarter of the time.

    Args:
        whole: The SAM, which is not modified.
        spec: The backbone.
        size: Side length of the square, pixels; a multiple of the patch size, at most the SAM's own
            input size.
    """

    def __init__(self, whole: PromptableSAM, spec: Backbone, size: int) -> None:
        grid = token_grid(spec, (size, size))
        super().__init__(spec, (_encoder(whole.encoder, grid, size), _decoder(whole.decoder, grid)))
        # In a tuple, so that it is not registered as a submodule.
        self._whole = (whole,)
        self._patch = spec.patch
        self._corner = (0, 0)
        self.move(0, 0)

    @property
    def corners(self) -> int:
        """Number of rows, and of columns, at which the square can begin."""
        return self._whole[0].encoder.grid[0] - self.encoder.grid[0] + 1

    def move(self, row: int, column: int) -> None:
        """Moves the square to a token position; call it once per training step.

        Args:
            row: First row of the square, tokens.
            column: First column of the square, tokens.
        """
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
        """Predicts masks like the whole SAM, with prompts in the square's own pixels.

        Args:
            embedding: `(B, C, gh, gw)`.
            asked: n = B·P prompts, P per image; an image's prompts are adjacent.

        Returns:
            Logits `(n, 4, 4gh, 4gw)`, the single mask first, and predicted IoUs `(n, 4)`.
        """
        corner = torch.tensor(self._corner, dtype=torch.float32, device=embedding.device)
        moved = replace(
            asked,
            points=None if asked.points is None else asked.points + corner,
            boxes=None if asked.boxes is None else asked.boxes + corner.repeat(2),
        )
        return super().answer(embedding, moved)


def _encoder(whole: ImageEncoder, grid: tuple[int, int], size: int) -> ImageEncoder:
    """Copies the encoder's structure without position embeddings, which `move` sets."""
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
    """Copies the decoder for a smaller grid; points and boxes stay in the whole image's frame."""
    decoder = _twin(whole)
    decoder.grid, decoder.mask_size = grid, (4 * grid[0], 4 * grid[1])
    decoder.prompt_encoder = _twin(whole.prompt_encoder)
    decoder.prompt_encoder.image_embedding_size = grid
    return decoder


def _twin(module: Part) -> Part:
    """Copies a module with the same parameters and submodules, which can be replaced separately."""
    twin = copy.copy(module)
    twin._parameters = dict(module._parameters)
    twin._modules = dict(module._modules)
    return twin


def _middle(positions: Tensor, side: int) -> Tensor:
    """Crops relative positions `(2S - 1, c)` to distances below `side`, `(2 · side - 1, c)`."""
    extra = (len(positions) + 1) // 2 - side
    return positions[extra : len(positions) - extra]

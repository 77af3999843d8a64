"""SAM's prompt encoder and mask decoder for all volumes, slices and classes in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.placement import AdapterSet
from spsam.model.kernels.mask_upscaling import masks_of_tokens
from spsam.model.sam.backbones import Backbone, token_grid
from spsam.model.sam.two_way import TwoWayPass

NEGATIVE_POINT, POSITIVE_POINT, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2, 3
"""Indices of SAM's point embeddings: a point outside, a point inside, two corners of a box."""

FIRST_MASK_TOKEN = 1
"""Index of the token of SAM's single mask; the quality token precedes it."""


class DecoderPrompts(Protocol):
    """Points, a box and a mask for every slice and class; None for a kind that is not used.

    Points are (x, y) and boxes x1 y1 x2 y2, in pixel indices of the encoder's input. Masks are
    logits.
    """

    @property
    def points(self) -> Tensor | None:
        """Positive point of each class, `(B, D, K, 2)`."""
        ...

    @property
    def boxes(self) -> Tensor | None:
        """Box of each class, `(B, D, K, 4)`."""
        ...

    @property
    def masks(self) -> Tensor | None:
        """Mask prompt of each class, `(B, D, K, 1, 4gh, 4gw)`."""
        ...

    @property
    def present(self) -> Tensor:
        """Whether each class is in the slice, `(B, D, K)`."""
        ...

    @property
    def extra_points(self) -> Tensor | None:
        """Further points of each class, `(B, D, K, P, 2)`; None without any."""
        ...

    @property
    def extra_labels(self) -> Tensor | None:
        """Labels of further points, `(B, D, K, P)`: 1 in the class, 0 outside it, -1 no point."""
        ...


class DepthPosition(Protocol):
    """Interface of a depth position embedding in the mask decoder."""

    def decoder_position(self, image_pe: Tensor) -> Tensor:
        """Adds the depth position to `(1, C, gh, gw)`; returns `(1 or D, C, gh, gw)`."""
        ...


class PromptedMaskDecoder(nn.Module):
    """SAM's prompt encoder and mask decoder, frozen; adapters are passed in at each call.

    Args:
        spec: The backbone.
        encoder_size: (h, w) of the image encoder's input, pixels; the frame of points and boxes.

    Attributes:
        grid: (gh, gw), size of the token grid.
        mask_size: (4gh, 4gw), size of mask prompts and of predicted masks.
    """

    def __init__(self, spec: Backbone, encoder_size: tuple[int, int]) -> None:
        super().__init__()
        self.image_size = encoder_size
        self.grid = token_grid(spec, encoder_size)
        self.mask_size = (4 * self.grid[0], 4 * self.grid[1])
        self.prompt_encoder = PromptEncoder(
            embed_dim=spec.out_dim,
            image_embedding_size=self.grid,
            input_image_size=encoder_size,
            mask_in_chans=16,
        )
        self.mask_decoder = MaskDecoder(
            transformer_dim=spec.out_dim,
            transformer=TwoWayTransformer(
                depth=2,
                embedding_dim=spec.out_dim,
                num_heads=spec.decoder_heads,
                mlp_dim=spec.decoder_mlp_dim,
            ),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=spec.out_dim,
        )
        self.requires_grad_(False).eval()

    def forward(
        self,
        embedding: Tensor,
        prompts: DecoderPrompts,
        *,
        depth: int,
        adapters: AdapterSet,
        depth_pos: DepthPosition,
    ) -> Tensor:
        """Decodes SAM's single mask, that of the first mask token, for every slice and class.

        Args:
            embedding: `(B·D, C, gh, gw)`, the image encoder's neck output.
            prompts: Points, a box and a mask for every slice and class; each kind may be None.
            depth: D.
            adapters: Adapters of both two-way blocks and of the final attention.
            depth_pos: Adds each slice's depth position to the image position.

        Returns:
            `(B·D, K, 4gh, 4gw)` mask logits.
        """
        volumes, slices, classes = prompts.present.shape
        assert slices == depth, "prompts of another depth"
        assert embedding.shape[0] == volumes * depth, "prompts of other volumes"
        queries, keys = self.attend(
            embedding,
            self._sparse(prompts),
            self._dense(prompts),
            folded=(volumes, depth),
            adapters=adapters,
            depth_pos=depth_pos,
        )
        masks = self._single(queries, keys)
        return masks.reshape(volumes * depth, classes, *self.mask_size)

    def attend(
        self,
        embedding: Tensor,
        sparse: Tensor,
        dense: Tensor,
        *,
        folded: tuple[int, int],
        adapters: AdapterSet,
        depth_pos: DepthPosition,
    ) -> tuple[Tensor, Tensor]:
        """Computes the mutual attention of prompt tokens and image tokens.

        Args:
            embedding: `(B·D, C, gh, gw)`, the image encoder's neck output.
            sparse: `(B·D·K, T, C)` tokens of points and boxes.
            dense: `(B·D or 1, K or 1, C, gh or 1, gw or 1)`, embedding of the mask prompts, which
                is added to the image.
            folded: (B, D).
            adapters: Adapters of both two-way blocks and of the final attention.
            depth_pos: Adds each slice's depth position to the image position.

        Returns:
            Tokens `(B·D·K, 5 + T, C)`, starting with the quality token and the four mask tokens,
            and image tokens `(B·D·K, gh · gw, C)`.
        """
        tokens = torch.cat([self._output_tokens(sparse.shape[0]), sparse], dim=1)
        image = self._image(embedding, dense, sparse.shape[0] // embedding.shape[0])
        position = depth_pos.decoder_position(self.image_position())
        return TwoWayPass(
            transformer=self.mask_decoder.transformer,
            adapters=adapters,
            folded=folded,
            tokens=tokens,
            position=position.flatten(2).transpose(1, 2),
        ).run(image.flatten(2).transpose(1, 2))

    def every_mask(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts SAM's four masks and the quality of each; needed only to train SAM itself.

        Args:
            queries: Tokens from `attend`.
            keys: Image tokens from `attend`.

        Returns:
            Mask logits `(n, 4, 4gh, 4gw)`, the single mask first, and predicted IoUs `(n, 4)`.
        """
        count = self.mask_decoder.num_mask_tokens
        tokens = range(FIRST_MASK_TOKEN, FIRST_MASK_TOKEN + count)
        masks = self._masks(queries, keys, tokens)
        quality: Tensor = self.mask_decoder.iou_prediction_head(queries[:, 0])
        return masks.reshape(-1, count, *self.mask_size), quality

    def _image(self, embedding: Tensor, dense: Tensor, classes: int) -> Tensor:
        """Adds every class's mask prompt to the image, `(B·D·K, C, gh, gw)`."""
        image = embedding.unsqueeze(1) + dense  # (B·D, 1 or K, C, gh, gw)
        return image.expand(-1, classes, -1, -1, -1).flatten(0, 1)

    def _single(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Decodes SAM's single mask, `(B·D·K, 1, 4gh · 4gw)`."""
        return self._masks(queries, keys, (FIRST_MASK_TOKEN,))

    def _output_tokens(self, count: int) -> Tensor:
        """Repeats SAM's quality and mask tokens, `(count, 5, C)`."""
        decoder = self.mask_decoder
        tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        return tokens.expand(count, -1, -1)

    def image_position(self) -> Tensor:
        """Computes SAM's position encoding of the image tokens, `(1, C, gh, gw)`."""
        with _full_precision(self.prompt_encoder):
            position: Tensor = self.prompt_encoder.get_dense_pe()
        return position

    def _sparse(self, prompts: DecoderPrompts) -> Tensor:
        """Embeds points and boxes like SAM's prompt encoder, `(B·D·K, 0 to 3 + P, C)`.

        The prompt encoder's own method selects embeddings by boolean masks, which synchronises with
        a GPU; here, all are looked up by index.
        """
        kinds = self.prompt_encoder.point_embeddings
        parts: list[Tensor] = []
        if prompts.points is not None:
            point = self._place(prompts.points.reshape(-1, 1, 2))
            parts.append(point + kinds[POSITIVE_POINT].weight)
            if prompts.extra_points is not None and prompts.extra_labels is not None:
                parts.append(self._extra(prompts.extra_points, prompts.extra_labels))
            if prompts.boxes is None:
                # SAM adds a padding point to points without a box.
                padding = self.prompt_encoder.not_a_point_embed.weight
                parts.append(padding.expand(point.shape[0], -1, -1))
        if prompts.boxes is not None:
            corners = torch.cat([kinds[TOP_LEFT].weight, kinds[BOTTOM_RIGHT].weight])
            parts.append(self._place(prompts.boxes.reshape(-1, 2, 2)) + corners)
        if not parts:
            return prompts.present.new_zeros(
                (prompts.present.numel(), 0, self.prompt_encoder.embed_dim), dtype=torch.float32
            )
        return torch.cat(parts, dim=1)

    def _extra(self, points: Tensor, labels: Tensor) -> Tensor:
        """Embeds further points as tokens `(B·D·K, P, C)`.

        Args:
            points: `(B, D, K, P, 2)`.
            labels: `(B, D, K, P)`: 1 in the class, 0 outside it, -1 no point.
        """
        encoder = self.prompt_encoder
        labels = labels.flatten(0, 2)
        kinds = torch.cat(
            [
                encoder.not_a_point_embed.weight,
                encoder.point_embeddings[NEGATIVE_POINT].weight,
                encoder.point_embeddings[POSITIVE_POINT].weight,
            ]
        )
        # Padding has no position.
        places = self._place(points.flatten(0, 2)) * (labels >= 0).unsqueeze(2)
        return places + functional.embedding(labels + 1, kinds)

    def _place(self, coordinates: Tensor) -> Tensor:
        """Encodes positions of pixel indices (x, y) `(n, m, 2)` at pixel centres as `(n, m, C)`."""
        with _full_precision(self.prompt_encoder):
            placed: Tensor = self.prompt_encoder.pe_layer.forward_with_coords(
                coordinates.float() + 0.5, self.image_size
            )
        return placed

    def _dense(self, prompts: DecoderPrompts) -> Tensor:
        """Embeds mask prompts, `(B·D, K, C, gh, gw)`; without masks, `(1, 1, C, 1, 1)`."""
        if prompts.masks is None:
            none: Tensor = self.prompt_encoder.no_mask_embed.weight.reshape(1, 1, -1, 1, 1)
            return none
        dense: Tensor = self.prompt_encoder.mask_downscaling(prompts.masks.flatten(0, 2))
        return dense.reshape(-1, prompts.present.shape[2], *dense.shape[1:])

    def _masks(self, queries: Tensor, keys: Tensor, tokens: Sequence[int]) -> Tensor:
        """Decodes m mask tokens to masks `(n, m, 4gh · 4gw)`, given image tokens `(n, N, C)`."""
        decoder = self.mask_decoder
        weights = torch.stack(
            [
                decoder.output_hypernetworks_mlps[token - FIRST_MASK_TOKEN](queries[:, token])
                for token in tokens
            ],
            dim=1,
        )  # (n, m, C / 8)
        return masks_of_tokens(decoder.output_upscaling, keys, weights, self.grid)


def _full_precision(module: nn.Module) -> AbstractContextManager[None]:
    """Returns a context that disables autocast: in bf16, coordinates are off by a few pixels."""
    device = next(module.parameters()).device
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)

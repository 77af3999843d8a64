"""SAM's mask decoder, trained, with one mask token per class and without prompts."""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from spsam.model.adapters.placement import AdapterSet
from spsam.model.kernels.mask_upscaling import masks_of_tokens
from spsam.model.sam.mask_decoder import DepthPosition, PromptedMaskDecoder
from spsam.model.sam.two_way import TwoWayPass


class ClassMaskDecoder(nn.Module):
    """SAMed's variant of SAM's mask decoder (arXiv 2304.13785): K masks per slice at once.

    The transformer, the first two doublings, the quality token and the embedding of an absent mask
    prompt start from SAM's weights and are trained. Mask tokens and hypernetworks are initialised
    randomly. There are K + 1 mask tokens, as in SAM; the first, SAM's single mask, is not decoded.

    Args:
        sam: SAM's prompt encoder and mask decoder; its modules are reused, not copied.
        num_classes: K, number of classes including the background.
        full_resolution: Whether further doublings enlarge the masks to the size of the encoder's
            input, as in MA-SAM (arXiv 2309.08842), instead of four times the token grid. With
            tokens of 16 pixels, there are two further doublings.

    Attributes:
        mask_size: (h, w), the size of the masks.
    """

    position: Tensor

    def __init__(
        self, sam: PromptedMaskDecoder, num_classes: int, *, full_resolution: bool = False
    ) -> None:
        super().__init__()
        of_sam = sam.mask_decoder
        made = MaskDecoder(
            transformer_dim=of_sam.transformer_dim,
            transformer=of_sam.transformer,
            num_multimask_outputs=num_classes,
        )
        self.grid = sam.grid
        self.mask_size = sam.image_size if full_resolution else sam.mask_size
        self.transformer = of_sam.transformer
        self.upscaling = _upscaling(of_sam.output_upscaling, self.mask_size[0] // sam.mask_size[0])
        self.quality_token = of_sam.iou_token
        self.mask_tokens = made.mask_tokens
        self.hypernetworks = made.output_hypernetworks_mlps[1:]
        if full_resolution:
            last: Any = self.upscaling[-2]
            for network in self.hypernetworks:
                network.layers[-1] = nn.Linear(network.layers[-1].in_features, last.out_channels)
        self.no_mask = sam.prompt_encoder.no_mask_embed
        self.requires_grad_(True)
        self.register_buffer("position", sam.image_position().detach(), persistent=False)

    def forward(
        self, embedding: Tensor, *, depth: int, adapters: AdapterSet, depth_pos: DepthPosition
    ) -> Tensor:
        """Decodes all classes of every slice.

        Args:
            embedding: `(B·D, C, gh, gw)`, the image encoder's neck output.
            depth: D.
            adapters: Adapters of the two-way blocks and of the final attention.
            depth_pos: Adds each slice's depth position to the image position.

        Returns:
            `(B·D, K, h, w)` mask logits of `mask_size`.
        """
        count = embedding.shape[0]
        tokens = torch.cat([self.quality_token.weight, self.mask_tokens.weight])
        image = embedding + self.no_mask.weight.reshape(1, -1, 1, 1)
        queries, keys = TwoWayPass(
            transformer=self.transformer,
            adapters=adapters,
            folded=(count // depth, depth),
            tokens=tokens.expand(count, -1, -1),
            position=depth_pos.decoder_position(self.position).flatten(2).transpose(1, 2),
        ).run(image.flatten(2).transpose(1, 2))
        weights = torch.stack(
            [
                network(queries[:, token])
                # The first two tokens are the quality token and SAM's single mask.
                for token, network in enumerate(self.hypernetworks, start=2)
            ],
            dim=1,
        )  # (B·D, K, C / 8)
        masks = masks_of_tokens(self.upscaling, keys, weights, self.grid)
        return masks.reshape(count, -1, *self.mask_size)


def _upscaling(of_sam: nn.Sequential, scale: int) -> nn.Sequential:
    """Extends SAM's two doublings up to a scale; each further doubling halves the channels."""
    layers: list[Any] = list(of_sam)
    for _ in range(scale.bit_length() - 1):
        channels = layers[-2].out_channels
        layers[-1:] = [
            LayerNorm2d(channels),
            nn.GELU(),
            nn.ConvTranspose2d(channels, channels // 2, kernel_size=2, stride=2),
            nn.GELU(),
        ]
    return nn.Sequential(*layers)

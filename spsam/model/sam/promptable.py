"""Plain SAM: any points, boxes and masks for one image at a time.

Self-Prompt SAM never uses this; SAM's own training and the measure of its quality do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from spsam.model.adapters.placement import AdapterSet
from spsam.model.depth_pos_embeds.none import NoDepthPosEmbed
from spsam.model.sam.backbones import Backbone
from spsam.model.sam.image_encoder import ImageEncoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder


@dataclass(frozen=True)
class Asked:
    """Prompts for n masks; None for a kind that is not used.

    Attributes:
        points: `(n, P, 2)` (x, y) pixel indices.
        labels: `(n, P)`, 1 in the mask, 0 outside it.
        boxes: `(n, 4)` x1 y1 x2 y2.
        masks: `(n, 1, 4gh, 4gw)` logits.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None

    def corrected(
        self, answer: Tensor, target: Tensor, logits: Tensor, rng: np.random.Generator
    ) -> Asked:
        """The same prompts, the answer as mask prompt and a point where it was wrong.

        Args:
            answer: `(n, H, W)` bool.
            target: `(n, H, W)` bool.
            logits: `(n, 1, 4gh, 4gw)` of the answer.
            rng: Draws the point among all wrong pixels; where none is, it is one of the mask's.
        """
        wrong = answer ^ target
        wrong = torch.where(wrong.flatten(1).any(dim=1)[:, None, None], wrong, target)
        shares = torch.from_numpy(rng.random((len(wrong), wrong[0].numel()), np.float32))
        place = (shares.to(wrong.device) * wrong.flatten(1)).argmax(dim=1)
        width = wrong.shape[2]
        point = torch.stack([place % width, place // width], dim=1)[:, None].float()
        label = target.flatten(1).gather(1, place[:, None]).float()
        return replace(
            self,
            points=point if self.points is None else torch.cat([self.points, point], dim=1),
            labels=label if self.labels is None else torch.cat([self.labels, label], dim=1),
            masks=logits,
        )


class PromptableSAM(nn.Module):
    """The image encoder, prompt encoder and mask decoder at SAM's native input size.

    Args:
        spec: Which SAM.

    Attributes:
        encoder: The image encoder.
        decoder: The prompt encoder and mask decoder.
    """

    def __init__(
        self,
        spec: Backbone,
        parts: tuple[ImageEncoder, PromptedMaskDecoder] | None = None,
    ) -> None:
        super().__init__()
        size = (spec.native_size, spec.native_size)
        self.encoder, self.decoder = parts or (
            ImageEncoder(spec, size),
            PromptedMaskDecoder(spec, size),
        )
        self._no_adapters = AdapterSet(
            None,
            encoder_dim=spec.embed_dim,
            encoder_blocks=spec.depth,
            decoder_dim=spec.out_dim,
        )
        self._no_depth = NoDepthPosEmbed(spec.embed_dim, spec.out_dim, 1, self.encoder.grid)

    def embed(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)` pictures to embeddings `(B, C, gh, gw)`."""
        neck: Tensor
        _, neck = self.encoder(
            images, depth=1, adapters=self._no_adapters, depth_pos=self._no_depth
        )
        return neck

    def answer(self, embedding: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
        """All of SAM's answers to prompts.

        Args:
            embedding: `(B, C, gh, gw)`.
            asked: n = B·P prompts, P a picture, a picture's next to each other.

        Returns:
            Logits `(n, 4, 4gh, 4gw)`, the single mask first, and predicted IoUs `(n, 4)`.
        """
        points = None
        if asked.points is not None:
            assert asked.labels is not None
            points = (asked.points, asked.labels)
        sparse, dense = self.decoder.prompt_encoder(points, asked.boxes, asked.masks)
        queries, keys = self.decoder.attend(
            embedding,
            sparse,
            dense.reshape(len(embedding), -1, *dense.shape[1:]),
            folded=(len(embedding), 1),
            adapters=self._no_adapters,
            depth_pos=self._no_depth,
        )
        return self.decoder.every_mask(queries, keys)

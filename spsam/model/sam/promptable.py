"""Plain SAM: any points, boxes and masks for one image at a time.

It is used to train SAM itself and to measure its quality, never within Self-Prompt SAM.
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
        """Adds the prediction as mask prompt and a point where the prediction is wrong.

        Args:
            answer: `(n, H, W)` bool, the predicted masks.
            target: `(n, H, W)` bool, the true masks.
            logits: `(n, 1, 4gh, 4gw)` logits of the prediction.
            rng: Draws the point from all wrong pixels, or from the true mask if there are none.

        Returns:
            The extended prompts.
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
        spec: The backbone.
        parts: Image encoder and mask decoder; None builds both.

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
        """Encodes images `(B, 3, H, W)` as embeddings `(B, C, gh, gw)`."""
        neck: Tensor
        _, neck = self.encoder(
            images, depth=1, adapters=self._no_adapters, depth_pos=self._no_depth
        )
        return neck

    def answer(self, embedding: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
        """Predicts all of SAM's masks for prompts.

        Args:
            embedding: `(B, C, gh, gw)`.
            asked: n = B·P prompts, P per image; an image's prompts are adjacent.

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

"""What a prompt component is, and everything in it but the choice of the point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spsam.errors import InputError, nearest
from spsam.model.layers import resize_in_plane
from spsam.model.prompts.extract import Prompts, bounding_boxes
from spsam.model.prompts.points import Flags, Indices, Labels

__all__ = ["Prompt", "Prompts"]

KINDS = ("point", "box", "mask")
MASKS = ("logits", "binary")


class Prompt(nn.Module, ABC):
    """Makes SAM's prompts of auxiliary logits: a point, a box and a mask a class and slice.

    Components differ in `points`, the rule that chooses the point. No parameters.

    Args:
        num_classes: K, background included.
        use: Which prompts SAM gets.
        mask: What a mask prompt is: the class's logits, or 1 in the class and 0 elsewhere.
    """

    def __init__(self, num_classes: int, use: Sequence[str], mask: str) -> None:
        super().__init__()
        for kind in use:
            if kind not in KINDS:
                raise InputError(f"unknown kind of prompt '{kind}'{nearest(kind, KINDS)}")
        if not use:
            raise InputError(f"SAM needs at least one kind of prompt of {', '.join(KINDS)}")
        if mask not in MASKS:
            raise InputError(f"unknown mask prompt '{mask}'{nearest(mask, MASKS)}")
        self.num_classes = num_classes
        self.use = tuple(use)
        self.mask = mask

    @abstractmethod
    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """One point of every class in every slice.

        Args:
            labels: `(N, H, W)` class indices.
            boxes: `(N, K, 4)` tight bounding boxes, x1 y1 x2 y2, inclusive pixel indices.
            present: `(N, K)` whether the class is in the slice.

        Returns:
            `(N, K, 2)` (x, y) pixel indices, zero for an absent class.
        """

    def forward(
        self, logits: Tensor, encoder_size: tuple[int, int], mask_size: tuple[int, int]
    ) -> Prompts:
        """From auxiliary logits to prompts.

        Args:
            logits: `(B, K, D, H, W)`.
            encoder_size: (h, w) of the encoder's input, the frame of points and boxes, pixels.
            mask_size: (4gh, 4gw) of a mask prompt.

        Returns:
            Points `(B, D, K, 2)` and boxes `(B, D, K, 4)` in the encoder's frame, float32 and
            without gradient, presence `(B, D, K)`, and masks `(B, D, K, 1, 4gh, 4gw)`, which keep
            the gradient where they are logits. What is not in `use` is None.
        """
        labels = logits.detach().argmax(dim=1)
        maps = labels.flatten(0, 1).to(_smallest(self.num_classes)).cpu().numpy()
        boxes, present = bounding_boxes(maps, self.num_classes)
        scale = [size / old for size, old in zip(encoder_size, logits.shape[3:], strict=True)]

        def framed(pixels: Indices) -> Tensor:
            return unfold(to_frame(pixels, present, (scale[1], scale[0])))

        def unfold(slices: NDArray[Any]) -> Tensor:
            array = slices.reshape(*labels.shape[:2], *slices.shape[1:])
            return torch.from_numpy(array).to(logits.device)

        return Prompts(
            points=framed(self.points(maps, boxes, present)) if "point" in self.use else None,
            boxes=framed(boxes) if "box" in self.use else None,
            present=unfold(present),
            masks=self._masks(logits, labels, mask_size) if "mask" in self.use else None,
        )

    def _masks(self, logits: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """`(B, D, K, 1, 4gh, 4gw)` mask prompts, of the logits' type."""
        if self.mask == "logits":
            masks = resize_in_plane(logits, size)
        else:
            # The label nearest to each pixel's centre: what is binary stays binary.
            small = functional.interpolate(labels.float(), size=size, mode="nearest-exact")
            classes = torch.arange(self.num_classes, device=small.device)
            masks = (small[:, None] == classes.view(-1, 1, 1, 1)).to(logits.dtype)
        return masks.transpose(1, 2).unsqueeze(3)


def to_frame(pixels: Indices, present: Flags, scale: tuple[float, float]) -> NDArray[np.float32]:
    """Pixel indices of one frame as places in another that is `scale` times as large.

    Pixel centres stay pixel centres: index i is the place i + 0.5, so (i + 0.5)·s - 0.5.

    Args:
        pixels: `(N, K, 2n)`, x and y in turn.
        present: `(N, K)`; what is absent stays zero.
        scale: (x, y).

    Returns:
        The same shape, float32.
    """
    factor = np.tile(scale, pixels.shape[-1] // 2)
    placed = (pixels + 0.5) * factor - 0.5
    return np.where(present[..., None], placed, 0).astype(np.float32)


def _smallest(num_classes: int) -> torch.dtype:
    """A type that holds K as well: the distance transform takes labels shifted by one."""
    return torch.uint8 if num_classes <= torch.iinfo(torch.uint8).max else torch.int32

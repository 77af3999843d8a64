"""Prompts with pixels far from each other for a point."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from spsam.errors import InputError
from spsam.model.prompts.base import Prompt
from spsam.model.prompts.rules import points, torch_points
from spsam.model.prompts.types import Flags, Indices, Labels


class FarthestPrompt(Prompt):
    """Several points: the most central pixel, then each time the one farthest from all before.

    Of equals the first in row-major order. An object of fewer pixels has fewer points.

    Args:
        num_classes: K, background included.
        use: Which prompts SAM gets.
        mask: What a mask prompt is: the class's logits, or 1 in the class and 0 elsewhere.
        count: How many points.
        negatives: How many points near the class say that it is not there.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        use: tuple[Literal["point", "box", "mask"], ...] = ("point", "box", "mask"),
        mask: Literal["logits", "binary"] = "logits",
        count: int = 3,
        negatives: int = 0,
    ) -> None:
        super().__init__(num_classes, use, mask, negatives)
        if count < 1:
            raise InputError(f"an object needs at least one point: got count {count}")
        self.count = count

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """`(N, H, W)` label maps to `(N, K, count, 2)` (x, y) pixel indices."""
        return points.farthest_points(labels, boxes, present, count=self.count)

    def points_on_device(self, labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
        """The same pixels, of tensors."""
        return torch_points.farthest_points(labels, boxes, present, count=self.count)

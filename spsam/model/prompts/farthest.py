"""Point strategy: several points far from each other."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from spsam.errors import InputError
from spsam.model.prompts.base import Prompt
from spsam.model.prompts.rules import points, torch_points
from spsam.model.prompts.types import Flags, Indices, Labels


class FarthestPrompt(Prompt):
    """Selects the most central pixel, then repeatedly the pixel farthest from all previous points.

    Ties are resolved in row-major order. An object with fewer pixels than `count` has fewer points.

    Args:
        count: Number of points.
    """

    def __init__(self, num_classes: int, *, count: int = 3, **base: Any) -> None:
        super().__init__(num_classes, **base)
        if count < 1:
            raise InputError(f"count must be at least 1: got {count}")
        self.count = count

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """Selects (x, y) pixel indices `(N, K, count, 2)` from label maps `(N, H, W)`."""
        return points.farthest_points(labels, boxes, present, count=self.count)

    def points_on_device(self, labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
        """Computes the same pixels from tensors."""
        return torch_points.farthest_points(labels, boxes, present, count=self.count)

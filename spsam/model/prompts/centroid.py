"""Prompts with the centre of gravity for a point."""

from __future__ import annotations

from typing import Literal

from spsam.model.prompts.base import Prompt
from spsam.model.prompts.points import Flags, Indices, Labels, centroid


class CentroidPrompt(Prompt):
    """The point is the mean of the object's pixels, which may lie outside the object (a ring).

    Args:
        num_classes: K, background included.
        use: Which prompts SAM gets.
        mask: What a mask prompt is: the class's logits, or 1 in the class and 0 elsewhere.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        use: tuple[Literal["point", "box", "mask"], ...] = ("point", "box", "mask"),
        mask: Literal["logits", "binary"] = "logits",
    ) -> None:
        super().__init__(num_classes, use, mask)

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """`(N, H, W)` label maps to `(N, K, 2)` (x, y) pixel indices."""
        return centroid(labels, boxes, present)

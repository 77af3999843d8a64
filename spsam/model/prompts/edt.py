"""Prompts with the most central point, by the Euclidean distance transform."""

from __future__ import annotations

from typing import Literal

from spsam.model.prompts.base import Prompt
from spsam.model.prompts.points import Flags, Indices, Labels, farthest_from_boundary


class EdtPrompt(Prompt):
    """The point is the pixel farthest from the boundary (paper's Sec. 2.2), see `points.py`.

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
        return farthest_from_boundary(labels, boxes, present)

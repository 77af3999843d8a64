"""Prompts with any pixel of the object for a point."""

from __future__ import annotations

from typing import Literal

from spsam.errors import InputError
from spsam.model.prompts.base import Prompt
from spsam.model.prompts.rules import points
from spsam.model.prompts.types import Flags, Indices, Labels


class RandomPrompt(Prompt):
    """The point is a random pixel of the object; the same label maps give the same points.

    The draws depend on all pixels' values as NumPy sees them: a GPU's label maps are copied to the
    host.

    Args:
        num_classes: K, background included.
        use: Which prompts SAM gets.
        mask: What a mask prompt is: the class's logits, or 1 in the class and 0 elsewhere.
        seed: Of the draws, not negative.
        negatives: How many points near the class say that it is not there.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        use: tuple[Literal["point", "box", "mask"], ...] = ("point", "box", "mask"),
        mask: Literal["logits", "binary"] = "logits",
        seed: int = 0,
        negatives: int = 0,
    ) -> None:
        super().__init__(num_classes, use, mask, negatives)
        if seed < 0:
            raise InputError(f"a seed is not negative: got {seed}")
        self.seed = seed

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """`(N, H, W)` label maps to `(N, K, 2)` (x, y) pixel indices."""
        return points.random_pixel(labels, boxes, present, seed=self.seed)

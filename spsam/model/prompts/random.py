"""Point strategy: a random pixel of the object."""

from __future__ import annotations

from typing import Any

from spsam.errors import InputError
from spsam.model.prompts.base import Prompt
from spsam.model.prompts.rules import points
from spsam.model.prompts.types import Flags, Indices, Labels


class RandomPrompt(Prompt):
    """The point is a random pixel of the object; the same label maps give the same points.

    The draws depend on all pixels' values as NumPy sees them: a GPU's label maps are copied to the
    host.

    Args:
        seed: Of the draws, not negative.
    """

    def __init__(self, num_classes: int, *, seed: int = 0, **base: Any) -> None:
        super().__init__(num_classes, **base)
        if seed < 0:
            raise InputError(f"a seed is not negative: got {seed}")
        self.seed = seed

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """`(N, H, W)` label maps to `(N, K, 2)` (x, y) pixel indices."""
        return points.random_pixel(labels, boxes, present, seed=self.seed)

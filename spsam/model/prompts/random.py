"""Point strategy: a random pixel of the object."""

from __future__ import annotations

from typing import Any

from spsam.errors import InputError
from spsam.model.prompts.base import Prompt
from spsam.model.prompts.rules import points
from spsam.model.prompts.types import Flags, Indices, Labels


class RandomPrompt(Prompt):
    """Selects a random pixel of the object; equal label maps result in equal points.

    The draws depend on a checksum of the label map, which is computed on the host. Label maps on a
    GPU are therefore copied to the host.

    Args:
        seed: Seed of the draws, not negative.
    """

    def __init__(self, num_classes: int, *, seed: int = 0, **base: Any) -> None:
        super().__init__(num_classes, **base)
        if seed < 0:
            raise InputError(f"seed must be at least 0: got {seed}")
        self.seed = seed

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """Selects the (x, y) pixel indices `(N, K, 2)` from label maps `(N, H, W)`."""
        return points.random_pixel(labels, boxes, present, seed=self.seed)

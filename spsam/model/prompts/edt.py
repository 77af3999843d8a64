"""Point strategy: the pixel farthest from the boundary."""

from __future__ import annotations

from torch import Tensor

from spsam.model.prompts.base import Prompt
from spsam.model.prompts.rules import points, torch_points
from spsam.model.prompts.types import Flags, Indices, Labels


class EdtPrompt(Prompt):
    """The point is the pixel farthest from the boundary (paper's Sec. 2.4), exactly."""

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """`(N, H, W)` label maps to `(N, K, 2)` (x, y) pixel indices."""
        return points.farthest_from_boundary(labels, boxes, present)

    def points_on_device(self, labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
        """The same pixels, of tensors."""
        return torch_points.farthest_from_boundary(labels, boxes, present)

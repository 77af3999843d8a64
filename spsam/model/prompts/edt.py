"""Point strategy: the pixel farthest from the boundary."""

from __future__ import annotations

from torch import Tensor

from spsam.model.prompts.base import Prompt
from spsam.model.prompts.rules import points, torch_points
from spsam.model.prompts.types import Flags, Indices, Labels


class EdtPrompt(Prompt):
    """Selects the pixel farthest from the boundary, computed exactly (paper's Sec. 2.4)."""

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """Selects the (x, y) pixel indices `(N, K, 2)` from label maps `(N, H, W)`."""
        return points.farthest_from_boundary(labels, boxes, present)

    def points_on_device(self, labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
        """Computes the same pixels from tensors."""
        return torch_points.farthest_from_boundary(labels, boxes, present)

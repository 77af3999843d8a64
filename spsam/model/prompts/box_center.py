"""Point strategy: the centre of the box."""

from __future__ import annotations

from torch import Tensor

from spsam.model.prompts.base import Prompt
from spsam.model.prompts.rules import points, torch_points
from spsam.model.prompts.types import Flags, Indices, Labels


class BoxCenterPrompt(Prompt):
    """Selects the centre of the bounding box, which may be outside the object, as in a ring."""

    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """Selects the (x, y) pixel indices `(N, K, 2)` from label maps `(N, H, W)`."""
        return points.box_center(labels, boxes, present)

    def points_on_device(self, labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
        """Computes the same pixels from tensors."""
        return torch_points.box_center(labels, boxes, present)

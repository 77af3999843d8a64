"""One point and one box of every class in every slice of a label map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import TypeVar

from spsam.errors import InputError, nearest
from spsam.model.prompts.points import (
    Flags,
    Indices,
    Labels,
    PointRule,
    box_center,
    centroid,
    farthest_from_boundary,
    random_pixel,
)

ArrayT = TypeVar("ArrayT", default=Tensor)

RULES: dict[str, Callable[[int], PointRule]] = {
    "edt": lambda seed: farthest_from_boundary,
    "random": lambda seed: partial(random_pixel, seed=seed),
    "box_center": lambda seed: box_center,
    "centroid": lambda seed: centroid,
}


@dataclass(frozen=True, eq=False)
class Prompts(Generic[ArrayT]):
    """Prompts of every class in every slice, tensors or arrays.

    `...` is `N` for label maps `(N, H, W)` and `B, D` for a network's patches.

    Attributes:
        points: `(..., K, 2)`, (x, y): pixel indices of label maps, or the same places in SAM's
            input frame; None where points are not used.
        boxes: `(..., K, 4)`, x1 y1 x2 y2 of the outermost pixels, both inside; None where boxes
            are not used.
        present: `(..., K)` bool, whether the class is in the slice. Points and boxes of an absent
            class are zero.
        masks: `(B, D, K, 1, 4gh, 4gw)`, mask prompts; None where masks are not used.
    """

    points: ArrayT | None
    boxes: ArrayT | None
    present: ArrayT
    masks: ArrayT | None = None


@overload
def extract_prompts(
    labels: NDArray[Any], num_classes: int, point: str = ..., *, seed: int = ...
) -> Prompts[NDArray[Any]]: ...


@overload
def extract_prompts(
    labels: Tensor, num_classes: int, point: str = ..., *, seed: int = ...
) -> Prompts[Tensor]: ...


def extract_prompts(
    labels: NDArray[Any] | Tensor, num_classes: int, point: str = "edt", *, seed: int = 0
) -> Prompts[NDArray[Any]] | Prompts[Tensor]:
    """Points and boxes of all classes in all slices, exactly (paper's Sec. 2.2).

    Args:
        labels: `(N, H, W)` class indices, of an integer type.
        num_classes: K, background included.
        point: `edt`, the pixel farthest from the boundary; `random`, any pixel of the class;
            `box_center`; `centroid`. The last two may lie outside the object.
        seed: For `random`.

    Returns:
        Points `(N, K, 2)` and boxes `(N, K, 4)`, int64 pixel indices of the label maps, boxes'
        corners inclusive, and presence `(N, K)`, bool. Arrays for an array, tensors on the same
        device for a tensor.

    Raises:
        InputError: If the label maps are not `(N, H, W)` integers in 0 … K-1, or the point rule
            is unknown.
    """
    if point not in RULES:
        raise InputError(f"unknown point rule '{point}'{nearest(point, RULES)}")
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    small = _checked(array, num_classes)
    boxes, present = bounding_boxes(small, num_classes)
    points = RULES[point](seed)(small, boxes, present)
    if isinstance(labels, Tensor):
        tensors = (torch.from_numpy(part).to(labels.device) for part in (points, boxes, present))
        return Prompts(*tensors)
    return Prompts(points, boxes, present)


def bounding_boxes(labels: Labels, num_classes: int) -> tuple[Indices, Flags]:
    """Tight bounding boxes of all classes in all slices.

    Args:
        labels: `(N, H, W)` class indices.
        num_classes: K.

    Returns:
        `(N, K, 4)` x1 y1 x2 y2, inclusive pixel indices, zero for an absent class, and presence
        `(N, K)`.
    """
    count, height, width = labels.shape
    rows = np.empty((count, num_classes, height), dtype=np.bool_)
    columns = np.empty((count, num_classes, width), dtype=np.bool_)
    for k in range(num_classes):
        mask = labels == k
        mask.any(axis=2, out=rows[:, k])
        mask.any(axis=1, out=columns[:, k])
    present = np.any(rows, axis=2)
    boxes = np.stack(
        [
            columns.argmax(axis=2),
            rows.argmax(axis=2),
            width - 1 - columns[..., ::-1].argmax(axis=2),
            height - 1 - rows[..., ::-1].argmax(axis=2),
        ],
        axis=2,
    )
    boxes[~present] = 0
    return boxes.astype(np.int64, copy=False), present


def _checked(labels: NDArray[Any], num_classes: int) -> Labels:
    """The label maps in the smallest type that also holds K, without copying where it is that."""
    if num_classes < 1:
        raise InputError(f"there is at least one class, background: got num_classes {num_classes}")
    if labels.ndim != 3 or 0 in labels.shape[1:]:
        raise InputError(f"expected label maps of shape (N, H, W), got {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"expected label maps of an integer type, got {labels.dtype}")
    if labels.size:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            raise InputError(
                f"labels of {num_classes} classes are 0 to {num_classes - 1}, "
                f"got values from {low} to {high}"
            )
    return labels.astype(np.min_scalar_type(num_classes), copy=False)

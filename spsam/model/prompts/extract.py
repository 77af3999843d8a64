"""Extraction of points and boxes from label maps (public function)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spsam.errors import InputError, nearest
from spsam.model.prompts.base import Prompt
from spsam.model.prompts.box_center import BoxCenterPrompt
from spsam.model.prompts.centroid import CentroidPrompt
from spsam.model.prompts.edt import EdtPrompt
from spsam.model.prompts.farthest import FarthestPrompt
from spsam.model.prompts.medoid import MedoidPrompt
from spsam.model.prompts.random import RandomPrompt
from spsam.model.prompts.types import Prompts

__all__ = ["RULES", "Prompts", "extract_prompts"]

RULES: dict[str, Callable[..., Prompt]] = {
    "edt": EdtPrompt,
    "random": RandomPrompt,
    "box_center": BoxCenterPrompt,
    "centroid": CentroidPrompt,
    "medoid": MedoidPrompt,
    "farthest": FarthestPrompt,
}
"""The shipped components. For your own component, call `YourPrompt(K).extract(labels)` instead."""


@overload
def extract_prompts(
    labels: NDArray[Any],
    num_classes: int,
    point: str = ...,
    *,
    seed: int = ...,
    count: int = ...,
    negatives: int = ...,
) -> Prompts[NDArray[Any]]: ...


@overload
def extract_prompts(
    labels: Tensor,
    num_classes: int,
    point: str = ...,
    *,
    seed: int = ...,
    count: int = ...,
    negatives: int = ...,
) -> Prompts[Tensor]: ...


def extract_prompts(
    labels: NDArray[Any] | Tensor,
    num_classes: int,
    point: str = "edt",
    *,
    seed: int = 0,
    count: int = 3,
    negatives: int = 0,
) -> Prompts[NDArray[Any]] | Prompts[Tensor]:
    """Extracts points and boxes of all classes in all slices, exactly (paper's Sec. 2.4).

    Args:
        labels: `(N, H, W)` class indices, of an integer type.
        num_classes: K, number of classes including the background.
        point: `edt`, the pixel farthest from the boundary; `random`, any pixel of the class;
            `box_center`; `centroid`; `medoid`, the class's pixel nearest to the centroid;
            `farthest`, several points. Box centre and centroid may be outside the object.
        seed: Seed of `random`.
        count: Number of points of `farthest`.
        negatives: Number of negative points, near the class but outside it.

    Returns:
        Points `(N, K, 2)` and boxes `(N, K, 4)`, int64 pixel indices in the label maps, with
        inclusive corners of boxes, and presence `(N, K)`, bool. Strategies with several points
        add further points `(N, K, P, 2)` and their labels `(N, K, P)`. Arrays for an array,
        tensors on the same device for a tensor.

    Raises:
        InputError: If the label maps are not `(N, H, W)` integers in 0 … K-1, or the point
            strategy is unknown.
    """
    if point not in RULES:
        raise InputError(f"unknown point strategy '{point}'{nearest(point, RULES)}")
    own = {"random": {"seed": seed}, "farthest": {"count": count}}.get(point, {})
    component = RULES[point](num_classes, negatives=negatives, **own)
    if isinstance(labels, Tensor):
        _check(labels, not _is_integer(labels.dtype), num_classes)
        return component.extract(labels)
    labels = np.asarray(labels)
    _check(labels, not np.issubdtype(labels.dtype, np.integer), num_classes)
    return component.extract(labels)


def _check(labels: NDArray[Any] | Tensor, fractional: bool, num_classes: int) -> None:
    """Validates label maps; reading their minimum and maximum synchronises with a GPU."""
    if num_classes < 1:
        raise InputError(f"num_classes must be at least 1 (the background): got {num_classes}")
    if labels.ndim != 3 or 0 in labels.shape[1:]:
        raise InputError(f"expected label maps of shape (N, H, W), got {tuple(labels.shape)}")
    if fractional:
        raise InputError(f"expected label maps of an integer type, got {labels.dtype}")
    if 0 in labels.shape:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise InputError(
            f"labels of {num_classes} classes must be 0 to {num_classes - 1}, "
            f"got values from {low} to {high}"
        )


def _is_integer(kind: torch.dtype) -> bool:
    return not (kind.is_floating_point or kind.is_complex or kind == torch.bool)

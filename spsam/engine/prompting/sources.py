"""Sources of prompts: the ground truth, intact or disturbed, as logits for a prompt component."""

from __future__ import annotations

import zlib
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from spsam.config.prompt_study import Disturbance
from spsam.data.labels import IGNORED
from spsam.model.prompts.base import Prompts

Labels = NDArray[np.int64]

NO_POINT = -1
"""SAM's label of a padding point."""


def generator(seed: int, *about: object) -> np.random.Generator:
    """Creates a random generator that depends only on a seed and a description of the draws.

    Args:
        seed: Seed of the study.
        about: Values that identify the draws.
    """
    return np.random.default_rng([seed, zlib.crc32(repr(about).encode())])


def label_logits(labels: Tensor, num_classes: int, amount: float) -> Tensor:
    """Converts a label map to logits with one absolute value.

    Ignored voxels become background, which is prompted only for a mask head.

    Args:
        labels: `(B, D, H, W)` class indices, or `IGNORED`.
        num_classes: K.
        amount: Logit inside a class; its negative outside.

    Returns:
        `(B, K, D, H, W)` float32.
    """
    labels = labels.clamp(min=0)
    classes = torch.arange(num_classes, device=labels.device).view(1, -1, 1, 1, 1)
    return torch.where(labels[:, None] == classes, amount, -amount).float()


def disturbed_labels(labels: Labels, disturbance: Disturbance) -> Labels:
    """Erodes or dilates label maps in each slice.

    Args:
        labels: `(..., H, W)` class indices; ignored pixels count as background.
        disturbance: Provides `erode` and `dilate`, pixels. The image's border does not erode a
            class.

    Returns:
        The same shape. A pixel that several classes reach is assigned to one of the nearest.
    """
    result = np.maximum(labels, 0)
    for index in np.ndindex(labels.shape[:-2]):
        if disturbance.erode:
            result[index] = _eroded(result[index], disturbance.erode)
        if disturbance.dilate:
            result[index] = _dilated(result[index], disturbance.dilate)
    return result


def without_ignored_points(
    prompts: Prompts, reference: Tensor, scale: tuple[float, float]
) -> Prompts:
    """Removes further points, mainly negative ones, in ignored pixels.

    Args:
        prompts: `(B, D, K, …)` in the encoder's frame.
        reference: `(B, D, H, W)` class indices, or `IGNORED`.
        scale: (x, y), size of a reference pixel in pixels of the frame.
    """
    places, kinds = prompts.extra_points, prompts.extra_labels
    if places is None or kinds is None:
        return prompts
    height, width = reference.shape[2:]
    x, y = (
        ((places[..., axis] + 0.5) / scale[axis] - 0.5).round().long().clamp(0, size - 1)
        for axis, size in enumerate((width, height))
    )
    flat = reference.flatten(2).gather(2, (y * width + x).flatten(2)).reshape(kinds.shape)
    return replace(prompts, extra_labels=torch.where(flat == IGNORED, NO_POINT, kinds))


def dropped(present: Tensor, probability: float, draws: np.random.Generator) -> Tensor:
    """Removes foreground classes at random.

    Args:
        present: `(B, D, K)`, presence of the classes; class 0 is kept.
        probability: Probability of removing a class in a slice.
        draws: Random generator.

    Returns:
        The same shape.
    """
    kept = draws.random(tuple(present.shape)) >= probability
    kept[..., 0] = True
    return present & torch.from_numpy(kept).to(present.device)


def disturbed_prompts(
    prompts: Prompts,
    disturbance: Disturbance,
    draws: np.random.Generator,
    *,
    frame: tuple[int, int],
    scale: tuple[float, float],
) -> Prompts:
    """Moves sides of boxes and points, and removes the prompts of some classes.

    Args:
        prompts: `(B, D, K, …)` in the encoder's frame.
        disturbance: Provides `box_jitter`, `point_shift` and `drop`.
        draws: Random generator; the draws do not depend on the amounts.
        frame: (h, w) of the encoder's input, which limits all positions.
        scale: (x, y), size of a label map's pixel in pixels of the frame.

    Returns:
        New prompts; absent entries stay zero.
    """
    shape = tuple(prompts.present.shape)
    device = prompts.present.device
    sides = torch.from_numpy(draws.uniform(-1, 1, (*shape, 4))).to(device, torch.float32)
    angle = draws.uniform(0, 2 * np.pi, shape)
    direction = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    offset = direction.to(device, torch.float32) * torch.tensor(scale, device=device)
    present = dropped(prompts.present, disturbance.drop, draws)
    limit = torch.tensor([frame[1] - 1.0, frame[0] - 1.0], device=device)
    changes: dict[str, Any] = {"present": present}
    if prompts.boxes is not None:
        moved = _jittered(prompts.boxes, sides * disturbance.box_jitter, limit)
        changes["boxes"] = moved * present[..., None]
    # All points of a class are moved together.
    for name in _named(prompts, "points"):
        points = getattr(prompts, name)
        shift = (offset * disturbance.point_shift).reshape(
            *shape, *[1] * (points.ndim - len(shape) - 1), 2
        )
        there = present.reshape(*shape, *[1] * (points.ndim - len(shape)))
        changes[name] = torch.minimum((points + shift).clamp(min=0), limit) * there
    for name in _named(prompts, "extra_labels"):
        changes[name] = torch.where(present[..., None], getattr(prompts, name), NO_POINT)
    if prompts.masks is not None:
        # An empty mask prompt: the lowest value of all masks.
        lowest = prompts.masks.amin()
        gone = (prompts.present & ~present).reshape(*shape, 1, 1, 1)
        changes["masks"] = torch.where(gone, lowest, prompts.masks)
    return replace(prompts, **changes)


def only(prompts: Prompts, use: tuple[str, ...]) -> Prompts:
    """Removes the kinds of prompts that are not in use.

    Args:
        prompts: `(B, D, K, …)`.
        use: Kinds to keep.
    """
    taken = {"point": ("points", "extra_labels"), "box": ("boxes",), "mask": ("masks",)}
    left_out = [
        name
        for kind, endings in taken.items()
        if kind not in use
        for ending in endings
        for name in _named(prompts, ending)
    ]
    nothing: dict[str, Any] = dict.fromkeys(left_out)
    return replace(prompts, **nothing)


def from_class(prompts: Prompts, first: int) -> Prompts:
    """Removes the first classes from prompts.

    Args:
        prompts: `(B, D, K, …)`.
        first: First class to keep.
    """
    if first == 0:
        return prompts
    return replace(
        prompts, **{name: getattr(prompts, name)[:, :, first:] for name in _named(prompts)}
    )


def _named(prompts: Prompts, ending: str = "") -> list[str]:
    return [
        field.name
        for field in fields(prompts)
        if field.name.endswith(ending) and getattr(prompts, field.name) is not None
    ]


def _jittered(boxes: Tensor, sides: Tensor, limit: Tensor) -> Tensor:
    """Moves every side of boxes `(..., 4)` by a fraction of the box's width or height."""
    size = boxes[..., 2:] - boxes[..., :2] + 1
    moved = boxes + sides * torch.cat([size, size], dim=-1)
    low = torch.minimum(moved[..., :2], moved[..., 2:])
    high = torch.maximum(moved[..., :2], moved[..., 2:])
    both = [torch.minimum(corner.clamp(min=0), limit) for corner in (low, high)]
    return torch.cat(both, dim=-1)


def _eroded(image: Labels, pixels: float) -> Labels:
    result = np.zeros_like(image)
    for k in np.unique(image[image > 0]):
        inside = image == k
        if inside.all():
            result[:] = k
            continue
        result[ndimage.distance_transform_edt(inside) > pixels] = k
    return result


def _dilated(image: Labels, pixels: float) -> Labels:
    if not image.any():
        return image
    distance, nearest = ndimage.distance_transform_edt(image == 0, return_indices=True)
    grown: Labels = image[tuple(nearest)]
    return np.where(distance <= pixels, grown, 0)

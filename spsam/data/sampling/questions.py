"""Prompted segmentation tasks in procedural images: masks, and first prompts for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset

from spsam.data.sampling.noise import Array, smooth_noise
from spsam.data.sampling.scenes import scene
from spsam.data.sampling.shapes import Mask

FARTHEST_JITTER = 20.0
"""Largest shift of a box side in pixels, as in SAM."""


class Question(TypedDict):
    """P masks of one image and a first prompt for each.

    Attributes:
        image: `(3, H, W)`.
        masks: `(P, H, W)` float, 0 and 1.
        points: `(P, 2)` pixel indices (x, y) inside the masks.
        boxes: `(P, 4)` x1 y1 x2 y2, slightly shifted.
        rough: `(P, 1, h, w)` logits of a rough mask.
    """

    image: Tensor
    masks: Tensor
    points: Tensor
    boxes: Tensor
    rough: Tensor


class Lesson(Question):
    """A question, and targets that describe the whole image.

    Attributes:
        borders: `(H, W)` float, 1 at the border of any mask of the image, prompted or not.
        flat: `(H, W)` image with each object at its mean intensity.
    """

    borders: Tensor
    flat: Tensor


@dataclass(frozen=True)
class Questions(Dataset[Lesson]):
    """Procedural images with prompts; image i depends on the seed and on i only.

    Attributes:
        seed: Seed of the sequence.
        length: Number of images.
        size: H = W in pixels.
        masks: P.
        rough_size: h = w of a rough mask.
        box_jitter: Standard deviation of the shift of a box's sides, relative to their length.
    """

    seed: int
    length: int
    size: int
    masks: int
    rough_size: int
    box_jitter: float

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Lesson:
        if not 0 <= index < self.length:
            raise IndexError(index)
        picture = scene(self.seed, index, self.size)
        rng = np.random.default_rng([self.seed, index, 1])
        chosen = picture.masks[rng.integers(0, len(picture.masks), self.masks)]
        asked = ask(rng, picture.image, chosen, self.rough_size, self.box_jitter)
        return {
            **asked,
            "flat": torch.from_numpy(picture.flat),
            "borders": torch.from_numpy(_borders(picture.masks)),
        }


def ask(
    rng: np.random.Generator, image: Array, masks: Mask, rough_size: int, box_jitter: float
) -> Question:
    """Draw first prompts for masks of an image.

    Args:
        rng: Random generator for points, boxes and rough masks.
        image: `(H, W)`, H = W.
        masks: `(P, H, W)`, none empty.
        rough_size: h = w of a rough mask.
        box_jitter: Standard deviation of the shift of a box's sides, relative to their length.
    """
    return {
        "image": torch.from_numpy(np.repeat(image[None], 3, axis=0)),
        "masks": torch.from_numpy(masks.astype(np.float32)),
        "points": torch.from_numpy(np.stack([_point(rng, mask) for mask in masks])),
        "boxes": torch.from_numpy(np.stack([_box(rng, mask, box_jitter) for mask in masks])),
        "rough": torch.from_numpy(
            np.stack([_rough(rng, mask, rough_size) for mask in masks])[:, None]
        ),
    }


def _borders(masks: Mask) -> Array:
    """Return the inner border pixels of any of the masks `(M, H, W)`."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    inner = ndimage.binary_erosion(masks, cross, border_value=1)
    return np.asarray((masks & ~inner).any(axis=0), np.float32)


def _point(rng: np.random.Generator, mask: Mask) -> npt.NDArray[np.float32]:
    """Draw a pixel of the mask: any pixel, or, half of the time, one of the most central ones."""
    inside = mask
    if rng.random() < 0.5:
        distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        inside = distance >= 0.8 * distance.max()
    rows, columns = np.nonzero(inside)
    pick = int(rng.integers(len(rows)))
    return np.array([columns[pick], rows[pick]], np.float32)


def _box(rng: np.random.Generator, mask: Mask, jitter: float) -> npt.NDArray[np.float32]:
    """Return the tight box, with shifted sides in two thirds of the cases."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)
    if rng.random() < 1 / 3:
        return box
    sides = np.array([box[2] - box[0] + 1, box[3] - box[1] + 1])
    move = rng.normal(0, 1, 4) * np.tile(jitter * sides, 2)
    moved = box + np.clip(move, -FARTHEST_JITTER, FARTHEST_JITTER)
    low, high = np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])
    inside = np.clip(np.concatenate([low, high]), 0, len(mask) - 1)
    return np.asarray(inside, np.float32)


def _rough(rng: np.random.Generator, mask: Mask, size: int) -> Array:
    """Draw logits of a mask with a blurred, shifted border, as an auxiliary network predicts."""
    step = len(mask) // size
    small = mask.reshape(size, step, size, step).mean(axis=(1, 3), dtype=np.float32)
    soft = ndimage.gaussian_filter(small, rng.uniform(0.5, 3.0) / step)
    soft = soft + rng.uniform(0, 0.3) * smooth_noise(rng, size, rng.uniform(5, 40) / step)
    return np.asarray((soft - 0.5) * np.exp(rng.uniform(np.log(2), np.log(20))), np.float32)

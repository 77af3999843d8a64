"""What a user would ask about a picture: masks, and the first prompts for them."""

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
"""Pixels that a corner of a box is moved at most, as in SAM."""


class Question(TypedDict):
    """P masks of one picture and a first prompt for each.

    Attributes:
        image: `(3, H, W)`.
        masks: `(P, H, W)` float, 0 and 1.
        points: `(P, 2)` (x, y) pixel indices in the masks.
        boxes: `(P, 4)` x1 y1 x2 y2, moved a little.
        rough: `(P, 1, h, w)` logits of a rough mask.
    """

    image: Tensor
    masks: Tensor
    points: Tensor
    boxes: Tensor
    rough: Tensor


class Lesson(Question):
    """A question, and what the picture itself is made of.

    Attributes:
        borders: `(H, W)` float, 1 where a mask of the picture, asked for or not, ends.
        flat: `(H, W)`, the image with each object at its mean.
    """

    borders: Tensor
    flat: Tensor


@dataclass(frozen=True)
class Questions(Dataset[Lesson]):
    """Endless procedural pictures; number i depends on the seed and on i alone.

    Attributes:
        seed: Of the sequence.
        length: How many there are.
        size: H = W, pixels.
        masks: P.
        rough_size: h = w of a rough mask.
        box_jitter: Standard deviation of a box's sides, in sides.
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
    """First prompts for masks of a picture.

    Args:
        rng: Draws points and moves boxes.
        image: `(H, W)`, H = W.
        masks: `(P, H, W)`, none empty.
        rough_size: h = w of a rough mask.
        box_jitter: Standard deviation of a box's sides, in sides.
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
    """Pixels of a mask beside a pixel that is not of it, for any of the masks `(M, H, W)`."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    inner = ndimage.binary_erosion(masks, cross, border_value=1)
    return np.asarray((masks & ~inner).any(axis=0), np.float32)


def _point(rng: np.random.Generator, mask: Mask) -> npt.NDArray[np.float32]:
    """A pixel of the mask: any one, or, half of the time, one of its most central ones."""
    inside = mask
    if rng.random() < 0.5:
        distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        inside = distance >= 0.8 * distance.max()
    rows, columns = np.nonzero(inside)
    pick = int(rng.integers(len(rows)))
    return np.array([columns[pick], rows[pick]], np.float32)


def _box(rng: np.random.Generator, mask: Mask, jitter: float) -> npt.NDArray[np.float32]:
    """The tight box, its sides moved; a third of the time as it is."""
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
    """Logits of a mask with its border blurred and moved, as an auxiliary network would give."""
    step = len(mask) // size
    small = mask.reshape(size, step, size, step).mean(axis=(1, 3), dtype=np.float32)
    soft = ndimage.gaussian_filter(small, rng.uniform(0.5, 3.0) / step)
    soft = soft + rng.uniform(0, 0.3) * smooth_noise(rng, size, rng.uniform(5, 40) / step)
    return np.asarray((soft - 0.5) * np.exp(rng.uniform(np.log(2), np.log(20))), np.float32)

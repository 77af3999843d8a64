"""Procedural images with many masks each, to train `sam_tiny` to segment from prompts.

Objects touch, occlude and contain each other, with the contrasts and artefacts of scans. The design
is based on general knowledge and not on any data set used for evaluation. A scene depends on its
seed and number only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from spsam.data.sampling.imaging import Labels, painted
from spsam.data.sampling.noise import Array
from spsam.data.sampling.shapes import Mask, body, shape, warped_grid

SMALLEST = 12
"""Size in pixels of the smallest mask that is kept."""

RADII = (0.025, 0.28)
"""Smallest and largest radius of an object, relative to the side of the image."""

WHOLES = 0.3
"""Probability that an object of several parts also has a mask of the whole."""

GROUNDS = 0.15
"""Probability that an image has a mask of the ground."""


@dataclass(frozen=True)
class Scene:
    """An image and its masks.

    Attributes:
        image: `(H, W)` intensities with mean 0 and standard deviation 1.
        masks: `(M, H, W)`, M ≥ 1: every object's largest visible piece, some objects including
            their contents, and sometimes the ground behind all objects. Masks may overlap.
        flat: `(H, W)` image with each object's visible part at its mean intensity.
    """

    image: Array
    masks: Mask
    flat: Array


def scene(seed: int, number: int, size: int) -> Scene:
    """Generate one image with its masks.

    Args:
        seed: Seed of the sequence.
        number: Number in the sequence.
        size: H = W in pixels.
    """
    rng = np.random.default_rng([seed, number])
    while True:
        outside = _outside(rng, size)
        labels, families = _paint_labels(rng, size)
        labels[outside] = 0
        masks = _masks(rng, labels, families, outside)
        if len(masks):
            image = painted(rng, labels, outside)
            return Scene(image, masks, _flat(image, labels))


def _outside(rng: np.random.Generator, size: int) -> Mask:
    """Draw bands along two sides, as in an oblong image that is padded to a square."""
    outside = np.zeros((size, size), np.bool_)
    if rng.random() < 0.4:
        band = round(size * rng.uniform(0.02, 0.25))
        outside[:band] = outside[size - band :] = True
    return outside if rng.random() < 0.5 else outside.T.copy()


def _paint_labels(rng: np.random.Generator, size: int) -> tuple[Labels, list[tuple[int, ...]]]:
    """Draw a label map, later objects over earlier ones, and groups of labels that form a whole."""
    labels = np.zeros((size, size), np.int16)
    grid = warped_grid(rng, size)
    families: list[tuple[int, ...]] = []
    if rng.random() < 0.6:
        labels[body(rng, grid)] = 1
    low, high = np.log(RADII)
    zoom = rng.uniform(0.6, 1.6)  # The objects of an image have similar sizes.
    for _ in range(rng.integers(2, 10)):
        radius = min(RADII[1], zoom * np.exp(rng.uniform(low, high))) * size
        made = shape(rng, grid, radius)
        first = int(labels.max()) + 1
        for offset, part in enumerate(made.parts):
            labels[part] = first + offset
        if made.whole:
            families.append(tuple(range(first, first + len(made.parts))))
    return labels, families


def _masks(
    rng: np.random.Generator, labels: Labels, families: list[tuple[int, ...]], outside: Mask
) -> Mask:
    """Return the masks of an image, `(M, H, W)`."""
    found = [_piece(labels == label) for label in range(1, int(labels.max()) + 1)]
    found += [_piece(np.isin(labels, family)) for family in families if rng.random() < WHOLES]
    if rng.random() < GROUNDS:
        found.append((labels == 0) & ~outside)
    large = [mask for mask in found if mask.sum() >= SMALLEST]
    return np.stack(large) if large else np.zeros((0, *labels.shape), np.bool_)


def _piece(mask: Mask) -> Mask:
    """Return the largest connected piece of a mask; pieces cut off by others are dropped."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)


def _flat(image: Array, labels: npt.NDArray[np.int16]) -> Array:
    """Replace every pixel by the mean of its label."""
    count = np.bincount(labels.ravel()).clip(min=1)
    means = np.bincount(labels.ravel(), weights=image.ravel()) / count
    return np.asarray(means[labels], dtype=np.float32)

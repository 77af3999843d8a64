"""Procedural pictures with many masks each, from which `sam_tiny` learns to answer prompts.

Shapes, textures, occlusion, gradients and noise, with the contrasts of scans; no data set that
anything is evaluated on has part in them. A scene depends on its seed and number alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SMALLEST = 12
"""Pixels of the smallest mask that counts."""

_ANGLES = 256


@dataclass(frozen=True)
class Scene:
    """A picture and what can be pointed at in it.

    Attributes:
        image: `(H, W)` intensities of mean 0 and standard deviation 1.
        masks: `(M, H, W)`, M ≥ 1: every object's visible part, some objects whole with what lies in
            them, and the ground behind everything. They may overlap.
        flat: `(H, W)`, the image with each object's visible part at its mean.
    """

    image: Array
    masks: Mask
    flat: Array


def scene(seed: int, number: int, size: int) -> Scene:
    """One picture.

    Args:
        seed: Of the sequence.
        number: In the sequence.
        size: H = W, pixels.
    """
    rng = np.random.default_rng([seed, number])
    while True:
        labels, families = _paint_labels(rng, size)
        masks = _masks(rng, labels, families)
        if len(masks):
            image = _paint(rng, labels)
            return Scene(image, masks, _flat(image, labels))


def smooth_noise(rng: np.random.Generator, size: int, scale: float) -> Array:
    """`(size, size)` noise of mean 0 and standard deviation 1 whose details are `scale` pixels."""
    cells = max(2, round(size / scale)) + 1
    coarse = rng.standard_normal((cells, cells))
    zoomed = ndimage.zoom(coarse, (size + 1) / cells, order=1 if scale < 4 else 3, grid_mode=False)
    noise = zoomed[:size, :size]
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6), dtype=np.float32)


def _paint_labels(
    rng: np.random.Generator, size: int
) -> tuple[npt.NDArray[np.int16], list[tuple[int, ...]]]:
    """A label map, later objects over earlier ones, and groups of labels that make a whole."""
    labels = np.zeros((size, size), np.int16)
    rows, columns = _warped_grid(rng, size)
    families: list[tuple[int, ...]] = []
    if rng.random() < 0.5:  # A body, in which the rest lies.
        labels[_shape(rng, rows, columns, size, radius=size * rng.uniform(0.3, 0.55))[0]] = 1
    for _ in range(rng.integers(1, 9)):
        radius = np.exp(rng.uniform(np.log(0.025), np.log(0.3))) * size
        parts = _shape(rng, rows, columns, size, radius)
        first = int(labels.max()) + 1
        for offset, part in enumerate(parts):
            labels[part] = first + offset
        if len(parts) > 1:
            families.append(tuple(range(first, first + len(parts))))
    return labels, families


def _warped_grid(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Pixel coordinates, moved smoothly: no shape below is ever quite regular."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    amount = rng.uniform(0, 0.03) * size
    scale = rng.uniform(0.15, 0.5) * size
    return (
        rows + amount * smooth_noise(rng, size, scale),
        columns + amount * smooth_noise(rng, size, scale),
    )


def _shape(
    rng: np.random.Generator, rows: Array, columns: Array, size: int, radius: float
) -> list[Mask]:
    """The masks that one object is painted with, in order: a wall and its cavity are two."""
    row, column = rng.uniform(0.1, 0.9, 2) * size
    kind = rng.choice(["blob", "ring", "crescent", "tube", "level"], p=[0.4, 0.2, 0.2, 0.1, 0.1])
    if kind == "level":
        field = smooth_noise(rng, size, max(4.0, 2 * radius))
        near = np.hypot(rows - row, columns - column) < 2 * radius
        return [near & (field > rng.uniform(0.2, 1.0))]
    if kind == "tube":
        return [_tube(rng, rows, columns, (row, column), radius)]
    angle, distance = _polar(rng, rows - row, columns - column)
    border = radius * _outline(rng)
    outer = distance < border[angle]
    if kind == "ring":
        return [outer, distance < (border * rng.uniform(0.4, 0.85) * _outline(rng, 0.3))[angle]]
    if kind == "crescent":
        turn, reach = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.4, 1.1)
        bite = np.hypot(rows - row - reach * np.sin(turn), columns - column - reach * np.cos(turn))
        return [outer & (bite > radius * rng.uniform(0.8, 1.1))]
    return [outer]


def _polar(
    rng: np.random.Generator, rows: Array, columns: Array
) -> tuple[npt.NDArray[np.int64], Array]:
    """Angle, as an index, and distance, in an ellipse's frame."""
    turn, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1, 2.5))
    x = (columns * np.cos(turn) + rows * np.sin(turn)) / stretch
    y = (rows * np.cos(turn) - columns * np.sin(turn)) * stretch
    angle = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * _ANGLES).astype(np.int64) % _ANGLES
    return angle, np.hypot(x, y)


def _outline(rng: np.random.Generator, strength: float = 1.0) -> Array:
    """Distance from the centre by angle, about 1: a wavy circle or a polygon."""
    theta = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    if rng.random() < 0.2:
        corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        reach = 1 + strength * rng.uniform(-0.4, 0.4, len(corners))
        return np.interp(theta, corners, reach, period=2 * np.pi).astype(np.float32)
    outline = np.ones(_ANGLES)
    for wave in range(2, 7):
        height = strength * rng.normal(0, 0.25 / wave)
        outline += height * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
    return np.clip(outline, 0.2, 2).astype(np.float32)


def _tube(
    rng: np.random.Generator,
    rows: Array,
    columns: Array,
    start: tuple[float, float],
    radius: float,
) -> Mask:
    """A bent line of some width."""
    steps = np.arange(12)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, len(steps)))
    row = start[0] + np.cumsum(np.sin(heading)) * radius * 0.4
    column = start[1] + np.cumsum(np.cos(heading)) * radius * 0.4
    width = max(1.5, radius * rng.uniform(0.12, 0.3))
    inside = np.zeros(rows.shape, np.bool_)
    for step in steps[:-1]:
        along = np.array([row[step + 1] - row[step], column[step + 1] - column[step]])
        length = float(along @ along) + 1e-6
        place = (rows - row[step]) * along[0] + (columns - column[step]) * along[1]
        share = np.clip(place / length, 0, 1)
        inside |= (
            np.hypot(rows - row[step] - share * along[0], columns - column[step] - share * along[1])
            < width
        )
    return inside


def _masks(
    rng: np.random.Generator,
    labels: npt.NDArray[np.int16],
    families: list[tuple[int, ...]],
) -> Mask:
    """What can be asked for in the picture, `(M, H, W)`."""
    found = [labels == label for label in range(1, int(labels.max()) + 1)]
    found += [np.isin(labels, family) for family in families if rng.random() < 0.5]
    if rng.random() < 0.5:
        found.append(labels == 0)
    large = [mask for mask in found if mask.sum() >= SMALLEST]
    return np.stack(large) if large else np.zeros((0, *labels.shape), np.bool_)


def _flat(image: Array, labels: npt.NDArray[np.int16]) -> Array:
    """Every pixel at the mean of its label."""
    count = np.bincount(labels.ravel()).clip(min=1)
    means = np.bincount(labels.ravel(), weights=image.ravel()) / count
    return np.asarray(means[labels], dtype=np.float32)


def _paint(rng: np.random.Generator, labels: npt.NDArray[np.int16]) -> Array:
    """Intensities: a value and a texture a label, then what an imaging device adds."""
    size = labels.shape[0]
    count = int(labels.max()) + 1
    image = rng.normal(0, 1, count).astype(np.float32)[labels]
    for _ in range(rng.integers(0, 4)):
        textured = rng.random(count) < 0.5
        texture = smooth_noise(rng, size, np.exp(rng.uniform(np.log(2), np.log(size / 2))))
        image += rng.uniform(0.05, 0.5) * textured[labels] * texture
    image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.3))
    if rng.random() < 0.6:  # The bias field of a coil, or a shading.
        image = image + rng.uniform(0, 0.7) * smooth_noise(rng, size, size * rng.uniform(0.5, 2))
    noise = rng.standard_normal(labels.shape).astype(np.float32)
    if rng.random() < 0.5:
        noise = ndimage.gaussian_filter(noise, rng.uniform(0.3, 1.0))
    image = image + rng.uniform(0.02, 0.35) * noise / (noise.std() + 1e-6)
    low = image.min()
    shares = (image - low) / (np.ptp(image) + 1e-6)
    image = shares ** np.exp(rng.uniform(-0.5, 0.5))
    return np.asarray((image - image.mean()) / (image.std() + 1e-6), dtype=np.float32)

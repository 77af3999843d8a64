"""Point rules on NumPy label maps.

All rules have the same signature. They take label maps `(N, H, W)`, boxes `(N, K, 4)` and presence
`(N, K)`, and return (x, y) pixel indices `(N, K, 2)`, int64, zero for an absent class. Rules with
several points return `(N, K, P, 2)`, with `NO_POINT` in both coordinates of missing points.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from spsam.model.prompts.rules.distance import squared_distance
from spsam.model.prompts.types import Flags, Indices, Labels

NO_POINT = -1


def bounding_boxes(labels: Labels, num_classes: int) -> tuple[Indices, Flags]:
    """Computes tight bounding boxes of all classes in all slices.

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
    # Slice by slice, so that the result of a comparison is still in the cache for the next step.
    for n, image in enumerate(labels):
        for k in range(num_classes):
            mask = image == k
            mask.any(axis=1, out=rows[n, k])
            mask.any(axis=0, out=columns[n, k])
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


def farthest_from_boundary(labels: Labels, boxes: Indices, present: Flags) -> Indices:
    """Selects the pixel with the largest Euclidean distance to the class's boundary, exactly.

    Everything outside the image counts as background. Ties are resolved in row-major order. One
    pass computes the squared distances of all classes.
    """
    points = _nothing(present)
    for n, image in enumerate(labels):
        distance = squared_distance(image)
        for k, x, y, crop, inside in _objects(n, image, boxes, present):
            points[n, k] = _first_largest(distance[crop] * inside, x, y)
    return points


def farthest_points(labels: Labels, boxes: Indices, present: Flags, *, count: int) -> Indices:
    """Selects pixels of the class in farthest-point order, `(N, K, count, 2)`.

    The first point is the pixel farthest from the boundary. Each further point is the pixel
    farthest from all previous points. Ties are resolved in row-major order. A class with fewer
    pixels has fewer points.
    """
    points = np.full((*present.shape, count, 2), NO_POINT, dtype=np.int64)
    points[:, :, 0] = farthest_from_boundary(labels, boxes, present)
    for n, image in enumerate(labels):
        for k, x, y, _, inside in _objects(n, image, boxes, present):
            column, row = (points[n, k, 0] - (x, y)).tolist()
            nearest = np.where(inside, _squared_from(inside.shape, row, column), 0)
            _spread(points[n, k, 1:], nearest, x, y)
    return points


def points_outside(labels: Labels, boxes: Indices, present: Flags, *, count: int) -> Indices:
    """Selects pixels near the class but outside it, `(N, K, count, 2)`.

    Candidates are the pixels in the bounding box after it is enlarged on each side by a tenth of
    its length, at least one pixel. SAM's training moved the edges of boxes by the same amount. The
    first point is the pixel farthest from the class, and each further point the pixel farthest from
    the class and all previous points. Ties are resolved in row-major order. There is no point if
    the class fills the part of the enlarged box that is inside the image.
    """
    points = np.full((*present.shape, count, 2), NO_POINT, dtype=np.int64)
    margins = np.maximum(1, (boxes[..., 2:] - boxes[..., :2] + 1) // 10)
    grown = np.concatenate([boxes[..., :2] - margins, boxes[..., 2:] + margins], axis=-1)
    height, width = labels.shape[1:]
    grown = grown.clip(0, np.array([width - 1, height - 1] * 2))
    for n, image in enumerate(labels):
        for k, x, y, _, inside in _objects(n, image, grown, present):
            # Distance to the nearest pixel of the class; the border of the box does not count.
            distance = edt.edtsq(np.ascontiguousarray(~inside), black_border=False)
            _spread(points[n, k], distance.astype(np.int64), x, y)
    return points


def medoid(labels: Labels, boxes: Indices, present: Flags) -> Indices:
    """Selects the pixel of the class nearest to its centroid; ties are resolved in row-major order.

    For c pixels with coordinate sum s, |p - s/c|² has the same order as the integer c·|p|² - 2·p·s.
    """
    points = _nothing(present)
    for n, image in enumerate(labels):
        for k, x, y, _, inside in _objects(n, image, boxes, present):
            cost = _axis_cost(inside.sum(axis=1))[:, None] + _axis_cost(inside.sum(axis=0))
            points[n, k] = _first_largest(np.where(inside, cost.max() + 1 - cost, 0), x, y)
    return points


def random_pixel(labels: Labels, boxes: Indices, present: Flags, *, seed: int) -> Indices:
    """Selects a random pixel of the class, all with the same probability.

    The draws for a slice depend only on the seed and on its label map. Equal maps have equal points
    in any batch and at any time; different maps have different draws.
    """
    points = _nothing(present)
    for n, image in enumerate(labels):
        content = zlib.crc32(image.astype(np.uint32).tobytes())
        shares = np.random.default_rng([seed, content]).random(present.shape[1:])
        for k, x, y, _, inside in _objects(n, image, boxes, present):
            pixels = np.flatnonzero(inside)
            row, column = divmod(int(pixels[int(shares[k] * pixels.size)]), inside.shape[1])
            points[n, k] = x + column, y + row
    return points


def box_center(labels: Labels, boxes: Indices, present: Flags) -> Indices:
    """Selects the centre of the bounding box, which may be outside the object.

    Between two pixels, the smaller index is selected.
    """
    return (boxes[..., :2] + boxes[..., 2:]) // 2


def centroid(labels: Labels, boxes: Indices, present: Flags) -> Indices:
    """Selects the rounded mean of the object's pixels, which may be outside the object.

    Half-way between two pixels, the smaller index is selected.
    """
    points = _nothing(present)
    for n, image in enumerate(labels):
        for k, x, y, _, inside in _objects(n, image, boxes, present):
            rows, columns = inside.sum(axis=1), inside.sum(axis=0)
            points[n, k] = x + _rounded_mean(columns), y + _rounded_mean(rows)
    return points


def _spread(points: Indices, nearest: Indices, left: int, top: int) -> None:
    """Fills points `(P, 2)` in farthest-point order, as long as pixels remain.

    Args:
        points: Modified in place, in the slice's frame.
        nearest: `(h, w)` squared distance to the pixels to avoid; 0 where no point is allowed.
        left: x of the crop's first column.
        top: y of the crop's first row.
    """
    for point in points:
        row, column = divmod(int(nearest.argmax()), nearest.shape[1])
        if nearest[row, column] == 0:
            return
        point[:] = left + column, top + row
        nearest = np.minimum(nearest, _squared_from(nearest.shape, row, column))


def _squared_from(shape: tuple[int, ...], row: int, column: int) -> Indices:
    """Computes squared distances `(h, w)` of a crop's pixels to one of them."""
    rows, columns = (np.arange(size, dtype=np.int64) for size in shape)
    squared: Indices = (rows[:, None] - row) ** 2 + (columns - column) ** 2
    return squared


def _first_largest(score: NDArray[Any], left: int, top: int) -> tuple[int, int]:
    """Returns (x, y) in the slice of the largest score `(h, w)`, the first in row-major order."""
    row, column = divmod(int(score.argmax()), score.shape[1])
    return left + column, top + row


def _axis_cost(counts: NDArray[Any]) -> Indices:
    """Computes one axis's term of `medoid`'s cost from the number of pixels at each index."""
    index = np.arange(counts.size, dtype=np.int64)
    cost: Indices = index * (index * counts.sum() - 2 * (index @ counts))
    return cost


def _rounded_mean(counts: NDArray[Any]) -> int:
    """Computes the rounded mean of indices with given counts, in integers: exact at every half."""
    total, weight = int(np.arange(counts.size) @ counts), int(counts.sum())
    return -((weight - 2 * total) // (2 * weight))


def _nothing(present: Flags) -> Indices:
    return np.zeros((*present.shape, 2), dtype=np.int64)


def _objects(
    n: int, image: Labels, boxes: Indices, present: Flags
) -> Iterator[tuple[int, int, int, tuple[slice, slice], Flags]]:
    """Iterates over the classes present in slice n: class, left, top, box as slices, and mask.

    Row-major order in the box is row-major order in the slice.
    """
    for k in np.flatnonzero(present[n]).tolist():
        x1, y1, x2, y2 = boxes[n, k].tolist()
        crop = slice(y1, y2 + 1), slice(x1, x2 + 1)
        yield k, x1, y1, crop, image[crop] == k

"""Point rules on NumPy label maps.

All rules share one signature: label maps `(N, H, W)`, boxes `(N, K, 4)` and presence `(N, K)` in;
(x, y) pixel indices `(N, K, 2)`, int64, out. An absent class keeps zeros. Rules of several points
give `(N, K, P, 2)`, with `NO_POINT` in both coordinates where there are fewer.
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
    # Slice by slice: what one comparison makes is still in the cache for the next step.
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
    """The foreground pixel with the largest Euclidean distance to the boundary, exactly.

    Everything outside the image is background; among equally central pixels the first in
    row-major order is taken. The squared distances of all classes come from one pass.
    """
    points = _nothing(present)
    for n, image in enumerate(labels):
        distance = squared_distance(image)
        for k, x, y, crop, inside in _objects(n, image, boxes, present):
            points[n, k] = _first_largest(distance[crop] * inside, x, y)
    return points


def farthest_points(labels: Labels, boxes: Indices, present: Flags, *, count: int) -> Indices:
    """Foreground pixels in farthest-point order, `(N, K, count, 2)`.

    The first is the one farthest from the boundary, each next the one farthest from all before,
    among equals the first in row-major order. A class of fewer pixels has fewer points.
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
    """Pixels that are not of the class though near it, `(N, K, count, 2)`.

    They come from the bounding box, grown on each side by a tenth of its length, at least a pixel:
    that is as far as SAM's training moved its boxes. The first is the one farthest from the class,
    each next the one farthest from the class and all before, among equals the first in row-major
    order. Where the class fills the grown box, as far as it lies in the image, there is none.
    """
    points = np.full((*present.shape, count, 2), NO_POINT, dtype=np.int64)
    margins = np.maximum(1, (boxes[..., 2:] - boxes[..., :2] + 1) // 10)
    grown = np.concatenate([boxes[..., :2] - margins, boxes[..., 2:] + margins], axis=-1)
    height, width = labels.shape[1:]
    grown = grown.clip(0, np.array([width - 1, height - 1] * 2))
    for n, image in enumerate(labels):
        for k, x, y, _, inside in _objects(n, image, grown, present):
            # To the nearest pixel of the class; the box's own border is none.
            distance = edt.edtsq(np.ascontiguousarray(~inside), black_border=False)
            _spread(points[n, k], distance.astype(np.int64), x, y)
    return points


def medoid(labels: Labels, boxes: Indices, present: Flags) -> Indices:
    """The foreground pixel nearest to the centroid; among equals the first in row-major order.

    With c pixels whose places sum to s, |p - s/c|² orders pixels as the integer c·|p|² - 2·p·s.
    """
    points = _nothing(present)
    for n, image in enumerate(labels):
        for k, x, y, _, inside in _objects(n, image, boxes, present):
            cost = _axis_cost(inside.sum(axis=1))[:, None] + _axis_cost(inside.sum(axis=0))
            points[n, k] = _first_largest(np.where(inside, cost.max() + 1 - cost, 0), x, y)
    return points


def random_pixel(labels: Labels, boxes: Indices, present: Flags, *, seed: int) -> Indices:
    """A foreground pixel, each with the same chance.

    A slice's draw depends on the seed and on its label map alone: the same map gives the same
    points whenever and in whatever batch it is seen, another map other draws.
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
    """The centre of the bounding box, which need not lie in the object.

    Between two pixels the one with the smaller index is taken.
    """
    return (boxes[..., :2] + boxes[..., 2:]) // 2


def centroid(labels: Labels, boxes: Indices, present: Flags) -> Indices:
    """The mean of the object's pixels, rounded, which need not lie in the object.

    Half-way between two pixels the one with the smaller index is taken.
    """
    points = _nothing(present)
    for n, image in enumerate(labels):
        for k, x, y, _, inside in _objects(n, image, boxes, present):
            rows, columns = inside.sum(axis=1), inside.sum(axis=0)
            points[n, k] = x + _rounded_mean(columns), y + _rounded_mean(rows)
    return points


def _spread(points: Indices, nearest: Indices, left: int, top: int) -> None:
    """Fills points `(P, 2)` in farthest-point order as far as there are pixels.

    Args:
        points: Written to, in the slice's frame.
        nearest: `(h, w)` squared distance to what is kept away from; 0 where no point may be.
        left: x of the crop's first column.
        top: y of its first row.
    """
    for point in points:
        row, column = divmod(int(nearest.argmax()), nearest.shape[1])
        if nearest[row, column] == 0:
            return
        point[:] = left + column, top + row
        nearest = np.minimum(nearest, _squared_from(nearest.shape, row, column))


def _squared_from(shape: tuple[int, ...], row: int, column: int) -> Indices:
    """Squared distances `(h, w)` of a crop's pixels to one of them."""
    rows, columns = (np.arange(size, dtype=np.int64) for size in shape)
    squared: Indices = (rows[:, None] - row) ** 2 + (columns - column) ** 2
    return squared


def _first_largest(score: NDArray[Any], left: int, top: int) -> tuple[int, int]:
    """(x, y) in the slice of the first largest score `(h, w)` in row-major order."""
    row, column = divmod(int(score.argmax()), score.shape[1])
    return left + column, top + row


def _axis_cost(counts: NDArray[Any]) -> Indices:
    """One axis' share of `medoid`'s cost, given how many pixels each index has."""
    index = np.arange(counts.size, dtype=np.int64)
    cost: Indices = index * (index * counts.sum() - 2 * (index @ counts))
    return cost


def _rounded_mean(counts: NDArray[Any]) -> int:
    """Of the indices, each counted so often, in integers: exact at every half."""
    total, weight = int(np.arange(counts.size) @ counts), int(counts.sum())
    return -((weight - 2 * total) // (2 * weight))


def _nothing(present: Flags) -> Indices:
    return np.zeros((*present.shape, 2), dtype=np.int64)


def _objects(
    n: int, image: Labels, boxes: Indices, present: Flags
) -> Iterator[tuple[int, int, int, tuple[slice, slice], Flags]]:
    """Class, left, top, bounding box as slices and mask in it of all classes in slice n.

    Row-major order in the box is row-major order in the slice.
    """
    for k in np.flatnonzero(present[n]).tolist():
        x1, y1, x2, y2 = boxes[n, k].tolist()
        crop = slice(y1, y2 + 1), slice(x1, x2 + 1)
        yield k, x1, y1, crop, image[crop] == k

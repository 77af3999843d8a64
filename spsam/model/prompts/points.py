"""Rules that choose one point of every class in every slice of a label map.

All rules share one signature: label maps `(N, H, W)`, boxes `(N, K, 4)` and presence `(N, K)` in;
(x, y) pixel indices `(N, K, 2)`, int64, out. An absent class keeps zeros.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import edt
import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.integer[Any]]
Indices: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
PointRule: TypeAlias = Callable[[Labels, Indices, Flags], Indices]


def farthest_from_boundary(labels: Labels, boxes: Indices, present: Flags) -> Indices:
    """The foreground pixel with the largest Euclidean distance to the boundary, exactly.

    Everything outside the image is background; among equally central pixels the first in
    row-major order is taken. The squared distances of all classes come from one pass: they are
    integers below 2**24, so that float32 holds them exactly and equals stay equal.
    """
    points = _nothing(present)
    for n, image in enumerate(labels):
        # Shifted by one, because the transform takes 0 for background and not for a label.
        distance = edt.edtsq(np.ascontiguousarray(image) + 1, black_border=True)
        for k, x, y, crop, inside in _objects(n, image, boxes, present):
            index = int(np.where(inside, distance[crop], 0).argmax())
            row, column = divmod(index, inside.shape[1])
            points[n, k] = x + column, y + row
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

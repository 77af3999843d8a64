"""The rules of `points.py` on tensors: the same pixels, without synchronising the device.

There is no loop over classes, and no value is read back, so that the host never waits for a GPU.
Rules take label maps `(N, H, W)`, int64, boxes `(N, K, 4)` and presence `(N, K)`, and return the
same as the rules of the same name for arrays.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spsam.model.prompts.rules.points import NO_POINT

HOST_PIXELS, DEVICE_PIXELS = 2**18, 2**24
"""Pixels processed at once: on a CPU, limited by its cache; otherwise, by 64 MB per buffer."""


def bounding_boxes(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Computes tight bounding boxes of all classes in all slices.

    Args:
        labels: `(N, H, W)` class indices, int64.
        num_classes: K.

    Returns:
        `(N, K, 4)` x1 y1 x2 y2, inclusive pixel indices, zero for an absent class, and presence
        `(N, K)`.
    """
    parts = _parts(labels)
    rows, columns = (
        torch.cat([_occupied(part, num_classes, axis) for part in parts]) for axis in (1, 2)
    )
    present = rows.any(dim=2)
    (x1, x2), (y1, y2) = _extent(columns), _extent(rows)
    boxes = torch.stack([x1, y1, x2, y2], dim=2)
    return boxes * present[..., None], present


def farthest_from_boundary(labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
    """Selects the pixel with the largest distance to the class's boundary, `(N, K, 2)`."""
    classes = present.shape[1]
    return torch.cat(
        [
            _first_largest(_squared_distance(_small(part, classes)), part, classes)[0]
            for part in _parts(labels)
        ]
    )


def farthest_points(labels: Tensor, boxes: Tensor, present: Tensor, *, count: int) -> Tensor:
    """Selects pixels in farthest-point order, `(N, K, count, 2)`; missing points are `NO_POINT`."""
    classes = present.shape[1]
    points = [farthest_from_boundary(labels, boxes, present)]
    nearest = _squared_from(points[0], labels)
    for _ in range(1, count):
        chosen, distance = _first_largest(nearest, labels, classes)
        points.append(torch.where((distance > 0)[..., None], chosen, NO_POINT))
        nearest = torch.minimum(nearest, _squared_from(chosen, labels))
    return torch.stack(points, dim=2)


def medoid(labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
    """Selects the pixel of the class nearest to its centroid, `(N, K, 2)`."""
    count, sums = _moments(labels, present.shape[1])
    weight = _of_pixels(count, labels)
    cost = torch.zeros_like(labels)
    for axis, place in enumerate(_places(labels)):
        cost += place * (place * weight - 2 * _of_pixels(sums[..., axis], labels))
    flat = labels.flatten(1)
    least = torch.full_like(count, torch.iinfo(cost.dtype).max)
    least.scatter_reduce_(1, flat, cost.flatten(1), "amin")
    points, _ = _first_largest(cost == _of_pixels(least, labels), labels, present.shape[1])
    return points


def box_center(labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
    """Selects the centre of the bounding box, `(N, K, 2)`."""
    return (boxes[..., :2] + boxes[..., 2:]) // 2


def centroid(labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor:
    """Selects the mean of the class's pixels, halves rounded down, `(N, K, 2)`."""
    count, sums = _moments(labels, present.shape[1])
    weight = count[..., None].clamp(min=1)
    return -((weight - 2 * sums) // (2 * weight)) * present[..., None]


def squared_distance(labels: Tensor) -> Tensor:
    """Computes the squared Euclidean distance of every pixel to another label or the outside.

    Steps of 1, 2, 4, … compute the distance f within a row. The result is the minimum of d² + f²
    over all rows at a distance d that can matter, which are those nearer than the image's border
    can be. Their number depends only on the shape. Memory is limited to three buffers of
    `DEVICE_PIXELS` and the result.

    Args:
        labels: `(N, H, W)`.

    Returns:
        `(N, H, W)`, an integer type.
    """
    return torch.cat([_squared_distance(part) for part in _parts(labels)])


def _parts(labels: Tensor) -> tuple[Tensor, ...]:
    """Splits the slices to limit memory: `HOST_PIXELS` on a CPU, otherwise `DEVICE_PIXELS`."""
    pixels = HOST_PIXELS if labels.device.type == "cpu" else DEVICE_PIXELS
    return torch.split(labels, max(1, pixels // (labels.shape[1] * labels.shape[2])))


def _small(labels: Tensor, classes: int) -> Tensor:
    """Casts labels to bytes if possible, which makes comparisons faster."""
    return labels.to(torch.uint8) if classes <= 256 else labels


def _squared_distance(labels: Tensor) -> Tensor:
    height, width = labels.shape[1:]
    reach = (min(height, width) + 1) // 2  # no pixel is farther from the border
    # The largest sum below is reach² + (reach - 1)².
    dtype = torch.int16 if reach <= 128 else torch.int32
    across = _run_distance(labels, 2, reach, dtype).square_()
    distance = torch.minimum(across, _run_distance(labels, 1, reach, dtype).square_())
    buffer = torch.empty_like(across)
    for d in range(1, reach):
        rows = height - 2 * d
        near = torch.minimum(across[:, :rows], across[:, 2 * d :], out=buffer[:, :rows])
        near += d * d
        middle = distance[:, d : height - d]
        torch.minimum(middle, near, out=middle)
    return distance


def _run_distance(labels: Tensor, axis: int, reach: int, dtype: torch.dtype) -> Tensor:
    """Computes the distance to another label along the axis, at most `reach`."""
    size = labels.shape[axis]
    distance = torch.ones_like(labels, dtype=dtype)
    if size > 2:
        change = labels.narrow(axis, 1, size - 1) != labels.narrow(axis, 0, size - 1)
        edge = change.narrow(axis, 0, size - 2) | change.narrow(axis, 1, size - 2)
        # 1 on an edge, else `reach`; arithmetic is many times faster than a masked write.
        distance.narrow(axis, 1, size - 2).copy_(edge).mul_(1 - reach).add_(reach)
    step = 1
    while step < min(reach, size):
        one, other = (distance.narrow(axis, start, size - step) for start in (0, step))
        torch.minimum(other, one + step, out=other)
        torch.minimum(one, other + step, out=one)
        step *= 2
    return distance


def _first_largest(score: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Selects each class's pixel with the largest score, the first in row-major order.

    Args:
        score: `(N, H, W)`, non-negative integers; times H·W, they must be below 2**63.
        labels: `(N, H, W)`.
        classes: K.

    Returns:
        `(N, K, 2)` (x, y) and the score there `(N, K)`; zero for an absent class.
    """
    width, pixels = labels.shape[2], labels.shape[1] * labels.shape[2]
    # The key combines score and position; among equal scores, the earlier pixel has the larger key.
    later = torch.arange(pixels - 1, -1, -1, device=labels.device)
    key = score.flatten(1).long() * pixels + later
    best = key.new_full((len(labels), classes), pixels - 1)
    best.scatter_reduce_(1, labels.flatten(1), key, "amax")
    index = pixels - 1 - best % pixels
    return torch.stack([index % width, index // width], dim=2), best // pixels


def _occupied(labels: Tensor, classes: int, axis: int) -> Tensor:
    """Checks which rows (axis 1) or columns (axis 2) contain a class, `(N, K, H or W)`."""
    count, size, device = len(labels), labels.shape[axis], labels.device
    place = torch.arange(size, dtype=torch.int32, device=device)
    first = torch.arange(count, dtype=torch.int32, device=device) * (classes * size)
    cell = labels.int() * size + (place[:, None] if axis == 1 else place) + first.view(-1, 1, 1)
    table = torch.zeros(count * classes * size, dtype=torch.bool, device=device)
    return table.index_fill_(0, cell.flatten().long(), True).view(count, classes, size)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first and last occupied index, `(N, K)` each, of `(N, K, size)`."""
    index = torch.arange(occupied.shape[2], device=occupied.device)
    first = torch.where(occupied, index, occupied.shape[2]).amin(dim=2)
    return first, torch.where(occupied, index, 0).amax(dim=2)


def _places(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the pixels' x `(W,)` and y `(H, 1)`."""
    height, width = labels.shape[1:]
    x, y = (torch.arange(size, device=labels.device) for size in (width, height))
    return x, y[:, None]


def _of_pixels(values: Tensor, labels: Tensor) -> Tensor:
    """Looks up each pixel's class in `(N, K)` values, `(N, H, W)`."""
    return values.gather(1, labels.flatten(1)).view_as(labels)


def _squared_from(points: Tensor, labels: Tensor) -> Tensor:
    """Computes each pixel's squared distance to the point `(N, K, 2)` of its class, `(N, H, W)`."""
    x, y = _places(labels)
    return (x - _of_pixels(points[..., 0], labels)) ** 2 + (
        y - _of_pixels(points[..., 1], labels)
    ) ** 2


def _moments(labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Computes each class's number of pixels, `(N, K)`, and sums of x and y, `(N, K, 2)`."""
    flat = labels.flatten(1)

    def total(values: Tensor) -> Tensor:
        empty = labels.new_zeros(len(labels), classes)
        return empty.scatter_add_(1, flat, values.expand_as(labels).flatten(1))

    x, y = _places(labels)
    return total(torch.ones_like(labels)), torch.stack([total(x), total(y)], dim=2)

"""Exact squared distances to another label, for all classes of a slice in one pass."""

from __future__ import annotations

import edt
import numpy as np
from numpy.typing import NDArray

from spsam.model.prompts.types import Flags, Labels

THIN = 64
"""Half-width of objects, pixels, up to which integer passes are faster than a transform."""


def squared_distance(image: Labels) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Computes the squared Euclidean distance of every pixel to the nearest pixel of another label.

    Everything outside the image counts as another label. Squared distances are integers, which
    float32 represents exactly below 2**24, so that ties are preserved.

    Args:
        image: `(H, W)`.

    Returns:
        `(H, W)`, uint16 if no object is thicker than `2 · THIN`, otherwise float32.
    """
    thin = _thin(image)
    if thin is not None:
        return thin
    # Shifted by one, because the transform treats 0 as background instead of a label.
    distance: NDArray[np.float32] = edt.edtsq(np.ascontiguousarray(image) + 1, black_border=True)
    return distance


def _thin(image: Labels) -> NDArray[np.uint16] | None:
    """Computes the distance by a few passes over 16-bit integers; None if an object is too thick.

    f is the distance to another label within a row. The result is the minimum of d² + f² over the
    rows d above and below. A row beyond the end of the object in a column costs more than the end
    itself, whose distance is known from the pass along the columns. Labels are therefore not
    compared again.
    """
    height, width = image.shape
    rows, columns = _edges(image)
    across = _run_distance(rows.ravel(), 1)
    across *= across
    distance = _run_distance(columns.ravel(), width)
    distance *= distance
    np.minimum(distance, across, out=distance)
    buffer = np.empty_like(distance)
    for d in range(1, THIN):
        # Rows that are farther away cost more than d².
        if distance.max() <= d * d + 1:
            break
        size = (height - 2 * d) * width
        if size <= 0:
            break
        near = np.minimum(across[:size], across[-size:], out=buffer[:size])
        near += np.uint16(d * d)
        middle = distance[d * width : d * width + size]
        np.minimum(middle, near, out=middle)
    return distance.reshape(image.shape) if distance.max() <= THIN * THIN else None


def _edges(image: Labels) -> tuple[Flags, Flags]:
    """Checks whether a neighbour in the row, and in the column, has another label or is outside."""
    rows = np.ones(image.shape, dtype=np.bool_)
    columns = np.ones(image.shape, dtype=np.bool_)
    change = image[:, 1:] != image[:, :-1]
    np.logical_or(change[:, 1:], change[:, :-1], out=rows[:, 1:-1])
    change = image[1:] != image[:-1]
    np.logical_or(change[1:], change[:-1], out=columns[1:-1])
    return rows, columns


def _run_distance(edge: Flags, step: int) -> NDArray[np.uint16]:
    """Computes the distance to another label along one axis; values above `THIN` are lower bounds.

    Steps of 1, 2, 4, … reach every distance and are faster than single steps. A step into the next
    row is harmless, because the image's border is nearer.

    Args:
        edge: `(H·W)`, whether a neighbour along the axis has another label.
        step: Offset between adjacent pixels along the axis.
    """
    far = np.uint16(2 * THIN)
    distance = np.where(edge, np.uint16(1), far)
    buffer = np.empty_like(distance)
    stride = 1
    while stride < THIN and distance.max() > stride:
        size = max(distance.size - stride * step, 0)
        for source, target in (
            (distance[:size], distance[distance.size - size :]),
            (distance[distance.size - size :], distance[:size]),
        ):
            reached = np.add(source, np.uint16(stride), out=buffer[:size])
            np.minimum(target, reached, out=target)
        stride *= 2
    return distance

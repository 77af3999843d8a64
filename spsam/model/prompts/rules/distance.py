"""Squared distances to another label, exactly, of all classes of a slice in one pass."""

from __future__ import annotations

import edt
import numpy as np
from numpy.typing import NDArray

from spsam.model.prompts.types import Flags, Labels

THIN = 64
"""Up to this half-width, pixels, passes over whole slices are faster than a distance transform."""


def squared_distance(image: Labels) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Squared Euclidean distance of every pixel to the nearest one of another label.

    Everything outside the image counts as another label. Squared distances are integers; below
    2**24 float32 holds them exactly, so that equals stay equal.

    Args:
        image: `(H, W)`.

    Returns:
        `(H, W)`, uint16 where no object is thicker than `2 · THIN`, else float32.
    """
    thin = _thin(image)
    if thin is not None:
        return thin
    # Shifted by one, because the transform takes 0 for background and not for a label.
    distance: NDArray[np.float32] = edt.edtsq(np.ascontiguousarray(image) + 1, black_border=True)
    return distance


def _thin(image: Labels) -> NDArray[np.uint16] | None:
    """The same by a few passes over 16-bit integers; None where an object is too thick for that.

    A row's distance f to another label, then the least d² + f² of the rows d above and below. A
    row beyond the end of the object in a column costs more than that end itself, which is the
    column's own distance: labels need not be compared again.
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
        # What is farther away costs more than d².
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
    """Whether a neighbour in the row, and in the column, is of another label or outside."""
    rows = np.ones(image.shape, dtype=np.bool_)
    columns = np.ones(image.shape, dtype=np.bool_)
    change = image[:, 1:] != image[:, :-1]
    np.logical_or(change[:, 1:], change[:, :-1], out=rows[:, 1:-1])
    change = image[1:] != image[:-1]
    np.logical_or(change[1:], change[:-1], out=columns[1:-1])
    return rows, columns


def _run_distance(edge: Flags, step: int) -> NDArray[np.uint16]:
    """How many pixels it is along one axis to another label; above `THIN` only that it is more.

    Steps of 1, 2, 4, … reach every distance, and are faster than going from pixel to pixel. A step
    into the next row is harmless: the image's border is nearer.

    Args:
        edge: `(H·W)`, whether a neighbour along the axis is of another label.
        step: From one pixel to the next along the axis.
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

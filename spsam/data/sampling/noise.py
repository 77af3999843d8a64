"""Smooth random fields, and pictures on another grid, by matrix products."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float32]
Order = Literal[1, 3]


def smooth_noise(rng: np.random.Generator, size: int, scale: float) -> Array:
    """`(size, size)` noise of mean 0 and standard deviation 1 whose details are `scale` pixels."""
    cells = max(2, round(size / scale)) + 1
    coarse = rng.standard_normal((cells, cells), np.float32)
    spread = _spline(cells, size + 1, 1 if scale < 4 else 3, False)[:size]
    noise = spread @ coarse @ spread.T
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6), dtype=np.float32)


def resampled(image: Array, size: int, order: Order) -> Array:
    """`(H, W)`, H = W, on a grid of `size` pixels over the same area, by splines of an order."""
    spread = _spline(len(image), size, order, True)
    return np.asarray(spread @ image @ spread.T, np.float32)


@lru_cache(maxsize=1024)
def _spline(cells: int, size: int, order: Order, areas: bool) -> Array:
    """`(size, cells)`: what `ndimage.zoom` makes of a line, which is linear and by axis.

    Many times faster than calling it for each picture.
    """
    unit = np.eye(cells, dtype=np.float32)
    zoom = (size / cells, 1.0)
    return np.asarray(ndimage.zoom(unit, zoom, order=order, grid_mode=areas, mode="nearest"))

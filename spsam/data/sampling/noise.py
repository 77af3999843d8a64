"""Smooth random fields and resampling of images, by matrix products."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float32]
Order = Literal[1, 3]


def smooth_noise(rng: np.random.Generator, size: int, scale: float) -> Array:
    """Return `(size, size)` noise with mean 0, deviation 1 and details of `scale` pixels."""
    cells = max(2, round(size / scale)) + 1
    coarse = rng.standard_normal((cells, cells), np.float32)
    spread = _spline(cells, size + 1, 1 if scale < 4 else 3, False)[:size]
    noise = spread @ coarse @ spread.T
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6), dtype=np.float32)


def resampled(image: Array, size: int, order: Order) -> Array:
    """Resample `(H, W)`, H = W, to `size` pixels over the same area, by splines of an order."""
    spread = _spline(len(image), size, order, True)
    return np.asarray(spread @ image @ spread.T, np.float32)


@lru_cache(maxsize=1024)
def _spline(cells: int, size: int, order: Order, areas: bool) -> Array:
    """Return the `(size, cells)` matrix of `ndimage.zoom` for one axis, which is a linear map.

    The product with this matrix is many times faster than a call of `zoom` for each image.
    """
    unit = np.eye(cells, dtype=np.float32)
    zoom = (size / cells, 1.0)
    return np.asarray(ndimage.zoom(unit, zoom, order=order, grid_mode=areas, mode="nearest"))

"""Where a volume's voxels lie."""

from __future__ import annotations

from dataclasses import dataclass

Triple = tuple[float, float, float]

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Geometry:
    """Where a volume's voxels lie.

    Attributes:
        shape: Number of voxels along the array's axes (z, y, x).
        spacing: mm along the array's axes (z, y, x).
        origin: Position (x, y, z) in mm of the first voxel's centre.
        direction: The 3×3 direction cosines, row by row, in the file's (x, y, z) order.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY

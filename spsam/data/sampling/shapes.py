"""Shapes of the objects in procedural images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from spsam.data.sampling.noise import Array, smooth_noise

Mask = npt.NDArray[np.bool_]

_ANGLES = 256
_KINDS = {"blob": 0.3, "wall": 0.25, "parts": 0.2, "crescent": 0.12, "tube": 0.08, "level": 0.05}


@dataclass(frozen=True)
class Grid:
    """Smoothly distorted pixel coordinates, so that no shape is quite regular.

    Attributes:
        rows: `(H, W)`, H = W.
        columns: `(H, W)`.
    """

    rows: Array
    columns: Array

    @property
    def size(self) -> int:
        """H = W in pixels."""
        return len(self.rows)


@dataclass(frozen=True)
class Shape:
    """One object.

    Attributes:
        parts: `(H, W)` masks, painted in this order; a wall and its cavity are two parts.
        whole: Whether the union of the parts is also an object.
    """

    parts: list[Mask]
    whole: bool = False


def warped_grid(rng: np.random.Generator, size: int) -> Grid:
    """Draw the coordinates of an image."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    amount = rng.uniform(0, 0.03) * size
    scale = rng.uniform(0.15, 0.5) * size
    return Grid(
        rows + amount * smooth_noise(rng, size, scale),
        columns + amount * smooth_noise(rng, size, scale),
    )


def body(rng: np.random.Generator, grid: Grid) -> Mask:
    """Draw a large blob in the middle, which contains other objects."""
    centre = rng.uniform(0.4, 0.6, 2) * grid.size
    return _blob(rng, grid, (centre[0], centre[1]), grid.size * rng.uniform(0.32, 0.6), 0.6)


def shape(rng: np.random.Generator, grid: Grid, radius: float) -> Shape:
    """Draw one object with a radius of about `radius` pixels, at a random position."""
    row, column = rng.uniform(0.1, 0.9, 2) * grid.size
    place = (row, column)
    kind = rng.choice(list(_KINDS), p=list(_KINDS.values()))
    if kind == "level":
        field = smooth_noise(rng, grid.size, max(4.0, 2 * radius))
        near = np.hypot(grid.rows - row, grid.columns - column) < 1.5 * radius
        return Shape([near & (field > rng.uniform(0.0, 0.8))])
    if kind == "tube":
        return Shape([_tube(rng, grid, place, radius)])
    if kind == "wall":
        return _wall(rng, grid, place, radius)
    outer = _blob(rng, grid, place, radius)
    if kind == "crescent":
        turn, reach = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.4, 1.1)
        rows, columns = grid.rows - row, grid.columns - column
        bite = np.hypot(rows - reach * np.sin(turn), columns - reach * np.cos(turn))
        return Shape([outer & (bite > radius * rng.uniform(0.8, 1.1))])
    if kind == "parts":
        return Shape(_divided(rng, grid, place, outer, radius), whole=True)
    return Shape([outer])


def _wall(rng: np.random.Generator, grid: Grid, place: tuple[float, float], radius: float) -> Shape:
    """Draw a wall with its cavity, sometimes with a neighbour that the wall bulges into."""
    row, column = place
    angle, distance = _polar(rng, grid, place, 1.6)
    border = radius * _outline(rng, 0.6)
    inner = border * rng.uniform(0.45, 0.88) * _outline(rng, 0.25)
    parts = [distance < border[angle], distance < inner[angle]]
    if rng.random() < 0.4:
        turn = rng.uniform(0, 2 * np.pi)
        reach = radius * rng.uniform(0.7, 1.5)
        beside = (row + reach * np.sin(turn), column + reach * np.cos(turn))
        return Shape([_blob(rng, grid, beside, radius * rng.uniform(0.7, 1.3)), *parts])
    return Shape(parts, whole=True)


def _divided(
    rng: np.random.Generator, grid: Grid, place: tuple[float, float], outer: Mask, radius: float
) -> list[Mask]:
    """Divide an object into two to four adjacent parts by the nearest of random seeds."""
    seeds = np.array(place) + rng.normal(0, 0.6 * radius, (rng.integers(2, 5), 2))
    away = [np.hypot(grid.rows - row, grid.columns - column) for row, column in seeds]
    nearest = np.argmin(away, axis=0)
    return [outer & (nearest == number) for number in range(len(seeds))]


def _blob(
    rng: np.random.Generator,
    grid: Grid,
    place: tuple[float, float],
    radius: float,
    strength: float = 1.0,
) -> Mask:
    angle, distance = _polar(rng, grid, place, 2.5)
    return np.asarray(distance < (radius * _outline(rng, strength))[angle])


def _polar(
    rng: np.random.Generator, grid: Grid, place: tuple[float, float], longest: float
) -> tuple[npt.NDArray[np.int64], Array]:
    """Return angle, as an index, and distance of each pixel in the frame of a random ellipse."""
    rows, columns = grid.rows - place[0], grid.columns - place[1]
    turn, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1, longest))
    x = (columns * np.cos(turn) + rows * np.sin(turn)) / stretch
    y = (rows * np.cos(turn) - columns * np.sin(turn)) * stretch
    angle = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * _ANGLES).astype(np.int64) % _ANGLES
    return angle, np.hypot(x, y)


def _outline(rng: np.random.Generator, strength: float = 1.0) -> Array:
    """Draw a radius of about 1 as a function of the angle: a wavy circle or a polygon."""
    theta = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    if rng.random() < 0.15:
        corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        reach = 1 + strength * rng.uniform(-0.4, 0.4, len(corners))
        return np.interp(theta, corners, reach, period=2 * np.pi).astype(np.float32)
    outline = np.ones(_ANGLES)
    for wave in range(2, 7):
        height = strength * rng.normal(0, 0.25 / wave)
        outline += height * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
    return np.clip(outline, 0.2, 2).astype(np.float32)


def _tube(rng: np.random.Generator, grid: Grid, start: tuple[float, float], radius: float) -> Mask:
    """Draw a curved line of some width as a union of discs."""
    steps = np.arange(12)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, len(steps)))
    row = start[0] + np.cumsum(np.sin(heading)) * radius * 0.4
    column = start[1] + np.cumsum(np.cos(heading)) * radius * 0.4
    width = max(1.5, radius * rng.uniform(0.12, 0.3))
    line = np.ones((grid.size, grid.size), np.bool_)
    between = np.linspace(0, len(steps) - 1, 12 * len(steps))
    rows = np.interp(between, steps, row).round().astype(int)
    columns = np.interp(between, steps, column).round().astype(int)
    inside = (rows >= 0) & (rows < grid.size) & (columns >= 0) & (columns < grid.size)
    line[rows[inside], columns[inside]] = False
    if not inside.any():
        return np.zeros_like(line)
    return np.asarray(ndimage.distance_transform_edt(line) < width)

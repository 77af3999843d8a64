"""Intensities of procedural pictures: tissues, and what a scanner makes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from spsam.data.sampling.noise import Array, resampled, smooth_noise

Labels = npt.NDArray[np.int16]

TISSUES = (3, 7)
"""Fewest and most levels of intensity that the objects of an MR-like picture share."""


def painted(rng: np.random.Generator, labels: Labels, outside: npt.NDArray[np.bool_]) -> Array:
    """A picture of labels, of mean 0 and standard deviation 1.

    Args:
        rng: Draws the contrast and the scanner.
        labels: `(H, W)`, H = W, objects by number, 0 the ground.
        outside: `(H, W)`, pixels that no scanner saw: they are black, as after padding.
    """
    kind = rng.choice(["mr", "ct", "free"], p=[0.5, 0.25, 0.25])
    values = {"mr": _mr, "ct": _ct, "free": _free}[kind](rng, int(labels.max()) + 1)
    image = values[labels] + _texture(rng, labels, 0.12 if kind == "ct" else 0.2)
    image = _scanned(rng, image, rician=kind == "mr")
    if kind == "ct":  # A window, as a reader of scans sets one.
        low, high = np.quantile(image, [rng.uniform(0, 0.15), rng.uniform(0.9, 1.0)])
        image = np.clip(image, low, max(high, low + 0.1))
    if kind == "free" and rng.random() < 0.5:
        image = -image
    image = np.where(outside, image.min(), image)
    shares = (image - image.min()) / (np.ptp(image) + 1e-6)
    image = shares ** np.exp(rng.uniform(-0.4, 0.4))
    return np.asarray((image - image.mean()) / (image.std() + 1e-6), dtype=np.float32)


def _mr(rng: np.random.Generator, count: int) -> Array:
    """Objects share a few tissues, 0 to 1; neighbours of one tissue have hardly a border."""
    tissues = rng.uniform(0.1, 1, rng.integers(TISSUES[0], TISSUES[1] + 1))
    values = rng.choice(tissues, count) + rng.normal(0, 0.05, count)
    if rng.random() < 0.6:
        values[0] = rng.uniform(0, 0.1)
    return np.asarray(values.clip(0, 1), np.float32)


def _ct(rng: np.random.Generator, count: int) -> Array:
    """Air, fat, soft tissues that differ little, with and without contrast medium, and bone."""
    soft = rng.normal(0.5, 0.1, count)
    other = rng.choice([0.0, 0.25, 0.75, 1.0], count, p=[0.15, 0.35, 0.35, 0.15])
    values = np.where(rng.random(count) < 0.55, soft, other)
    if rng.random() < 0.6:
        values[0] = rng.choice([0.0, 0.25])
    return np.asarray(values, np.float32)


def _free(rng: np.random.Generator, count: int) -> Array:
    """Any value for any object."""
    return np.asarray(rng.normal(0.5, 0.3, count), np.float32)


def _texture(rng: np.random.Generator, labels: Labels, most: float) -> Array:
    """What differs inside objects: in some of them at once, coarse or fine."""
    size, count = len(labels), int(labels.max()) + 1
    made = np.zeros(labels.shape, np.float32)
    for _ in range(rng.integers(0, 3)):
        textured = (rng.random(count) < 0.5) * rng.uniform(0, most, count)
        field = smooth_noise(rng, size, np.exp(rng.uniform(np.log(2), np.log(size / 2))))
        made += textured[labels].astype(np.float32) * field
    return made


def _scanned(rng: np.random.Generator, image: Array, *, rician: bool) -> Array:
    """Partial volume, a coil's field, noise, on a grid of the scanner's own.

    A scan of fewer pixels than the picture is enlarged to it, its noise with it.
    """
    size = len(image)
    coarser = np.exp(rng.uniform(np.log(1.0), np.log(4.0))) if rng.random() < 0.5 else 1.0
    cells = max(8, round(size / coarser))
    image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.9) * size / cells)
    if cells < size:
        image = resampled(image, cells, 1)
    if rng.random() < 0.6:
        field = smooth_noise(rng, cells, cells * rng.uniform(0.5, 2))
        image = image * np.exp(rng.uniform(0, 0.3) * field)
    spread = np.exp(rng.uniform(np.log(0.01), np.log(0.12)))
    noise = spread * rng.standard_normal((2, cells, cells)).astype(np.float32)
    if rng.random() < 0.3:
        noise = ndimage.gaussian_filter(noise, (0, 0.6, 0.6))
    image = np.hypot(image + noise[0], noise[1]) if rician else image + noise[0]
    if cells < size:
        image = resampled(image, size, 1 if rng.choice([1, 3]) == 1 else 3)
    return np.asarray(image, np.float32)

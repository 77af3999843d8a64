"""Intensities of procedural images: tissues, and the simulated acquisition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from spsam.data.sampling.noise import Array, resampled, smooth_noise

Labels = npt.NDArray[np.int16]

TISSUES = (3, 7)
"""Smallest and largest number of intensity levels that the objects of an MR-like image share."""


def painted(rng: np.random.Generator, labels: Labels, outside: npt.NDArray[np.bool_]) -> Array:
    """Draw an image of a label map, with mean 0 and standard deviation 1.

    Args:
        rng: Random generator for contrast and acquisition.
        labels: `(H, W)`, H = W, number of each pixel's object; 0 is the ground.
        outside: `(H, W)` pixels outside the scan, which are black as after padding.

    Returns:
        `(H, W)` float32.
    """
    kind = rng.choice(["mr", "ct", "free"], p=[0.5, 0.25, 0.25])
    values = {"mr": _mr, "ct": _ct, "free": _free}[kind](rng, int(labels.max()) + 1)
    image = values[labels] + _texture(rng, labels, 0.12 if kind == "ct" else 0.2)
    image = _scanned(rng, image, rician=kind == "mr")
    if kind == "ct":  # Apply an intensity window, as a radiologist does.
        low, high = np.quantile(image, [rng.uniform(0, 0.15), rng.uniform(0.9, 1.0)])
        image = np.clip(image, low, max(high, low + 0.1))
    if kind == "free" and rng.random() < 0.5:
        image = -image
    image = np.where(outside, image.min(), image)
    shares = (image - image.min()) / (np.ptp(image) + 1e-6)
    image = shares ** np.exp(rng.uniform(-0.4, 0.4))
    return np.asarray((image - image.mean()) / (image.std() + 1e-6), dtype=np.float32)


def _mr(rng: np.random.Generator, count: int) -> Array:
    """Draw intensities in 0…1 of a few tissues; neighbours of one tissue have almost no border."""
    tissues = rng.uniform(0.1, 1, rng.integers(TISSUES[0], TISSUES[1] + 1))
    values = rng.choice(tissues, count) + rng.normal(0, 0.05, count)
    if rng.random() < 0.6:
        values[0] = rng.uniform(0, 0.1)
    return np.asarray(values.clip(0, 1), np.float32)


def _ct(rng: np.random.Generator, count: int) -> Array:
    """Draw intensities of air, fat, similar soft tissues (partly with contrast medium) and bone."""
    soft = rng.normal(0.5, 0.1, count)
    other = rng.choice([0.0, 0.25, 0.75, 1.0], count, p=[0.15, 0.35, 0.35, 0.15])
    values = np.where(rng.random(count) < 0.55, soft, other)
    if rng.random() < 0.6:
        values[0] = rng.choice([0.0, 0.25])
    return np.asarray(values, np.float32)


def _free(rng: np.random.Generator, count: int) -> Array:
    """Draw an independent intensity for each object."""
    return np.asarray(rng.normal(0.5, 0.3, count), np.float32)


def _texture(rng: np.random.Generator, labels: Labels, most: float) -> Array:
    """Draw variations inside objects: in several of them at a time, coarse or fine."""
    size, count = len(labels), int(labels.max()) + 1
    made = np.zeros(labels.shape, np.float32)
    for _ in range(rng.integers(0, 3)):
        textured = (rng.random(count) < 0.5) * rng.uniform(0, most, count)
        field = smooth_noise(rng, size, np.exp(rng.uniform(np.log(2), np.log(size / 2))))
        made += textured[labels].astype(np.float32) * field
    return made


def _scanned(rng: np.random.Generator, image: Array, *, rician: bool) -> Array:
    """Simulate partial volume, a coil's bias field and noise, on the scanner's own grid.

    A scan with fewer pixels than the image is enlarged together with its noise.
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

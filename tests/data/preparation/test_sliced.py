"""Images that are resampled some slices at a time."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from spsam.data.geometry import Turn
from spsam.data.preparation.sliced import SlicedImage, scales

STATISTICS = [{"low": -50.0, "high": 250.0, "mean": 40.0, "std": 30.0}]


def a_volume(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1500, (1, *shape), dtype=np.int16)


def expected(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """All at once, by scipy: clipped, normalised, a spline through the volume, cut off."""
    known = STATISTICS[0]
    values = image[0].astype(np.float32).clip(known["low"], known["high"])
    scaled = (values - known["mean"]) / known["std"]
    factors = [new / old for new, old in zip(shape, scaled.shape, strict=True)]
    if factors[0] == 1:
        planes = [
            ndimage.zoom(plane, factors[1:], order=3, mode="nearest", grid_mode=True).clip(
                plane.min(), plane.max()
            )
            for plane in scaled
        ]
        return np.stack(planes)
    result = ndimage.zoom(scaled, factors, order=3, mode="nearest", grid_mode=True)
    return result.clip(scaled.min(), scaled.max())


@pytest.mark.parametrize("shape", [(40, 21, 30), (25, 13, 17), (40, 21, 40), (30, 18, 23)])
def test_it_is_the_volume_resampled_all_at_once(shape: tuple[int, int, int]) -> None:
    image = a_volume((30, 18, 23))
    sliced = SlicedImage(image, Turn(), shape, STATISTICS)
    assert sliced.shape == (1, *shape)
    whole = np.asarray(sliced)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole[0], expected(image, shape), atol=1e-5)


@settings(max_examples=15)
@given(first=st.integers(0, 44), count=st.integers(1, 45))
def test_a_slice_has_the_same_bits_whatever_is_taken_with_it(first: int, count: int) -> None:
    image = a_volume((30, 18, 23))
    turn = Turn((1, 0, 2), (True, False, True))
    sliced = SlicedImage(image, turn, (45, 20, 30), STATISTICS)
    whole = np.asarray(SlicedImage(image, turn, (45, 20, 30), STATISTICS))
    part = sliced[:, first : min(45, first + count)]
    np.testing.assert_array_equal(part, whole[:, first : first + count])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_the_stored_type_changes_nothing(kind: type) -> None:
    image = np.random.default_rng(0).integers(0, 250, (2, 9, 12, 13)).astype(kind)
    plain = SlicedImage(image.astype(np.float32), Turn(), (12, 10, 13), None)
    np.testing.assert_array_equal(
        np.asarray(SlicedImage(image, Turn(), (12, 10, 13), None)), np.asarray(plain)
    )


def test_empty_voxels_do_not_count_and_stay_zero() -> None:
    image = np.zeros((1, 6, 10, 10), np.int16)
    image[:, 1:5, 2:8, 2:8] = np.random.default_rng(0).integers(50, 90, (1, 4, 6, 6))
    inside = image[image != 0].astype(np.float64)
    (scale,) = scales(image, None, masked=True)
    assert scale.mean == pytest.approx(inside.mean(), rel=1e-12)
    assert scale.deviation == pytest.approx(inside.std(), rel=1e-12)
    assert scale.limits[0] < 0 < scale.limits[1]
    prepared = np.asarray(SlicedImage(image, Turn(), (6, 10, 10), None, masked=True))
    assert not prepared[image == 0].any()
    assert abs(float(prepared[image != 0].mean())) < 1e-5


def peak(depth: int, factor: float) -> int:
    """Bytes that are alive at once while all slices are taken, the volume itself not counted."""
    image = a_volume((depth, 48, 48))
    shape = round(depth * factor), round(48 * factor), round(48 * factor)
    # Matrices are made once for each pair of lengths.
    SlicedImage(image, Turn(), shape, STATISTICS)[:, :1]
    tracemalloc.start()
    try:
        sliced = SlicedImage(image, Turn(), shape, STATISTICS)
        for first in range(0, shape[0], 8):
            sliced[:, first : first + 8]
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("factor", [1.5, 0.75])
def test_memory_does_not_grow_with_the_volume(factor: float) -> None:
    """Finer and coarser: three times the slices take the memory of one piece all the same."""
    assert peak(360, factor) < 1.1 * peak(120, factor)

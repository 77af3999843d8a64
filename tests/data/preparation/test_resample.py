from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from spsam.data.preparation.resample import resample_image, resample_label

SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 17), st.integers(2, 17))


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_the_same_grid_changes_nothing(shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(2, *shape)).astype(np.float32)
    label = rng.integers(0, 5, shape)
    np.testing.assert_array_equal(resample_image(image, shape), image)
    np.testing.assert_array_equal(resample_label(label, shape), label)


@given(old=SHAPES, new=SHAPES, seed=st.integers(0, 99))
def test_shapes_and_classes(
    old: tuple[int, int, int], new: tuple[int, int, int], seed: int
) -> None:
    label = np.random.default_rng(seed).integers(0, 4, old)
    result = resample_label(label, new)
    assert result.shape == new
    assert result.dtype == np.uint8
    assert set(np.unique(result)) <= set(np.unique(label))
    assert resample_image(label[None].astype(np.float32), new).shape == (1, *new)


def test_classes_from_256_on_keep_their_numbers() -> None:
    label = np.zeros((2, 20, 20), np.int16)
    label[:, 5:, 5:] = 257
    for shape in ((2, 20, 20), (2, 13, 31)):
        result = resample_label(label, shape)
        assert result.dtype == np.int16
        assert set(np.unique(result)) == {0, 257}


@pytest.mark.parametrize("new", [(3, 40, 31), (3, 9, 12), (5, 20, 24), (7, 33, 15)])
def test_images_are_resampled_as_nnunet_does(new: tuple[int, int, int]) -> None:
    """nnU-Net: scikit-image's `resize`, order 3, edge mode, no anti-aliasing, clipped."""
    image = np.random.default_rng(0).normal(size=(1, 3, 20, 24)).astype(np.float32)
    result = resample_image(image, new)[0]
    if new[0] == 3:
        expected = np.stack(
            [resize(plane, new[1:], 3, mode="edge", anti_aliasing=False) for plane in image[0]]
        )
    else:
        expected = resize(image[0], new, 3, mode="edge", anti_aliasing=False)
    inner = (slice(None), slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(result[inner], expected[inner], atol=2e-3)


def test_slices_do_not_mix_where_depth_stays() -> None:
    image = np.zeros((1, 3, 8, 8), np.float32)
    image[0, 1] = np.random.default_rng(0).normal(size=(8, 8))
    result = resample_image(image, (3, 13, 11))
    assert not result[0, [0, 2]].any()


def test_a_border_stays_at_its_place_in_mm() -> None:
    label = np.zeros((1, 10, 10), np.uint8)
    label[:, 4:, :] = 3
    for factor in (2, 5):
        larger = resample_label(label, (1, 10 * factor, 10))
        assert (larger[0, :, 0] == 3).sum() == 6 * factor
        assert larger[0, 4 * factor, 0] == 3
    # Of equal shares the lowest class.
    assert resample_label(label, (1, 5, 10))[0, :, 0].tolist() == [0, 0, 3, 3, 3]
    odd = np.array([0, 2, 2, 1], np.uint8).reshape(1, 4, 1)
    assert resample_label(odd, (1, 2, 1)).ravel().tolist() == [0, 1]

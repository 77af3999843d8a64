from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spsam.data.geometry import (
    FATAL_OF_LABELS,
    Geometry,
    VolumePlace,
    differences,
    mismatches,
    nonzero_box,
    orientation,
    turn_to,
)

CODES = [
    "".join(letters)
    for order in permutations([("L", "R"), ("P", "A"), ("S", "I")])
    for letters in product(*order)
]


def of_code(code: str) -> Geometry:
    filter_ = SimpleITK.DICOMOrientImageFilter()
    direction = filter_.GetDirectionCosinesFromOrientation(code)
    return Geometry((3, 4, 5), (3.0, 2.0, 1.0), (0, 0, 0), tuple(direction))


@pytest.mark.parametrize("code", CODES)
def test_codes_are_those_of_simpleitk(code: str) -> None:
    assert len(CODES) == 48
    assert orientation(of_code(code)) == code


@given(code=st.sampled_from(CODES), wanted=st.sampled_from(CODES))
def test_turning_is_what_simpleitk_does(code: str, wanted: str) -> None:
    array = np.random.default_rng(0).integers(0, 99, (3, 4, 5)).astype(np.int16)
    geometry = of_code(code)
    image = SimpleITK.GetImageFromArray(array)
    image.SetDirection(geometry.direction)
    expected = SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(image, wanted))
    turn = turn_to(wanted, geometry)
    np.testing.assert_array_equal(turn.there(array), expected)
    np.testing.assert_array_equal(turn.back(turn.there(array)), array)
    stack = np.stack([array, array + 1])
    np.testing.assert_array_equal(turn.back(turn.there(stack)), stack)


@given(
    code=st.sampled_from(CODES),
    tilt=st.tuples(*[st.floats(-25, 25)] * 3),
)
def test_an_oblique_grid_has_the_code_of_the_nearest_upright_one(
    code: str, tilt: tuple[float, float, float]
) -> None:
    straight = of_code(code)
    matrix = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix()
    if Rotation.from_matrix(matrix).magnitude() > np.radians(40):
        return
    tilted = matrix @ np.reshape(straight.direction, (3, 3))
    assert orientation(Geometry((1, 1, 1), (1, 1, 1), (0, 0, 0), tuple(tilted.ravel()))) == code


def test_the_box_of_what_is_not_zero() -> None:
    image = np.zeros((2, 6, 7, 8))
    image[0, 2, 3, 4] = -1
    image[1, 4, 1, 5] = 2
    assert nonzero_box(image) == ((2, 5), (1, 4), (4, 6))


SCALES = st.floats(-3, 1).map(lambda exponent: 10**exponent)


@given(code=st.sampled_from(CODES), scale=SCALES, seed=st.integers(0, 99))
def test_one_grid_in_single_precision_is_that_grid(code: str, scale: float, seed: int) -> None:
    """From a micron to a centimetre, metres from the scanner's centre."""
    rng = np.random.default_rng(seed)
    spacing = tuple(scale * rng.uniform(1, 5, 3))
    origin = tuple(rng.uniform(-500, 500, 3))
    one = replace(of_code(code), spacing=spacing, origin=origin)
    rounded = replace(
        one,
        spacing=tuple(float(np.float32(each)) for each in spacing),
        origin=tuple(float(np.float32(each)) for each in origin),
    )
    assert differences(one, rounded) == differences(rounded, one) == {}


@given(code=st.sampled_from(CODES), scale=SCALES, axis=st.integers(0, 2))
def test_what_differs_is_named_whatever_the_scale(code: str, scale: float, axis: int) -> None:
    one = replace(of_code(code), spacing=(3 * scale, 2 * scale, scale))
    spacing, origin = list(one.spacing), list(one.origin)
    spacing[axis] *= 1.01
    assert differences(one, replace(one, spacing=tuple(spacing))).keys() == {"spacing"}
    origin[axis] += 3.1 * scale
    assert differences(one, replace(one, origin=tuple(origin))).keys() == {"origin"}
    tilt = Rotation.from_euler("xyz"[axis], 0.2, degrees=True).as_matrix()
    direction = tuple((tilt @ np.reshape(one.direction, (3, 3))).ravel())
    assert differences(one, replace(one, direction=direction)).keys() == {"direction"}
    other = of_code(CODES[(CODES.index(code) + 1) % 48]).direction
    both = differences(one, replace(one, direction=other, origin=tuple(origin)))
    assert both.keys() == {"origin", "direction"}
    assert both["direction"] == (code, CODES[(CODES.index(code) + 1) % 48])
    assert differences(one, replace(one, shape=(9, 9, 9), origin=(99, 0, 0))) == {
        "size": ("3 × 4 × 5", "9 × 9 × 9")
    }


def test_what_may_differ_is_a_warning() -> None:
    one = VolumePlace("its image", Path("a.nii"), of_code("LPS"))
    other = VolumePlace(
        "the label", Path("b.nii"), replace(of_code("RAS"), spacing=(3.0, 2.0, 1.1))
    )
    (error,), (warning,) = mismatches(other, one, FATAL_OF_LABELS)
    assert str(error) == (
        "b.nii: the label's spacing 3 × 2 × 1.1 mm is not that of its image, 3 × 2 × 1 mm (a.nii)"
    )
    assert str(warning) == (
        "b.nii: the label's direction RAS is not that of its image, LPS (a.nii); "
        "voxels are matched by index"
    )

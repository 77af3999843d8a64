from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spsam.data.geometry import Geometry, nonzero_box, orientation, turn_to

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

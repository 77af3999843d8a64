"""Images given as paths, SimpleITK images and arrays become one and the same case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from spsam.data.given_image import given_case
from spsam.errors import InputError
from tests.data.layouts import SPACING, random_image, write_image

TURN = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def test_a_path_an_image_and_an_array_are_the_same_volume(tmp_path: Path) -> None:
    array = random_image(1)
    file = write_image(tmp_path / "a.mha", array, direction=TURN)
    cases = [
        given_case(file),
        given_case(str(file)),
        given_case([file]),
        given_case(SimpleITK.ReadImage(str(file))),
        given_case(array, SPACING, origin=(3, -4, 5), direction=TURN),
        given_case(array[None], SPACING, origin=(3, -4, 5), direction=TURN),
    ]
    first = cases[0].load()
    for case in cases:
        volume = case.load()
        np.testing.assert_array_equal(volume.image, first.image)
        assert volume.geometry == first.geometry == case.geometry()
        assert volume.label is None


def test_channels_are_components_a_fourth_axis_or_files(tmp_path: Path) -> None:
    array = np.stack([random_image(1), random_image(2)])
    files = [write_image(tmp_path / f"a_000{m}.mha", array[m]) for m in range(2)]
    library: Any = SimpleITK
    joined = library.JoinSeries([library.ReadImage(str(file)) for file in files])
    composed = library.Compose([library.ReadImage(str(file)) for file in files])
    for image in (files, [str(file) for file in files], joined, composed, tmp_path):
        volume = given_case(image).load()
        np.testing.assert_array_equal(volume.image, array)
        assert volume.spacing == SPACING
    np.testing.assert_array_equal(given_case(array, SPACING).load().image, array)


@pytest.mark.parametrize(
    ("image", "place", "message"),
    [
        (random_image(1), {}, r"an array requires its spacing: \(z, y, x\) in mm"),
        (random_image(1), {"spacing": (1, 1)}, r"expected three lengths \(z, y, x\)"),
        (random_image(1), {"spacing": (1, 0, 1)}, "expected three lengths"),
        (random_image(1), {"spacing": (1, float("nan"), 1)}, "expected three lengths"),
        (random_image(1)[0], {"spacing": (1, 1, 1)}, r"got the shape \(20, 24\)"),
        (random_image(1), {"spacing": (1, 1, 1), "origin": (1,)}, "origin: expected a position"),
        (random_image(1), {"spacing": (1, 1, 1), "direction": (1,)}, "expected nine cosines"),
        (np.full((2, 3, 4), np.nan), {"spacing": (1, 1, 1)}, "24 voxels that are NaN"),
        (np.zeros((2, 3, 4), complex), {"spacing": (1, 1, 1)}, "expected one number each"),
        (np.array([[["a"]]]), {"spacing": (1, 1, 1)}, "expected one number each"),
        (SimpleITK.Image(4, 4, SimpleITK.sitkInt16), {}, "expected a 3D image, got 2 dimensions"),
        (
            SimpleITK.Image(4, 4, 4, SimpleITK.sitkInt16),
            {"spacing": (1, 1, 1)},
            "only valid for an array",
        ),
        (7, {}, "expected a path, a list of paths"),
        ([], {}, "expected a path, a list of paths"),
        ("nowhere.nii.gz", {}, "there is no such file or folder"),
        (["nowhere.nii.gz", "nor.nii.gz"], {}, "there is no such file or folder"),
    ],
)
def test_what_is_no_volume_is_refused(image: Any, place: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        given_case(image, **place)


def test_a_folder_of_several_images_is_no_image(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.nii.gz", random_image(1))
    with pytest.raises(InputError, match=r"expected one image, got 2 \(a, b"):
        given_case(tmp_path)

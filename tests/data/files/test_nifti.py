from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from spsam.data.files.nifti import nifti_problems
from tests.data.layouts import SHAPE, random_image, truncate, write_image


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_whole_files_pass_and_cut_ones_do_not(tmp_path: Path, ending: str, dtype: Any) -> None:
    path = write_image(tmp_path / f"a{ending}", random_image(0).astype(dtype))
    assert nifti_problems(path) == []
    content = path.read_bytes()
    for size in (0, 10, 352, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        (problem,) = nifti_problems(path)
        assert problem.file == path
        assert "truncated" in problem.message


def test_the_library_alone_would_not_notice(tmp_path: Path) -> None:
    """Why this module exists; when this fails, it can go."""
    path = write_image(tmp_path / "a.nii.gz", random_image(0))
    truncate(path)
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert (read[-1] == 0).all()
    array = random_image(0)
    array[0, 0, 0] = np.nan
    write_image(path, array)
    assert SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0, 0, 0] == 0


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.nii.gz", random_image(0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert len(nifti_problems(path)) == 1


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4"])
def test_either_byte_order(tmp_path: Path, dtype: str) -> None:
    order = dtype[0]
    header = np.zeros(1, _header(order))
    header["size"], header["dim"] = 348, [3, 4, 5, 6, 1, 1, 1, 1]
    header["kind"], header["bits"] = (16, 32) if dtype.endswith("4") else (64, 64)
    header["offset"] = 352
    values = np.ones(120, dtype)
    values[7] = np.inf
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header.tobytes() + bytes(4) + values.tobytes()))
    (problem,) = nifti_problems(path)
    assert "1 voxels" in problem.message


def _header(order: str) -> np.dtype[Any]:
    return np.dtype(
        {
            "names": ["size", "dim", "kind", "bits", "offset"],
            "formats": [f"{order}i4", (f"{order}i2", 8), f"{order}i2", f"{order}i2", f"{order}f4"],
            "offsets": [0, 40, 70, 72, 108],
            "itemsize": 348,
        }
    )


def test_other_formats_are_left_to_the_library(tmp_path: Path) -> None:
    assert nifti_problems(write_image(tmp_path / "a.mha", random_image(0, SHAPE))) == []

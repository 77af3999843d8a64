"""Which files an image is read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from spsam.data.files.parts import parts
from tests.data.layouts import random_image, write_dicom, write_image


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (".nii", ["a.nii"]),
        (".nii.gz", ["a.nii.gz"]),
        (".nrrd", ["a.nrrd"]),
        (".mha", ["a.mha"]),
        (".mhd", ["a.mhd", "a.raw"]),
        (".nhdr", ["a.nhdr", "a.raw"]),
        (".hdr", ["a.hdr", "a.img"]),
        (".img", ["a.img", "a.hdr"]),
        (".img.gz", ["a.img.gz", "a.hdr.gz"]),
    ],
)
def test_headers_and_their_voxels(tmp_path: Path, ending: str, expected: list[str]) -> None:
    path = write_image(tmp_path / f"a{ending}", random_image(0))
    found = parts(path)
    assert [each.name for each in found] == expected
    assert {each.name for each in tmp_path.iterdir()} == set(expected)


def test_packed_voxels(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(random_image(0))
    for ending in (".mhd", ".nhdr"):
        SimpleITK.WriteImage(image, str(tmp_path / f"a{ending}"), useCompression=True)
    assert {each.name for each in parts(tmp_path / "a.mhd")} == {"a.mhd", "a.zraw"}
    assert {each.name for each in parts(tmp_path / "a.nhdr")} == {"a.nhdr", "a.raw.gz"}


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("a.mhd", "ElementDataFile = sub/b.raw\n", ["sub/b.raw"]),
        ("a.mhd", "ElementDataFile = LIST\nb.raw\nc.raw\n\0\0", ["b.raw", "c.raw"]),
        ("a.mhd", "ElementDataFile = s%02d.raw 1 5 2\n", ["s01.raw", "s03.raw", "s05.raw"]),
        ("a.mha", "ElementDataFile = LOCAL\nElementDataFile", []),
        ("a.MHD", "ElementDataFile = b.raw\r\n", ["b.raw"]),
        ("a.nhdr", "data file: b.raw\n\ndata file: c.raw", ["b.raw"]),
        ("a.nhdr", "DataFile: b.raw\n", ["b.raw"]),
        ("a.nhdr", "data file: LIST 2\nb.raw\r\nc.raw\r\n\r\nx", ["b.raw", "c.raw"]),
        ("a.nrrd", "type: float\ndata file: ../b.raw\n", ["../b.raw"]),
        ("a.nrrd", "type: float\n\ndata file: b.raw\n", []),
        ("a.mhd", "ElementDataFile = %q.raw 1 2 1\n", []),
    ],
)
def test_what_a_header_may_name(tmp_path: Path, name: str, entry: str, expected: list[str]) -> None:
    (tmp_path / name).write_bytes(b"NRRD0004\n" + entry.encode())
    assert parts(tmp_path / name) == (tmp_path / name, *(tmp_path / each for each in expected))


def test_a_series_is_its_slices(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "scan", np.zeros((3, 4, 5), np.int16) + 1)
    (folder / "notes.txt").write_text("x")
    assert sorted(each.name for each in parts(folder)) == ["001.dcm", "002.dcm", "003.dcm"]
    assert parts(tmp_path) == (tmp_path,)
    assert parts(tmp_path / "nothing.mhd") == (tmp_path / "nothing.mhd",)

"""MetaImage and NRRD files are whole, or refused by name."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from spsam.data.files.image import read_array, read_geometry
from spsam.errors import InputError
from tests.data.layouts import SHAPE, random_image, truncate

DATA = {
    (".mha", True): ".mha",
    (".mha", False): ".mha",
    (".mhd", True): ".zraw",
    (".mhd", False): ".raw",
    (".nrrd", True): ".nrrd",
    (".nrrd", False): ".nrrd",
    (".nhdr", True): ".raw.gz",
    (".nhdr", False): ".raw",
}
KINDS = [pytest.param(*key, id=f"{key[0]}-{key[1]}") for key in DATA]


def write(folder: Path, ending: str, packed: bool) -> tuple[Path, Path]:
    """The file that is opened, and the one with the voxels."""
    path = folder / f"a{ending}"
    image = SimpleITK.GetImageFromArray(random_image(0))
    SimpleITK.WriteImage(image, str(path), useCompression=packed)
    return path, folder / f"a{DATA[ending, packed]}"


def refused(path: Path, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_array(path)
    assert caught.value.problems[0].file is not None


@pytest.mark.parametrize(("ending", "packed"), KINDS)
def test_whole_files_are_read_and_damaged_ones_are_not(
    tmp_path: Path, ending: str, packed: bool
) -> None:
    path, data = write(tmp_path, ending, packed)
    read, geometry = read_array(path)
    np.testing.assert_array_equal(read[0], random_image(0))
    assert geometry == read_geometry(path)
    assert geometry.shape == SHAPE
    content = data.read_bytes()
    if packed:
        spoilt = bytearray(content)
        spoilt[len(content) // 2] ^= 0xFF
        data.write_bytes(spoilt)
        refused(path, "damaged|truncated")
    data.write_bytes(content)
    truncate(data, 0.7)
    refused(path, "damaged|truncated")
    if data != path:
        data.unlink()
        refused(path, "is missing in its folder")


@pytest.mark.parametrize(("ending", "packed"), KINDS)
def test_sizes_are_held_against_the_file(
    tmp_path: Path, ending: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write(tmp_path, ending, packed)
    content = path.read_bytes()
    for old in (b"DimSize = 24 20 5", b"sizes: 24 20 5"):
        content = content.replace(old, old[: old.index(b"24")] + b"2400 2000 5000")
    path.write_bytes(content)
    refused(path, "expected 96000000000 bytes")
    write(tmp_path, ending, packed)
    monkeypatch.setattr("spsam.data.files.reading.memory_at_hand", lambda: 5000)
    refused(path, "its header claims voxels of")


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_voxels_and_places_that_are_no_numbers(tmp_path: Path, ending: str) -> None:
    array = random_image(0)
    array[1, 2, 3:5] = np.nan
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(path))
    refused(path, "2 voxels that are NaN")
    waves = (random_image(0) + 1j).astype(np.complex64)
    if ending == ".mha":
        return  # MetaImage holds none.
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(waves), str(path))
    refused(path, "complex numbers: expected one real number each")


def test_a_header_without_a_place(tmp_path: Path) -> None:
    change: dict[str, Callable[[str], str]] = {
        "zero": lambda t: t.replace("ElementSpacing = 1 1 1", "ElementSpacing = 0 1 1"),
        "nan": lambda t: t.replace("Offset = 0 0 0", "Offset = nan 0 0"),
        "flat": lambda t: t.replace("NDims = 3", "NDims = 9"),
    }
    for spoil in change.values():
        path, _ = write(tmp_path, ".mhd", False)
        path.write_text(spoil(path.read_text()))
        refused(path, "header contains|cannot be read|dimensions")


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_a_bit_of_compressed_voxels_is_not_read_as_another_voxel(
    tmp_path: Path, ending: str
) -> None:
    path, data = tmp_path / f"a{ending}", tmp_path / f"a{DATA[ending, True]}"
    numbers = np.random.default_rng(0)
    voxels = numbers.integers(0, 300, SHAPE).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(path), useCompression=True)
    content = data.read_bytes()
    first = len(content) // 2 if data == path else 0
    for _ in range(40):
        spoilt = bytearray(content)
        spoilt[numbers.integers(first, len(content))] ^= 1 << numbers.integers(8)
        data.write_bytes(spoilt)
        try:
            read, _ = read_array(path)
        except InputError:
            continue
        # gzip's header has bits that mean nothing.
        np.testing.assert_array_equal(read[0], voxels)


def test_a_compressed_nrrd_with_bytes_and_lines_to_skip(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nencoding: gzip\nendian: little\n"
    for skip, before in ((0, b""), (6, b"before"), (-1, b"anything")):
        packed = gzip.compress(before + voxels.tobytes())
        path = tmp_path / f"a{skip}.nhdr"
        (tmp_path / "a.gz").write_bytes(b"a line\n" + packed)
        more = f"byte skip: {skip}\nline skip: 1\ndata file: a.gz\n"
        path.write_text(header + (more if skip else more.replace("byte skip: 0\n", "")))
        np.testing.assert_array_equal(read_array(path)[0][0], voxels)
    (tmp_path / "a.gz").write_bytes(b"a line\n" + packed[:-9] + b"\0" + packed[-8:])
    refused(path, "damaged")

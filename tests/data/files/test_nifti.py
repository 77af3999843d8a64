"""NIfTI files are read as nibabel reads them, or refused by name."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spsam.data.files.image import read_array, read_geometry
from spsam.data.files.nifti import nifti_oddities
from spsam.data.volume import read_volume, write_label
from spsam.errors import InputError
from tests.data.layouts import SHAPE, SPACING, blocks, random_image, truncate, write_image

IMAGES = {1: nibabel.Nifti1Image, 2: nibabel.Nifti2Image}
CODES = st.sampled_from([0, 1, 2, 4])
Change = Callable[[bytearray], object]


def put(at: int, kind: str, *values: float) -> Change:
    return lambda content: struct.pack_into("<" + kind, content, at, *values)


def edit(path: Path, *changes: Change) -> Path:
    """Changes bytes of a file's header, packed or not."""
    packed = path.name.endswith(".gz")
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    for change in changes:
        change(content)
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_array(path)
    (problem,) = caught.value.problems
    assert problem.file is not None
    return str(problem)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_whole_files_pass_and_cut_ones_do_not(tmp_path: Path, ending: str, dtype: Any) -> None:
    array = random_image(0).astype(dtype)
    path = write_image(tmp_path / f"a{ending}", array)
    read, geometry = read_array(path)
    np.testing.assert_array_equal(read[0], array)
    assert (read.dtype, geometry.shape, geometry.spacing) == (dtype, SHAPE, SPACING)
    content = path.read_bytes()
    for size in (0, 10, 352, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert "truncated" in refused(path)


def test_the_image_library_alone_would_not_notice(tmp_path: Path) -> None:
    """Why it does not read them; when this fails, it may again."""
    path = write_image(tmp_path / "a.nii.gz", random_image(0))
    truncate(path)
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert (read[-1] == 0).all()
    array = random_image(0)
    array[0, 0, 0] = np.nan
    write_image(path, array)
    assert SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0, 0, 0] == 0
    # And of two files it takes the other.
    write_image(tmp_path / "b.nii.gz", random_image(1))
    write_image(tmp_path / "b.nii", random_image(2))
    other = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "b.nii.gz")))
    np.testing.assert_array_equal(other, random_image(2))
    np.testing.assert_array_equal(read_array(tmp_path / "b.nii.gz")[0][0], random_image(1))


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.nii.gz", random_image(0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refused(path)


@given(
    kind=st.sampled_from(
        ["u1", "i1", "<i2", ">i2", "<u2", ">i4", "<u4", "<i8", "<f4", ">f4", ">f8"]
    ),
    version=st.sampled_from([1, 2]),
    ending=st.sampled_from([".nii", ".nii.gz"]),
    shape=st.sampled_from([(5, 6, 7), (5, 6, 7, 3), (5, 6, 7, 1, 2), (1, 6, 7)]),
    scale=st.sampled_from([None, (2.0, 0.0), (0.25, -1024.0), (0.0, 7.0)]),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_voxels_are_those_of_nibabel(
    tmp_path: Path, *, kind: str, version: int, ending: str, shape: Any, scale: Any, seed: int
) -> None:
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(kind)
    header = IMAGES[version].header_class(endianness=">" if kind[0] == ">" else "<")
    image = IMAGES[version](array, np.diag([1.5, 1.5, 4, 1]), header, dtype=np.dtype(kind))
    path = tmp_path / f"a{ending}"
    nibabel.save(image, path)
    if scale is not None:
        order, at, form = (
            kind[0] if kind[0] == ">" else "<",
            *((112, "2f"), (176, "2d"))[version - 1],
        )
        edit(path, lambda content: struct.pack_into(order + form, content, at, *scale))
    expected = np.asanyarray(nibabel.load(path).dataobj).reshape((*shape[:3], -1)).transpose()
    read, geometry = read_array(path)
    np.testing.assert_allclose(read, expected, rtol=1e-6)
    assert read.dtype.isnative
    assert geometry == read_geometry(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("named", ["hdr", "img"])
def test_two_files(tmp_path: Path, packed: bool, named: str) -> None:
    write_image(tmp_path / "a.hdr", random_image(0))
    files = [tmp_path / "a.hdr", tmp_path / "a.img"]
    if packed:
        for file in files:
            file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        files = [file.with_name(file.name + ".gz") for file in files]
    path = files[named == "img"]
    np.testing.assert_array_equal(read_array(path)[0][0], random_image(0))
    truncate(files[1])
    assert "a.img" in refused(path)
    files[1].unlink()
    assert "the file of its voxels, a.img, is missing" in (refused(files[0]))


def test_wrong_endings_are_read_by_their_content(tmp_path: Path) -> None:
    plain = write_image(tmp_path / "a.nii", random_image(0))
    packed = write_image(tmp_path / "b.nii.gz", random_image(0))
    for file, name in ((plain, "c.nii.gz"), (packed, "d.nii")):
        other = file.replace(tmp_path / name)
        np.testing.assert_array_equal(read_array(other)[0][0], random_image(0))
    whole = (tmp_path / "c.nii.gz").read_bytes()
    (tmp_path / "e.hdr").write_bytes(whole)
    assert "is a NIfTI of one file: rename it to .nii" in refused(tmp_path / "e.hdr")
    # Members and padding as pigz and tape drives leave them.
    parts = gzip.compress(whole[:1000]) + gzip.compress(whole[1000:]) + bytes(512)
    (tmp_path / "f.nii.gz").write_bytes(parts)
    np.testing.assert_array_equal(read_array(tmp_path / "f.nii.gz")[0][0], random_image(0))


NAN = float("nan")


def test_numbers_whose_products_are_none(tmp_path: Path) -> None:
    """Only the second version holds them; a matrix of such numbers has no axes."""
    for name, value in (("pixdim", 1e300), ("srow_x", 1e200), ("qoffset_x", -1e160)):
        image = nibabel.Nifti2Image(np.zeros((5, 6, 7), np.float32), np.eye(4))
        image.set_qform(np.eye(4), 1)
        image.header["vox_offset"] = 544
        image.header[name][1 if name == "pixdim" else ...] = value
        path = tmp_path / f"{name}.nii"
        path.write_bytes(image.header.binaryblock + bytes(4 + 5 * 6 * 7 * 4))
        assert "numbers above 1e9" in refused(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put(72, "h", 0), r"32 bits, not 0 \(bitpix\)"),
        (put(72, "h", -32), r"32 bits, not -32 \(bitpix\)"),
        (put(70, "2h", 64, 16), r"float64, which have 64 bits, not 16"),
        (put(70, "2h", 32, 64), "complex"),
        (put(70, "2h", 1792, 128), "complex"),
        (put(70, "2h", 128, 24), "colours"),
        (put(70, "2h", 1, 1), "single bits"),
        (put(70, "2h", 1536, 128), "numbers of 128 bits"),
        (put(70, "2h", 0, 0), "of an unknown kind"),
        (put(40, "4h", 3, 24, 20, 0), "sizes .*0"),
        (put(40, "4h", 3, 24, 20, -5), "sizes .*-5"),
        (put(40, "h", 9), "9 dimensions"),
        (put(40, "6h", 5, 24, 20, 5, 2, 2), "got 5 dimensions"),
        (put(40, "h", 2), "got 2 dimensions"),
        (put(40, "4h", 3, 32767, 32767, 8), "expected 34357510000 bytes|expected 3435"),
        (put(108, "f", NAN), "byte nan"),
        (put(108, "f", -8), "byte -8"),
        (put(108, "f", 3e38), "byte 3e.38"),
        (put(112, "2f", 2, NAN), "adds nan"),
        (put(80, "f", NAN), "voxel size .* NaN"),
        (put(280, "f", NAN), "sform contains NaN"),
        (put(280, "f", 1e20), "sform contains .* numbers above 1e9"),
        (put(84, "f", 3e9), "voxel size .* numbers above 1e9"),
        (put(84, "f", 3e-43), "voxel size .* below 1e-9"),
        (put(256, "f", NAN), "qform contains NaN"),
        (put(256, "f", 7), "qform is not a rotation"),
        (lambda c: (put(252, "2h", 1, 0)(c), put(88, "f", 0)(c)), "no voxel size"),
        (lambda c: (put(252, "2h", 0, 1)(c), put(280, "12f", *[0] * 12)(c)), "no length"),
        (lambda c: (put(252, "2h", 0, 1)(c), put(284, "f", 1)(c)), "not at right angles"),
        (put(344, "4s", b"\0\0\0\0"), "does not distinguish left from right"),
        (put(344, "4s", b"ni1\0"), "is a NIfTI of two files: rename"),
        (put(344, "4s", b"abc\0"), "cannot be read as an image"),
        (put(0, "i", 17), "cannot be read as an image"),
    ],
)
def test_headers_that_lie(tmp_path: Path, change: Change, says: str) -> None:
    for ending in (".nii", ".nii.gz"):
        path = edit(write_image(tmp_path / f"a{ending}", random_image(0)), change)
        with pytest.raises(InputError, match=says):
            read_array(path)


def test_what_a_header_claims_is_not_taken_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(tmp_path / "a.nii.gz", random_image(0))
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content + bytes(1000)))
    np.testing.assert_array_equal(read_array(path)[0][0], random_image(0))
    # Made to fill the disk or memory; only a part of it is unpacked.
    monkeypatch.setattr("spsam.data.files.reading._SPARE", 1 << 20)
    path.write_bytes(gzip.compress(content + bytes(4 << 20)))
    assert "unpacks to more than twice as many" in refused(path)
    monkeypatch.setattr("spsam.data.files.reading.memory_at_hand", lambda: 5000)
    assert "its header claims voxels of" in refused(path)


@given(
    codes=st.tuples(CODES, CODES),
    turns=st.lists(st.integers(-320, 320).map(lambda each: each / 100), min_size=6, max_size=6),
    sizes=st.lists(st.floats(-3, 1), min_size=3, max_size=3),
    hand=st.sampled_from([-1, 1]),
    units=st.sampled_from([0, 1, 2, 3, 10]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_label_map_has_the_forms_of_its_scan(
    tmp_path: Path, *, codes: tuple[int, int], turns: Any, sizes: Any, hand: int, units: int
) -> None:
    """Both forms, their codes, voxel size and units, whether they agree or not."""
    spacing = 10.0 ** np.array(sizes)
    image = nibabel.Nifti1Image(random_image(0).transpose(), np.eye(4))
    for form, three, code in ((image.set_qform, 0, codes[0]), (image.set_sform, 3, codes[1])):
        matrix = np.eye(4)
        matrix[:3, :3] = nibabel.eulerangles.euler2mat(*turns[three : three + 3]) * spacing
        matrix[:3, 2] *= hand
        matrix[:3, 3] = 10 * np.array(turns[:3])
        form(matrix, code)
    image.header.set_zooms(spacing)
    image.header["xyzt_units"] = units
    source, made = tmp_path / "a.nii.gz", tmp_path / "out.nii.gz"
    nibabel.save(image, source)
    volume = read_volume(source, None, {})
    write_label(made, blocks(), volume.geometry)
    scan, label = nibabel.load(source), nibabel.load(made)
    for name in (
        *("qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d"),
        *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
    ):
        used = codes[1] if name.startswith("srow") else codes[0]
        if used or "code" in name or "units" in name:
            np.testing.assert_array_equal(scan.header[name], label.header[name], err_msg=name)
    np.testing.assert_array_equal(scan.header["pixdim"][:4], label.header["pixdim"][:4])
    np.testing.assert_array_equal(np.asarray(label.dataobj).transpose(), blocks())
    assert read_geometry(made) == volume.geometry
    theirs = SimpleITK.ReadImage(str(source))
    np.testing.assert_array_equal(volume.spacing, theirs.GetSpacing()[::-1])
    np.testing.assert_allclose(volume.direction, theirs.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(volume.origin, theirs.GetOrigin(), rtol=1e-5)


def test_forms_that_a_user_should_look_at(tmp_path: Path) -> None:
    def said(*changes: Change) -> list[str]:
        path = edit(write_image(tmp_path / "a.nii.gz", random_image(0)), *changes)
        return [problem.message for problem in nifti_oddities(path)]

    rows = put(280, "12f", 1.5, 0, 0, 20, 0, 1.5, 0, 30, 0, 0, 8, 5)
    assert said() == []
    (message,) = said(rows, put(252, "2h", 1, 2))
    assert "sform and qform disagree by up to" in message
    assert "the qform is used" in message
    assert "the sform is used" in said(rows, put(252, "2h", 1, 1))[0]
    assert said(rows, put(252, "2h", 0, 2)) == []
    (message,) = said(put(88, "f", 0))
    assert message == "its voxel size (pixdim) is 0; 8 along z is used from its sform"
    assert read_geometry(tmp_path / "a.nii.gz").spacing == SPACING
    # A single slice has a thickness, too.
    (message,) = said(put(40, "4h", 3, 24, 20, 1), put(88, "f", 4))
    assert "disagree by up to 4 mm" in message
    (message,) = said(put(280, "f", 3), put(252, "2h", 0, 1))
    assert "the latter is used" in message
    assert "not at right angles" in said(put(284, "f", 1))[0]
    assert nifti_oddities(write_image(tmp_path / "a.mha", random_image(0))) == []

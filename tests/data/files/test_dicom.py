"""DICOM slices and frames become the volume that they say they are, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from spsam.data.files.dicom import ordered_files
from spsam.data.files.image import read_array, read_geometry
from spsam.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 1000, (6, 10, 12)).astype(np.uint16)
POSITIONS = (0.0, 3.0, 6.0, 9.0, 12.0, 15.0)
Change = Callable[[Dataset], object]


def dataset(pixels: Any, z: float, number: int, series: str = "1.2.3.4") -> Dataset:
    """One slice."""
    meta: Any = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = Dataset()
    data.file_meta, data.SOPClassUID, data.Modality = meta, CTImageStorage, "CT"
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2", series, "1.3"
    data.PatientID = data.PatientName = "none"
    data.InstanceNumber, data.ImagePositionPatient = number, [-10, 20, z]
    data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.8, 0.7]
    data.SliceThickness, data.Rows, data.Columns = 3.0, *pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    bits, signed = 8 * pixels.dtype.itemsize, int(pixels.dtype.kind == "i")
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation, data.PixelData = signed, pixels.tobytes()
    return data


def series(
    folder: Path,
    pixels: Any = PIXELS,
    z: Sequence[float] = POSITIONS,
    change: Callable[[int, Dataset], object] = lambda index, data: None,
) -> Path:
    folder.mkdir(exist_ok=True)
    for index, plane in enumerate(pixels):
        data = dataset(plane, z[index], index + 1)
        change(index, data)
        # Names run against the positions.
        data.save_as(folder / f"{len(pixels) - index:03d}.dcm", enforce_file_format=True)
    return folder


def frames(
    file: Path,
    order: Sequence[int] = range(6),
    z: Sequence[float] = POSITIONS,
    change: Change = lambda data: None,
) -> Path:
    """One enhanced file: frame k is slice `order[k]`, spacing and orientation are shared."""
    data = dataset(PIXELS[list(order)], 0, 1)
    shared, groups = Dataset(), []
    measures, turn = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = data.PixelSpacing, 3.0
    turn.ImageOrientationPatient = data.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    for index in order:
        place, values, group = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [-10, 20, z[index]]
        values.RescaleSlope, values.RescaleIntercept = index + 0.5, -index
        group.PlanePositionSequence = [place]
        group.PixelValueTransformationSequence = [values]
        groups.append(group)
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = groups
    data.NumberOfFrames = len(groups)
    for name in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"):
        delattr(data, name)
    change(data)
    data.save_as(file, enforce_file_format=True)
    return file


SCALED = np.stack([PIXELS[k] * (k + 0.5) - k for k in range(6)])


def refused(path: Path, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_array(path)
    assert all(problem.file is not None for problem in caught.value.problems)


def test_every_slice_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    def scale(index: int, data: Dataset) -> None:
        data.RescaleSlope = "1" if index == 0 else f"0.0{index}"
        data.RescaleIntercept = str(-index)

    read, geometry = read_array(series(tmp_path / "s", change=scale))
    slopes = np.array([1, 0.01, 0.02, 0.03, 0.04, 0.05])[:, None, None]
    expected = PIXELS * slopes - np.arange(6)[:, None, None]
    np.testing.assert_allclose(read[0], expected, rtol=1e-6)
    assert (geometry.spacing, geometry.origin) == ((3.0, 0.8, 0.7), (-10.0, 20.0, 0.0))
    assert geometry == read_geometry(tmp_path / "s")
    names = [Path(file).name for file in ordered_files(tmp_path / "s")]
    assert names == [f"{number:03d}.dcm" for number in range(6, 0, -1)]


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u4", "i4"])
def test_signs_and_widths(tmp_path: Path, kind: str) -> None:
    pixels = np.arange(-360, 360).reshape(6, 10, 12).astype(kind)
    np.testing.assert_array_equal(read_array(series(tmp_path / "s", pixels))[0][0], pixels)


@pytest.mark.parametrize("order", [range(6), (3, 1, 5, 0, 2, 4), (5, 4, 3, 2, 1, 0)])
def test_frames_are_ordered_by_their_position(tmp_path: Path, order: Sequence[int]) -> None:
    file = frames(tmp_path / "e.dcm", order)
    for place in (file, tmp_path):
        read, geometry = read_array(place)
        np.testing.assert_allclose(read[0], SCALED, rtol=1e-6)
        assert geometry.spacing == (3.0, 0.8, 0.7)
        assert geometry == read_geometry(place)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_packed_pixels_are_those_that_were_packed(
    tmp_path: Path, syntax: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(data: Dataset) -> None:
        data.compress(syntax, generate_instance_uid=False)

    file = frames(tmp_path / "e.dcm", (3, 1, 5, 0, 2, 4), change=pack)
    np.testing.assert_allclose(read_array(file)[0][0], SCALED, rtol=1e-6)
    # Where pydicom has no decoder, the image library's is taken, and scales nothing by itself.
    decoder = "pydicom.pixels.decoders.base.Decoder.is_available"
    monkeypatch.setattr(decoder, property(lambda self: False))
    np.testing.assert_allclose(read_array(file)[0][0], SCALED, rtol=1e-6)


def test_phases_gaps_and_repeats(tmp_path: Path) -> None:
    phases = (0.0, 3.0, 6.0, 0.0, 3.0, 6.0)

    def number(index: int, data: Dataset) -> None:
        data.EchoTime = str(10 + 10 * (index // 3))

    says = r"positions repeat: 6 slices have 3 positions, 2 at each.*\(they differ in EchoTime\)"
    refused(series(tmp_path / "a", z=phases, change=number), says)
    refused(frames(tmp_path / "a.dcm", z=phases), "positions repeat: 6 slices have 3 positions")
    gap = (0.0, 3.0, 6.0, 12.0, 15.0, 18.0)
    refused(series(tmp_path / "b", z=gap), "6 mm apart, the others 3 mm: a slice is missing")
    refused(frames(tmp_path / "b.dcm", z=gap), r"b\.dcm \(frame 3\) and b\.dcm \(frame 4\)")
    twice = (0.0, 3.0, 6.0, 6.0, 9.0, 12.0)
    refused(series(tmp_path / "c", z=twice), "two slices have the same position")
    refused(frames(tmp_path / "c.dcm", z=twice), "two slices have the same position")
    refused(series(tmp_path / "d", z=(3.0,) * 6), "6 slices have 1 positions, 6 at each")


def of(name: str, value: Any) -> Callable[[int, Dataset], object]:
    """Sets or, with None, takes away an attribute of the third slice."""

    def change(index: int, data: Dataset) -> None:
        if index == 2 and value is None:
            delattr(data, name)
        elif index == 2:
            setattr(data, name, value)

    return change


def table(index: int, data: Dataset) -> None:
    data.ModalityLUTSequence = [Dataset()]


def upper(index: int, data: Dataset) -> None:
    data.BitsStored, data.HighBit = 8, 15


def scaled(index: int, data: Dataset) -> None:
    if index == 2:
        data.RescaleSlope, data.RescaleIntercept = 2, 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (of("ImageOrientationPatient", [0, 1, 0, 0, 0, 1]), r"not parallel \(2 orientations"),
        (of("PixelSpacing", [0.9, 0.7]), "differ in pixel spacing"),
        (of("PixelSpacing", None), "PixelSpacing is missing"),
        (of("ImagePositionPatient", None), "ImagePositionPatient is missing"),
        (of("RescaleSlope", 2), "RescaleSlope without RescaleIntercept"),
        (of("RescaleIntercept", 0), "RescaleIntercept without RescaleSlope"),
        (scaled, r"5 of 6 slices have no scale of their values .*, as 001.dcm"),
        (of("RescaleSlope", 0), r"multiplied by 0 \(RescaleSlope\)"),
        (of("PhotometricInterpretation", "PALETTE COLOR"), r"colours \(PALETTE COLOR\)"),
        (of("PixelData", b"abcd"), "cannot be read"),
        (of("PixelData", None), "contains no pixels"),
        (table, r"lookup table \(ModalityLUTSequence\)"),
        (upper, "claims 8 of 16 bits with high bit 15"),
    ],
)
def test_series_that_are_no_volume(
    tmp_path: Path, change: Callable[[int, Dataset], object], says: str
) -> None:
    refused(series(tmp_path / "s", change=change), says)


@pytest.mark.parametrize("length", [140, 300, 700])
def test_a_damaged_slice_is_not_left_out(tmp_path: Path, length: int) -> None:
    """The last one: without it the others would be a volume."""
    folder = series(tmp_path / "s")
    (folder / "notes.txt").write_text("x")
    report = dataset(PIXELS[0], 0, 1, series="1.2.3.5")
    del report.PixelData, report.Rows
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_array(folder)[0][0], PIXELS)
    file = folder / "001.dcm"
    file.write_bytes(file.read_bytes()[:length])
    refused(folder, "cannot be read|contains no|is missing")


def test_a_slice_of_a_broken_series_identifier_is_not_left_out(tmp_path: Path) -> None:
    """A byte of it that is changed swallows the tags that follow."""
    folder = series(tmp_path / "s")
    last = dataset(PIXELS[5], 15.0, 6, series="1.2.3.4")
    last.add_new(0x0020000E, "LO", "1.2.3.4 \x00\x13\x00IS")
    del last.Rows
    last.save_as(folder / "001.dcm", enforce_file_format=True)
    refused(folder, "contains no image")


def test_a_vendors_own_sequence_scales_nothing(tmp_path: Path) -> None:
    def private(data: Any) -> None:
        for group in data.PerFrameFunctionalGroupsSequence:
            group.add_new(0x20050010, "LO", "somebody")
            group.add_new(0x2005100F, "SQ", group.PixelValueTransformationSequence)
            del group.PixelValueTransformationSequence

    read, _ = read_array(frames(tmp_path / "a.dcm", change=private))
    np.testing.assert_array_equal(read[0], PIXELS)


def test_frames_that_are_no_volume(tmp_path: Path) -> None:
    def without(data: Any) -> None:
        del data.PerFrameFunctionalGroupsSequence

    def fewer(data: Any) -> None:
        data.PerFrameFunctionalGroupsSequence = data.PerFrameFunctionalGroupsSequence[:5]

    refused(frames(tmp_path / "a.dcm", change=without), "not specify the positions of its 6 frames")
    refused(frames(tmp_path / "b.dcm", change=fewer), "claims 6 frames, but positions of 5")
    file = frames(tmp_path / "c.dcm")
    content = file.read_bytes()
    file.write_bytes(content[:-200])
    refused(file, "cannot be read")
    file.write_bytes(content[:300])
    refused(file, "cannot be read|contains no image")
    file.write_bytes(b"no image at all")
    refused(file, "contains no image|cannot be read")


def test_black_and_white_are_about_screens(tmp_path: Path) -> None:
    def inverted(index: int, data: Dataset) -> None:
        data.PhotometricInterpretation = "MONOCHROME1"

    folder = series(tmp_path / "s", change=inverted)
    np.testing.assert_array_equal(read_array(folder)[0][0], PIXELS)
    own = pydicom.dcmread(folder / "001.dcm").pixel_array
    np.testing.assert_array_equal(read_array(folder)[0][0, 5], own)

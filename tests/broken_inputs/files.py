"""Image files that cannot be read, or hold what no network can take."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pydicom

from tests.broken_inputs.kinds import (
    PREDICTED,
    Command,
    Kind,
    Place,
    ablate,
    check,
    predict,
    prepare,
)
from tests.data.layouts import (
    SHAPE,
    random_image,
    truncate,
    write_acdc,
    write_dicom,
    write_image,
    write_msd,
    write_nnunet,
    write_synapse,
    write_synapse_slices,
)

IMAGE, TWO = "organ_002.nii.gz", "imagesTr/organ_002.hdr"
AGAIN = "copy it again from its source"
Make = Callable[[Place], Sequence[Command]]


def image(spoil: Callable[[Path], object]) -> Make:
    """The Decathlon's layout with one image spoilt, checked and prepared."""

    def make(place: Place) -> Sequence[Command]:
        data = write_msd(place.folder / "organs", 5)
        spoil(data / "imagesTr" / IMAGE)
        return [check(data), prepare(place, data)]

    return make


def scan(name: str, spoil: Callable[[Path], object]) -> Make:
    """One new scan, spoilt, checked."""

    def make(place: Place) -> Sequence[Command]:
        spoil(write_image(place.folder / name, random_image(1)))
        return [check(place.folder / name)]

    return make


def other(write: Callable[[Path], Path], spoil: Callable[[Path], object]) -> Make:
    """Another layout, spoilt, checked and prepared."""

    def make(place: Place) -> Sequence[Command]:
        data = write(place.folder / "data")
        spoil(data)
        return [check(data), prepare(place, data)]

    return make


def series(spoil: Callable[[Path], object]) -> Make:
    """A DICOM series, spoilt, checked as new scans."""

    def make(place: Place) -> Sequence[Command]:
        folder = write_dicom(place.folder / "scan", SLICES)
        spoil(folder)
        return [check(folder)]

    return make


SLICES = np.random.default_rng(0).integers(-1000, 1000, (6, 10, 12)).astype(np.int16)


def with_voxel(value: float) -> Callable[[Path], object]:
    def spoil(path: Path) -> None:
        pixels = random_image(2)
        pixels[2, 3, 4] = value
        write_image(path, pixels)

    return spoil


def header(at: int, kind: str, *values: float) -> Callable[[Path], object]:
    """Changes the header of a packed NIfTI."""

    def spoil(path: Path) -> None:
        content = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into(f"<{kind}", content, at, *values)
        path.write_bytes(gzip.compress(bytes(content)))

    return spoil


def in_two_files(spoil: Callable[[Path], object]) -> Make:
    """The Decathlon's layout with one image as .hdr and .img, whose voxels are spoilt."""

    def make(place: Place) -> Sequence[Command]:
        data = write_msd(place.folder / "organs", 5)
        write_image(data / "imagesTr" / "organ_002.hdr", random_image(2))
        (data / "imagesTr" / IMAGE).unlink()
        text = (data / "dataset.json").read_text()
        (data / "dataset.json").write_text(text.replace(f"imagesTr/{IMAGE}", TWO))
        spoil(data / "imagesTr" / "organ_002.img")
        return [check(data), prepare(place, data)]

    return make


def beyond_32_bits(path: Path) -> None:
    pixels = random_image(2).astype(np.float64)
    pixels[2, 3, 4] = 1e39
    write_image(path, pixels)


def complex_numbers(path: Path) -> None:
    image = nibabel.Nifti1Image((random_image(2) + 1j).astype(np.complex64), np.eye(4))
    nibabel.save(image, path)


def phases(folder: Path) -> None:
    for number, place in enumerate((0, 3, 6, 0, 3, 6), start=1):
        file = folder / f"{number:03d}.dcm"
        slice_ = pydicom.dcmread(file)
        slice_.ImagePositionPatient = [-10, 20, place]
        slice_.save_as(file)


def flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def broken_link(folder: Path) -> None:
    file = folder / "patient002" / "patient002_frame01.nii.gz"
    file.unlink()
    file.symlink_to(folder / "nowhere.nii.gz")


def folder_instead(folder: Path) -> None:
    file = folder / "patient002" / "patient002_frame01.nii.gz"
    file.unlink()
    file.mkdir()


def without_permission(place: Place) -> Sequence[Command]:
    data = write_msd(place.folder / "organs", 5)
    place.denied = (IMAGE,)
    return [check(data), prepare(place, data)]


def scan_without_permission(place: Place) -> Sequence[Command]:
    file = write_image(place.folder / "scan.nii.gz", random_image(1))
    place.denied = (file.name,)
    return [predict(place, place.home / "run0", file)]


def spoilt_scan(place: Place) -> Sequence[Command]:
    file = write_image(place.folder / "scan.nii.gz", random_image(1))
    truncate(file)
    return [predict(place, place.home / "run0", file)]


def nan_in_ablation(place: Place) -> Sequence[Command]:
    data = write_msd(place.folder / "organs", 5)
    with_voxel(np.nan)(data / "imagesTr" / IMAGE)
    return [ablate(place, "S1", "--data", data)]


def frame_copied(place: Place) -> Sequence[Command]:
    data = write_acdc(place.folder / "acdc", 5, frames=(1,))
    for end in ("", "_gt"):
        file = data / "patient002" / f"patient002_frame01{end}.nii.gz"
        shutil.copy(file, file.with_name(f"patient002_frame99{end}.nii.gz"))
    return [check(data)]


def rest_of(folder: Path, pattern: str) -> None:
    """Takes away the files of a pattern."""
    for file in folder.glob(pattern):
        file.unlink()


def slices(spoil: Callable[[Path], object]) -> Make:
    def make(place: Place) -> Sequence[Command]:
        data = write_synapse_slices(place.folder / "data")
        spoil(data)
        return [check(data)]

    return make


NPZ, H5 = "train_npz/case0005_slice002.npz", "test_vol_h5/case0001.npy.h5"

KINDS = (
    Kind(
        "a gzip file that ends early", image(truncate), f"{IMAGE}: .*compressed data end.*{AGAIN}"
    ),
    Kind(
        "text renamed to .nii.gz",
        image(lambda p: p.write_text("patient 7, see the other disk\n" * 20)),
        f"{IMAGE}: cannot be read as an image .*{AGAIN}",
    ),
    Kind(
        "a picture packed as .nii.gz",
        image(lambda p: p.write_bytes(gzip.compress(b"\x89PNG\r\n\x1a\n" * 99))),
        f"{IMAGE}: cannot be read as an image .*{AGAIN}",
    ),
    Kind(
        "a file of no bytes", image(lambda p: p.write_bytes(b"")), f"{IMAGE}: .*truncated.*{AGAIN}"
    ),
    Kind(
        "a packed file of no bytes",
        image(lambda p: p.write_bytes(gzip.compress(b""))),
        f"{IMAGE}: .*header is not complete.*{AGAIN}",
    ),
    Kind("a flipped bit", image(flipped_bit), f"{IMAGE}: .*damaged.*{AGAIN}"),
    Kind("NaN in an image", image(with_voxel(np.nan)), f"{IMAGE}: the image has 1 voxels.*NaN"),
    Kind("infinity in an image", image(with_voxel(-np.inf)), f"{IMAGE}: .* 1 voxels .* infinite"),
    Kind(
        "an image of one value",
        image(lambda p: write_image(p, np.full(SHAPE, 7, np.int16))),
        f"{IMAGE}: the image is empty: every voxel is 7",
    ),
    Kind("a number beyond 32 bits", image(beyond_32_bits), f"{IMAGE}: .* as large as 1e.39"),
    Kind("complex voxels", image(complex_numbers), f"{IMAGE}: its voxels are complex numbers"),
    Kind(
        "more voxels than the file has room for",
        image(header(40, "4h", 3, 32767, 32767, 32767)),
        rf"{IMAGE}: the file is truncated or damaged: expected \d{{14,}} bytes.*{AGAIN}",
    ),
    Kind(
        "bits a voxel that are none",
        image(header(72, "h", 0)),
        rf"{IMAGE}: its header contradicts itself: .* 32 bits, not 0 \(bitpix\)",
    ),
    Kind("NaN in a header", image(header(280, "f", np.nan)), f"{IMAGE}: its sform contains NaN"),
    Kind(
        "voxels in a file of their own, cut off",
        in_two_files(truncate),
        rf"organ_002\.img: .*expected \d+ bytes, got \d+; {AGAIN}",
    ),
    Kind(
        "voxels in a file of their own, missing",
        in_two_files(Path.unlink),
        r"organ_002\.hdr: the file of its voxels, organ_002\.img, is missing",
    ),
    Kind("NaN in an ablation's data", nan_in_ablation, f"error: .*{IMAGE}: .* NaN"),
    Kind("a file without permission", without_permission, f"{IMAGE}: cannot be read: Permission"),
    Kind(
        "a link that leads nowhere",
        other(write_acdc, broken_link),
        r"patient002_frame01.nii.gz: cannot be read: No such file.*check that it exists",
    ),
    Kind(
        "a folder called as an image",
        other(write_acdc, folder_instead),
        r"patient002_frame01.nii.gz: cannot be read: Is a directory",
    ),
    Kind("a .nii file cut off", scan("a.nii", truncate), rf"a\.nii: .*expected \d+ bytes.*{AGAIN}"),
    Kind("an .mha file cut off", scan("a.mha", truncate), rf"a\.mha: cannot be read.*{AGAIN}"),
    Kind("an .nrrd file cut off", scan("a.nrrd", truncate), rf"a\.nrrd: cannot be read.*{AGAIN}"),
    Kind(
        "a scan to predict cut off",
        spoilt_scan,
        rf"scan\.nii\.gz: the file is trunc.*{AGAIN}",
        1,
        PREDICTED,
    ),
    Kind(
        "a scan to predict without permission",
        scan_without_permission,
        r"scan\.nii\.gz: cannot be read: Permission denied",
        1,
        PREDICTED,
    ),
    Kind(
        "an image that is missing",
        other(write_nnunet, lambda d: rest_of(d, "imagesTr/bt_002_0001*")),
        r"bt_002_0001\.nii\.gz: the image does not exist, but its label does",
    ),
    Kind(
        "a label that is missing",
        other(write_msd, lambda d: rest_of(d, "labelsTr/organ_003*")),
        r"labelsTr/organ_003\.nii\.gz: the file does not exist, but dataset\.json lists it",
    ),
    Kind(
        "a reference without its frame",
        other(write_acdc, lambda d: rest_of(d, "patient003/*frame08.nii.gz")),
        r"patient003_frame08_gt\.nii\.gz: the image patient003_frame08\.nii\.gz is missing",
    ),
    Kind(
        "a label of the challenge without its image",
        other(write_synapse, lambda d: rest_of(d, "img/img0005*")),
        r"label0005\.nii\.gz: the image img0005\.nii\.gz is missing",
    ),
    Kind(
        "a frame copied under another name",
        frame_copied,
        "patient002_frame01, patient002_frame99 are the same image",
        0,
    ),
    Kind(
        "slices that are missing", slices(lambda d: rest_of(d, NPZ)), "slices 2 of case0005 are m"
    ),
    Kind("an .npz file cut off", slices(lambda d: truncate(d / NPZ)), rf"slice002\.npz: .*{AGAIN}"),
    Kind(
        "an .npz file without its label",
        slices(lambda d: np.savez(d / NPZ, image=np.eye(9))),
        r"slice002\.npz: cannot be read: it lacks 'image' or 'label'",
    ),
    Kind(
        "an .h5 file cut off", slices(lambda d: truncate(d / H5)), rf"npy\.h5: .*damaged.*{AGAIN}"
    ),
    Kind(
        "a DICOM series with a slice missing",
        series(lambda d: rest_of(d, "003.dcm")),
        "scan: the slices .* are 6 mm apart, the others 3 mm: a slice is missing",
    ),
    Kind(
        "a DICOM slice that is there twice",
        series(lambda d: write_dicom(d, SLICES[:1], first=50)),
        r"scan: two slices have the same position \(.*dcm is one of them\)",
    ),
    Kind(
        "two phases in one DICOM series",
        series(phases),
        "scan: positions repeat: 6 slices have 3 positions, 2 at each, .*into its own folder",
    ),
    Kind(
        "two DICOM series in a folder",
        series(lambda d: write_dicom(d, SLICES, series="1.2.826.0.1.3680043.2.1125.2", first=50)),
        "scan: expected one DICOM series, the folder has 2: .*; move each into its own folder",
    ),
    Kind(
        "a DICOM slice of another size",
        series(lambda d: write_dicom(d, SLICES[:1, :5], first=5)),
        r"scan: the slices of the DICOM series differ in size \(5 × 12, 10 × 12\)",
    ),
)

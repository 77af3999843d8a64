"""Files that lie beside the ones that are meant, in every layout and among new scans."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spsam.data.checking.examine import examine
from spsam.data.dataset import open_dataset, open_scans
from spsam.data.sources.beside import is_litter, stem
from spsam.data.sources.volumes import left_out, open_volumes
from spsam.errors import InputError
from tests.data.layouts import (
    random_image,
    write_acdc,
    write_amos,
    write_dicom,
    write_image,
    write_msd,
    write_nnunet,
    write_synapse,
    write_synapse_slices,
)

WRITERS = (write_acdc, write_amos, write_msd, write_nnunet, write_synapse, write_synapse_slices)
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.nii.gz", "scan.nii.gz~")


def litter(folder: Path) -> None:
    """What systems leave in every folder, beside every file."""
    for place in [folder, *(each for each in folder.rglob("*") if each.is_dir())]:
        for file in [each for each in place.iterdir() if each.is_file()]:
            (place / f"._{file.name}").write_bytes(b"\0\5\x16\7" + bytes(160))
        for name in LITTER:
            (place / name).write_bytes(b"x")
        for name in ("__MACOSX", "@eaDir", ".git"):
            (place / name).mkdir()
            (place / name / "a.nii.gz").write_bytes(b"x")


@pytest.mark.parametrize("write", WRITERS)
def test_what_systems_leave_is_no_part_of_a_data_set(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    before = open_dataset(write(tmp_path / "data"))
    litter(tmp_path / "data")
    after = open_dataset(tmp_path / "data")
    assert after.fingerprint == before.fingerprint
    assert after.notes == before.notes
    assert not examine(after, workers=1).errors


@pytest.mark.parametrize(
    ("write", "file"),
    [
        (write_acdc, "patient001/patient001_frame01_gt copy.nii.gz"),
        (write_amos, "imagesTr/amos_0002.nii.gz"),
        (write_msd, "labelsTr/organ_000.nii"),
        (write_nnunet, "imagesTr/bt_000_0002.nii.gz"),
        (write_nnunet, "imagesTr/new_000_0000.nii.gz"),
        (write_synapse, "img/img1.nii.gz"),
    ],
)
def test_images_that_no_case_has_are_named(
    tmp_path: Path, write: Callable[[Path], Path], file: str
) -> None:
    write_image(write(tmp_path) / file, random_image(0))
    (note,) = (
        each for each in open_dataset(tmp_path).notes if "do not belong to the data set" in each
    )
    assert note.endswith(f"excluded: {file}")


def test_slices_that_no_case_has_are_named(tmp_path: Path) -> None:
    folder = write_synapse_slices(tmp_path) / "train_npz"
    shutil.copy(folder / "case0005_slice000.npz", folder / "case0005_slice000 (1).npz")
    assert open_dataset(tmp_path).notes[-1].endswith("train_npz/case0005_slice000 (1).npz")


def test_a_heart_beat_is_nothing_strange(tmp_path: Path) -> None:
    write_image(write_acdc(tmp_path) / "patient001" / "patient001_4d.nii.gz", random_image(0))
    assert open_dataset(tmp_path).notes == ()


def test_voxels_of_a_header_are_nothing_strange(tmp_path: Path) -> None:
    write_nnunet(tmp_path, ending=".nhdr")
    data = open_dataset(tmp_path)
    assert data.notes == ()
    assert data.cases[0].load().image.shape[0] == 2


@pytest.mark.parametrize("ending", [".NII", ".NII.GZ", ".NRRD", ".MHA"])
def test_endings_in_capitals_are_read(tmp_path: Path, ending: str) -> None:
    write_image(tmp_path / f"a{ending.lower()}", random_image(0)).replace(tmp_path / f"A{ending}")
    (case,) = open_volumes(tmp_path)
    assert case.id == "A"
    assert np.allclose(case.load().image[0], random_image(0))
    assert case.geometry() == case.load().geometry


def test_channels_under_endings_in_capitals(tmp_path: Path) -> None:
    for number in range(2):
        made = write_image(tmp_path / "a.nii.gz", random_image(number))
        made.replace(tmp_path / f"p_000{number}.NII.GZ")
    (case,) = open_volumes(tmp_path)
    assert (case.id, len(case.load().image)) == ("p", 2)


def test_acdc_under_endings_in_capitals(tmp_path: Path) -> None:
    before = open_dataset(write_acdc(tmp_path)).fingerprint
    for file in list(tmp_path.rglob("*.nii.gz")):
        file.replace(file.with_name(file.name.replace(".nii.gz", ".NII.GZ")))
    assert open_dataset(tmp_path).fingerprint == before
    assert not examine(open_dataset(tmp_path), workers=1).errors


SLICES = np.random.default_rng(0).integers(0, 900, (4, 8, 8)).astype(np.int16)


def test_folders_beside_images_are_read_too(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", random_image(1))
    write_image(tmp_path / "folder" / "deep" / "b.mha", random_image(2))
    write_image(tmp_path / "mixed" / "c.nrrd", random_image(3))
    write_dicom(tmp_path / "mixed", SLICES)
    write_dicom(tmp_path / "patient" / "study" / "series", SLICES)
    litter(tmp_path)
    (tmp_path / "patient" / "back").symlink_to(tmp_path)
    assert [case.id for case in open_volumes(tmp_path)] == ["a", "b", "c", "mixed", "series"]
    assert left_out(tmp_path) == []
    (tmp_path / "mixed" / "notes.txt").write_text("x")
    write_image(tmp_path / "d.hdr", random_image(4))
    names = [file.name for file in left_out(tmp_path)]
    assert names == ["d.hdr", "d.img", "notes.txt"]
    assert open_scans(tmp_path).fingerprint


@pytest.mark.parametrize("other", ["a.nii", "A/a.nii.gz", "deep/er/a.mha", "a/000.dcm"])
def test_two_volumes_of_one_name_are_both_named(tmp_path: Path, other: str) -> None:
    write_image(tmp_path / "a.nii.gz", random_image(1))
    if other.endswith(".dcm"):
        write_dicom(tmp_path / "a", SLICES)
    else:
        write_image(tmp_path / other, random_image(2))
    with pytest.raises(InputError, match="two volumes are named 'a'") as caught:
        open_volumes(tmp_path)
    assert other.removesuffix("/000.dcm") in str(caught.value)
    assert "a.nii.gz" in str(caught.value)


def test_what_is_litter() -> None:
    assert stem(Path("._a.nii.gz")) is None
    assert stem(Path("a.NII.gz")) == "a"
    for name in ("THUMBS.DB", "Icon\r", ".a", "b~", "__MACOSX"):
        assert is_litter(Path(name)), name
    for name in ("thumbs", "a.b", "desktop.ini.nii.gz"):
        assert not is_litter(Path(name)), name

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from spsam.config.schema import PatchConfig
from spsam.data.dataset import open_dataset, open_scans
from spsam.data.plan import plan
from spsam.data.preparation.prepare import prepare, prepared_key
from spsam.errors import InputError
from tests.data.layouts import blocks, write_acdc, write_dicom, write_image, write_msd


def test_names_and_folders_are_told_apart(tmp_path: Path) -> None:
    assert open_dataset("phantom").folder is None
    assert open_dataset(write_acdc(tmp_path / "a", 1)).name == "acdc"
    assert open_dataset(str(write_msd(tmp_path / "b", 1))).name == "organs"


def test_an_unknown_name_lists_names_and_layouts() -> None:
    with pytest.raises(InputError, match="did you mean 'phantom'") as caught:
        open_dataset("fantom")
    assert "ACDC, Synapse" in str(caught.value)
    assert "spsam data list" in str(caught.value)


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(InputError, match="does not exist"):
        open_dataset("./no/such/folder")


def test_a_folder_of_another_layout_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="layout is not recognised"):
        open_dataset(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(InputError, match="expected a folder"):
        open_dataset(tmp_path / "x.txt")


def test_an_unknown_case_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'phantom01_ED'"):
        open_dataset("phantom").case("phantom01_EDD")
    assert open_dataset("phantom").case("phantom03_ES").patient == "phantom03"


def test_the_fingerprint_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    first = open_dataset(write_acdc(tmp_path / "a", 2)).fingerprint
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_dataset(tmp_path / "b").fingerprint == first
    (tmp_path / "b" / "split.json").write_text("{}")
    assert open_dataset(tmp_path / "b").fingerprint == first
    image = tmp_path / "b" / "patient001" / "patient001_frame01.nii.gz"
    image.write_bytes(image.read_bytes() + b"x")
    assert open_dataset(tmp_path / "b").fingerprint != first


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr", ".hdr"])
@pytest.mark.parametrize("which", ["imagesTr", "labelsTr"])
def test_any_voxel_changes_the_fingerprint(tmp_path: Path, ending: str, which: str) -> None:
    """In the middle of a large file; of detached ones in the file of voxels."""
    data = write_msd_as(tmp_path, ending)
    before = open_dataset(tmp_path)
    file = next(file for file in (data / which).glob("o_1.*") if file.suffix != ".txt")
    array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(data / which / f"o_1{ending}")))
    array[3, 70:90, 70:90] = 2 - array[3, 70:90, 70:90]
    write_image(data / which / f"o_1{ending}", array)
    after = open_dataset(tmp_path)
    assert after.fingerprint != before.fingerprint
    # A case that was opened before says so, wherever it is read.
    with pytest.raises(InputError, match="has changed since this command opened it") as caught:
        pickle.loads(pickle.dumps(before.case("o_1"))).load()
    assert str(file.parent) in str(caught.value)
    assert before.case("o_0").load().label is not None
    assert after.case("o_1").load().label is not None


def test_data_that_change_between_opening_and_preparing_are_refused(tmp_path: Path) -> None:
    dataset = open_dataset(write_acdc(tmp_path / "acdc", 2))
    patch = PatchConfig().model_dump()
    chosen = plan(dataset, [case.id for case in dataset.cases], **patch)
    label = tmp_path / "acdc" / "patient001" / "patient001_frame01_gt.nii.gz"
    write_image(label, blocks(values=(3, 2, 1)))
    with pytest.raises(InputError, match=r"frame01_gt\.nii\.gz: has changed since this command"):
        prepare(dataset, chosen, tmp_path / "prepared", workers=1)
    assert not (tmp_path / "prepared").exists()
    again = open_dataset(tmp_path / "acdc")
    assert prepared_key(again, chosen) != prepared_key(dataset, chosen)
    assert prepare(again, chosen, tmp_path / "prepared", workers=1).ids


def write_msd_as(folder: Path, ending: str) -> Path:
    """Two cases with an even background, so that files of any format are as long after a change."""
    entries = []
    for case in range(2):
        image = np.full((6, 160, 160), 100, np.int16)
        image[2:5, 20:60, 20:60] = 200 + case
        write_image(folder / "imagesTr" / f"o_{case}{ending}", image)
        write_image(folder / "labelsTr" / f"o_{case}{ending}", (image > 150).astype(np.uint8))
        entries.append({part: f"./{part}sTr/o_{case}{ending}" for part in ("image", "label")})
    about = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a", "2": "b"}}
    (folder / "dataset.json").write_text(json.dumps({**about, "training": entries}))
    return folder


def test_the_fingerprint_is_of_what_is_learnt_from(tmp_path: Path) -> None:
    write_msd(tmp_path, 3)
    file = tmp_path / "dataset.json"
    said = json.loads(file.read_text())
    first = open_dataset(tmp_path).fingerprint

    def with_(**changes: object) -> str:
        file.write_text(json.dumps({**said, **changes}, indent=3))
        return open_dataset(tmp_path).fingerprint

    assert with_(description="mended", numTraining=3, test=["./imagesTs/x.nii.gz"]) == first
    assert with_(training=said["training"][::-1]) == first
    assert with_(training=said["training"][:2]) != first
    assert with_(modality={"0": "CT"}) != first
    assert with_(labels={"0": "background", "1": "spleen", "2": "liver"}) != first
    assert with_(labels={"0": "background", "1": "liver", "3": "spleen", "2": "x"}) != first
    swapped = [dict(entry) for entry in said["training"]]
    swapped[0]["label"], swapped[1]["label"] = swapped[1]["label"], swapped[0]["label"]
    # The labels of these two are alike, their images are not.
    assert with_(training=swapped) == first
    swapped[0]["image"], swapped[1]["image"] = swapped[1]["image"], swapped[0]["image"]
    assert with_(training=swapped) == first
    shutil.copy(tmp_path / "imagesTr" / "organ_001.nii.gz", tmp_path / "imagesTr" / "x.nii.gz")
    shutil.move(tmp_path / "imagesTr" / "x.nii.gz", tmp_path / "imagesTr" / "organ_000.nii.gz")
    assert with_() != first


def test_a_series_of_scans_has_every_slice_in_its_fingerprint(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (4, 8, 8)).astype(np.int16)
    write_dicom(tmp_path / "scan", pixels)
    first = open_scans(tmp_path).fingerprint
    assert open_scans(tmp_path).fingerprint == first
    pixels[2, 3, 3] += 1
    write_dicom(tmp_path / "scan", pixels)
    assert open_scans(tmp_path).fingerprint != first

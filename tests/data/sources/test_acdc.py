from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from spsam.data.dataset import open_dataset
from spsam.errors import InputError
from tests.data.layouts import blocks, write_acdc


def test_cases_patients_and_classes(tmp_path: Path) -> None:
    dataset = open_dataset(write_acdc(tmp_path, patients=2))
    assert [case.id for case in dataset.cases] == [
        "patient001_frame01",
        "patient001_frame08",
        "patient002_frame01",
        "patient002_frame08",
    ]
    assert {case.patient for case in dataset.cases} == {"patient001", "patient002"}
    assert dataset.class_names == ("background", "RV", "MYO", "LV")
    assert dataset.raw_ids == (0, 1, 2, 3)
    assert (dataset.modality, dataset.in_channels, dataset.num_classes) == ("MR", 1, 4)
    volume = dataset.cases[0].load()
    np.testing.assert_array_equal(volume.label, blocks())
    assert dataset.cases[0].geometry() == volume.geometry


def test_the_folder_above_and_the_folder_of_patients_are_one_data_set(tmp_path: Path) -> None:
    write_acdc(tmp_path / "training", patients=2)
    above, inside = open_dataset(tmp_path), open_dataset(tmp_path / "training")
    assert above.fingerprint == inside.fingerprint
    assert above.folder == inside.folder == tmp_path
    assert [case.id for case in above.cases] == [case.id for case in inside.cases]


def test_training_and_testing_are_taken_together(tmp_path: Path) -> None:
    write_acdc(tmp_path / "training", patients=2)
    write_acdc(tmp_path / "testing", patients=1, first=101)
    dataset = open_dataset(tmp_path)
    assert {case.patient for case in dataset.cases} == {"patient001", "patient002", "patient101"}


def test_frames_without_a_reference_are_left_out_and_said(tmp_path: Path) -> None:
    write_acdc(tmp_path, patients=2)
    (tmp_path / "patient001" / "patient001_frame08_gt.nii.gz").unlink()
    shutil.copy(
        tmp_path / "patient002" / "patient002_frame01.nii.gz",
        tmp_path / "patient002" / "patient002_4d.nii.gz",
    )
    dataset = open_dataset(tmp_path)
    assert len(dataset.cases) == 3
    assert dataset.notes == ("1 frames without a reference are excluded: patient001_frame08",)


def test_mistakes_of_the_layout_come_at_once(tmp_path: Path) -> None:
    write_acdc(tmp_path / "training", patients=2)
    write_acdc(tmp_path / "testing", patients=1, first=2)
    (tmp_path / "training" / "patient001" / "patient001_frame01.nii.gz").unlink()
    with pytest.raises(InputError) as caught:
        open_dataset(tmp_path)
    text = str(caught.value)
    assert "the image patient001_frame01.nii.gz is missing" in text
    assert "the patient is also in" in text


def test_no_reference_at_all_is_refused(tmp_path: Path) -> None:
    write_acdc(tmp_path, patients=1, frames=(1,))
    (tmp_path / "patient001" / "patient001_frame01_gt.nii.gz").unlink()
    with pytest.raises(InputError, match="no frame has a reference"):
        open_dataset(tmp_path)


def test_the_real_data_set(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "acdc")
    assert len({case.patient for case in dataset.cases}) == 90
    assert len(dataset.cases) == 180
    volume = dataset.case("patient001_frame01").load()
    assert volume.image.shape == (1, 10, 256, 216)
    assert volume.spacing == (10.0, 1.5625, 1.5625)
    assert volume.label is not None
    # The left ventricle lies within the myocardium, the right one beside it.
    middle = volume.label[5]
    lv, myo = np.argwhere(middle == 3).mean(0), np.argwhere(middle == 2).mean(0)
    assert np.abs(lv - myo).max() < 5 < np.abs(np.argwhere(middle == 1).mean(0) - lv).max()

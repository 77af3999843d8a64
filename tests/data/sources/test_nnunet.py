from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spsam.data.dataset import open_dataset
from spsam.errors import InputError
from tests.data.layouts import SHAPE, random_image, write_image, write_nnunet


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_channels_lie_in_files_of_their_own(tmp_path: Path, ending: str) -> None:
    dataset = open_dataset(write_nnunet(tmp_path / "Dataset007_Brain", ending=ending))
    assert dataset.name == "brain"
    assert dataset.channel_names == ("T1", "T2")
    assert dataset.modality == "MR"
    assert dataset.class_names == ("background", "core", "edema")
    case = dataset.case("bt_002")
    volume = case.load()
    assert volume.image.shape == (2, *SHAPE)
    for channel in range(2):
        np.testing.assert_allclose(volume.image[channel], random_image(20 + channel), rtol=1e-6)
    assert volume.label is not None
    assert set(np.unique(volume.label)) == {0, 1, 2}
    assert len(case.files) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"background": 0, "a": 2, "ignore": 1}}, "'ignore' to have one id"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "'a' and 'b' have the same number 1"),
        ({"labels": {"background": 0, "a": "x"}}, "expected a number for label 'a'"),
        ({"labels": {"a": 1}}, "lacks the id 0 for the background"),
        ({"labels": []}, "expected 'labels' to be an object"),
        ({"channel_names": {"0": "T1", "2": "T2"}}, "expected 'channel_names' 0, 1"),
        ({"channel_names": {"0": "T1", "1": "T2", "2": "x"}}, "0002.nii.gz: the image does not"),
        ({"file_ending": ".png"}, "expected 'file_ending' to be one of"),
        ({"file_ending": ".mha"}, "there is no label"),
    ],
)
def test_mistakes_in_dataset_json(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(write_nnunet(tmp_path, cases=1, **change))


def test_channels_of_different_grids_are_refused(tmp_path: Path) -> None:
    write_nnunet(tmp_path, cases=1)
    write_image(tmp_path / "imagesTr" / "bt_000_0001.nii.gz", random_image(1, (5, 20, 23)))
    with pytest.raises(InputError, match=r"0001.*the channel's size 5 × 20 × 23 is not that of"):
        open_dataset(tmp_path).cases[0].load()


def test_ct_by_the_channels_name(tmp_path: Path) -> None:
    dataset = open_dataset(write_nnunet(tmp_path, channel_names={"0": "CT", "1": "CT_late"}))
    assert dataset.modality == "CT"


@pytest.mark.parametrize("name", ["Dataset007_Brain", "Dataset007", "7", "007"])
def test_names_and_numbers_below_nnunet_raw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = write_nnunet(tmp_path / "raw" / "Dataset007_Brain", cases=1)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    assert open_dataset(name).folder == folder


def test_a_number_that_no_folder_or_several_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(InputError, match=r"nnUNet_raw .* it is not set; set it, or pass"):
        open_dataset("Dataset007_Brain")
    write_nnunet(tmp_path / "Dataset007_Brain", cases=1)
    write_nnunet(tmp_path / "Dataset007_Other", cases=1)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    with pytest.raises(InputError, match=r"Dataset007_\*, Dataset007_Brain, Dataset007_Other"):
        open_dataset("7")
    with pytest.raises(InputError, match=r"Dataset008_\*, there is none"):
        open_dataset("8")
    assert open_dataset("Dataset007_Other").name == "other"


def test_a_folder_comes_before_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nnunet(tmp_path / "7", cases=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("nnUNet_raw", raising=False)
    assert open_dataset("7").folder == Path("7")

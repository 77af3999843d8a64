from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spsam.data.dataset import open_dataset
from spsam.errors import InputError
from tests.data.layouts import write_acdc, write_msd


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

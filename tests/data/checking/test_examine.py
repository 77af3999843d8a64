from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spsam.data.checking.examine import examine
from spsam.data.checking.facts import DataReport
from spsam.data.dataset import open_dataset, open_scans
from tests.data.layouts import random_image, write_acdc, write_image


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Three patients of ACDC, one of whom tests in the published split."""
    folder = tmp_path_factory.mktemp("acdc")
    real = shared_data / "acdc" / "training"
    for number in (1, 3, 57):
        shutil.copytree(real / f"patient{number:03d}", folder / f"patient{number:03d}")
    return folder


def look(folder: Path) -> DataReport:
    return examine(open_dataset(folder), workers=1)


def test_a_sound_copy_has_nothing(small: Path) -> None:
    report = look(small)
    assert report.errors == report.warnings == []
    assert report.cases_of_class == {"RV": 6, "MYO": 6, "LV": 6}


def test_patients_and_images_on_both_sides_of_a_split(tmp_path: Path) -> None:
    folder = write_acdc(tmp_path, patients=4)
    for end in ("", "_gt"):
        source = folder / "patient001" / f"patient001_frame01{end}.nii.gz"
        shutil.copy(source, folder / "patient003" / f"patient003_frame08{end}.nii.gz")
    split = {"train": ["patient001", "patient002"], "test": ["patient003", "patient004"]}
    (folder / "split.json").write_text(json.dumps(split))
    (problem,) = look(folder).errors
    assert "patient001_frame01, patient003_frame08 are the same image, in train and test" in str(
        problem
    )
    split["test"].append("patient002")
    (folder / "split.json").write_text(json.dumps(split))
    assert any("in both train and test: patient002" in str(each) for each in look(folder).errors)


def test_of_two_spacings_that_are_far_apart_both_are_named(tmp_path: Path) -> None:
    for name, size in (("a", 4.0), ("b", 4000.0)):
        write_image(tmp_path / f"{name}.nii.gz", random_image(0) + size, spacing=(size,) * 3)
    told = [str(each) for each in examine(open_scans(tmp_path), workers=1).warnings]
    assert sum("is far from the median" in each for each in told) == 2
    assert told[0] == "spacings are as large as 126.5 mm: is the headers' unit correct?"

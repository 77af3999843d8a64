from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spsam.data.dataset import open_dataset
from spsam.data.examine import examine
from spsam.data.facts import DataReport
from tests.data.layouts import write_acdc


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients of ACDC, one of whom tests in the published split."""
    folder = tmp_path_factory.mktemp("acdc")
    real = Path(__file__).parents[3] / "shared" / "data" / "acdc" / "training"
    if not real.is_dir():
        pytest.skip("the real data sets are not beside this checkout (../shared/data)")
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

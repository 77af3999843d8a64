"""Names of classes in the scores of a folder."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from spsam.data.sources.label_maps import RECORD
from spsam.errors import InputError
from spsam.studies.scores import means, plan_scoring, score, write_scores
from tests.data.layouts import write_image


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    wanted = np.zeros((4, 8, 8), np.uint8)
    wanted[1:3, 1:4, 1:4], wanted[1:3, 5:7, 5:7] = 1, 2
    made = wanted.copy()
    made[1][wanted[1] == 1] = 0
    for name, labels in (("made", made), ("wanted", wanted)):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "a.nii.gz", labels)
    return tmp_path / "made", tmp_path / "wanted"


def test_a_class_called_mean_is_beside_the_mean(folders: tuple[Path, Path], tmp_path: Path) -> None:
    planned = plan_scoring(*folders, classes="mean=1,=cmd=2")
    scores = score(planned)
    dice = {name: values["dice"] for name, values in means(scores).items()}
    assert dice == {
        "class 1 - mean": pytest.approx(2 / 3),
        "=cmd": 1.0,
        "mean": pytest.approx(5 / 6),
    }
    write_scores(tmp_path / "out", planned, scores)
    with (tmp_path / "out" / "scores.csv").open(encoding="utf-8", newline="") as lines:
        assert {line["class_name"] for line in csv.DictReader(lines)} == {
            "class 1 - mean",
            "'=cmd",
        }
    stored = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert list(stored["means"]) == ["class 1 - mean", "=cmd", "mean"]


def test_two_classes_of_a_record_with_one_name_stay_two(folders: tuple[Path, Path]) -> None:
    record = {"classes": {"0": "background", "1": "x", "2": "x"}}
    (folders[0] / RECORD).write_text(json.dumps(record))
    scores = score(plan_scoring(*folders))
    assert list(means(scores)) == ["class 1 - x", "class 2 - x", "mean"]


@pytest.mark.parametrize("classes", ["x=1,x=2", "x=1, x =2", "x=1,y=1", "x=0,y=1", "=1,y=2"])
def test_classes_that_are_not_one_to_one_are_refused(
    classes: str, folders: tuple[Path, Path]
) -> None:
    with pytest.raises(InputError, match="each id and each name once"):
        plan_scoring(*folders, classes=classes)


@pytest.mark.parametrize("side", [0, 1])
def test_a_link_to_a_label_map_that_is_gone_is_named(folders: tuple[Path, Path], side: int) -> None:
    more = [folder / "gone.nii.gz" for folder in folders]
    shutil.copy(next(folders[1 - side].glob("*.nii.gz")), more[1 - side])
    more[side].symlink_to("nowhere")
    with pytest.raises(InputError, match=r"gone\.nii\.gz: is a link to a file that does not exist"):
        score(plan_scoring(*folders))

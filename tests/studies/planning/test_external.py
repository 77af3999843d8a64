"""Predictions made elsewhere: what is refused before anything runs, and what they are known by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spsam.errors import InputError
from tests.studies.conftest import Planner
from tests.studies.fakes import GEOMETRY, tiny_dataset
from tests.studies.label_maps import write_map

TEST_CASES = ("case3", "case6")
"""Of the tiny data set's first fold."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for case in TEST_CASES:
        write_map(tmp_path / "maps", case)
    return tmp_path / "maps"


def problems(plan: Planner, **externals: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        plan("S9", externals=externals)
    return [str(problem) for problem in caught.value.problems]


def test_a_folder_is_a_row_that_is_compared_with_the_first_arm(plan: Planner, folder: Path) -> None:
    ablation = plan("S9", "unet3d", externals={"nnUNet": folder})
    assert ablation.splits[0].test == TEST_CASES
    (external,) = ablation.externals
    (run,) = external.runs
    assert (external.parent, list(run.files), run.seed) == ("S9", list(TEST_CASES), 0)
    told = ablation.describe()["arms"][-1]
    assert told["name"] == "nnUNet"
    assert told["title"] == "predicted by another program, scored by spsam"
    assert set(told["external"]["sha256"]) == set(TEST_CASES)


def test_every_mistake_is_named_at_once(plan: Planner, tmp_path: Path) -> None:
    bad, other = tmp_path / "bad", tmp_path / "other"
    write_map(bad, "case6")
    write_map(bad, "case1")
    write_map(bad, "stranger")
    write_map(other, "case3", ids=(1, 7))
    write_map(other, "case6", geometry=replace(GEOMETRY, shape=(5, 32, 32)))
    twice = tmp_path / "twice"
    write_map(twice, "case3")
    write_map(twice / "more", "case3")
    # Beside the predictions a reference, which is none of them.
    write_map(twice, "case6_gt")
    found = problems(
        plan, bad=bad, other=other, twice=twice, S9=other, nowhere=tmp_path / "nowhere"
    )
    for wanted in (
        "no label map of test case 'case3' here",
        "'case1' is used in training or validation",
        "'stranger' is not in the data set",
        "label values 7 are out of range",
        "the prediction's size 5 × 32 × 32 is not that of case case6",
        "is a second label map of 'case3'",
        "twice: external twice: there is no label map of test case 'case6' here",
        "'case6_gt' is not in the data set",
        "external S9: an arm of the study has this name",
        "expected a folder of label maps",
    ):
        assert any(wanted in problem for problem in found), (wanted, found)


def test_all_folds_that_are_asked_for_must_be_there(plan: Planner, folder: Path) -> None:
    more = plan("S9", folds=[1], split="five_fold").splits[1].test
    with pytest.raises(InputError, match=f"no label map of test case '{more[0]}'"):
        plan("S9", folds=[0, 1], split="five_fold", externals={"nnUNet": folder})
    for case in more:
        write_map(folder, case)
    ablation = plan("S9", folds=[0, 1], split="five_fold", externals={"nnUNet": folder})
    assert [run.data.fold for run in ablation.externals[0].runs] == [0, 1]


def test_the_content_is_the_identity(plan: Planner, folder: Path) -> None:
    def planned() -> tuple[str, str]:
        ablation = plan("S9", externals={"nnUNet": folder})
        return ablation.name, ablation.externals[0].runs[0].folder.run_id

    before = planned()
    assert planned() == before
    write_map(folder, "case6", ids=(2, 1))
    after = planned()
    assert after[0] == before[0]  # the same study
    assert after[1] != before[1]  # other scores


def test_an_old_study_keeps_its_name(plan: Planner, folder: Path) -> None:
    plain = plan("S9").name
    assert plain == plan("S9", externals={}).name
    assert plain != plan("S9", externals={"nnUNet": folder}).name


def test_paths_of_a_study_start_at_its_file(plan: Planner, folder: Path) -> None:
    study = folder.parent / "studies" / "mine.yaml"
    study.parent.mkdir()
    study.write_text(
        "title: Mine\nshape: arms\narms: [S8, S9]\nreference: S9\nexternal: {nnUNet: ../maps}\n"
    )
    (external,) = plan(str(study)).externals
    assert external.folder.resolve() == folder.resolve()
    assert external.parent == "S9"


def test_the_references_are_no_predictions(
    plan: Planner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_dataset()
    cases = [replace(case, files=(folder / f"{case.id}.nii.gz",)) for case in data.cases]
    with_files = replace(data, cases=tuple(cases))
    monkeypatch.setattr("spsam.data.dataset.open_dataset", lambda name: with_files)
    found = problems(plan, nnUNet=folder)
    assert len(found) == 2
    assert all("is the data set's own file" in problem for problem in found)

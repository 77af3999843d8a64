"""Every arm by every recipe, and what arms are compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from spsam.errors import InputError
from spsam.reporting.study_description import as_arms
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request
from spsam.studies.tuning.plan import tuning_of
from tests.studies.conftest import Planner
from tests.studies.fakes import FakeBackend

STUDY = """\
title: Two by two
shape: arms
arms: [S9, unet3d]
reference: S9
recipes:
  own: {}
  shared: {set: {train.optimizer.lr: 0.5}}
"""


def study(tmp_path: Path, text: str = STUDY) -> str:
    file = tmp_path / "two.yaml"
    file.write_text(text)
    return str(file)


def test_every_arm_by_every_recipe(plan: Planner, tmp_path: Path) -> None:
    ablation = plan(study(tmp_path))
    parents = {arm.arm.name: ablation.parent(arm) for arm in ablation.arms}
    assert list(parents) == ["S9:own", "unet3d:own", "S9:shared", "unet3d:shared"]
    assert parents["unet3d:own"] == "S9:own"
    assert parents["unet3d:shared"] == "S9:shared"
    own = {arm.arm.name: arm.runs[0].run_id for arm in ablation.arms}
    # As a user would type it: the same runs.
    typed = plan("S9", "unet3d", overrides={"train.optimizer.lr": 0.5})
    assert [own["S9:shared"], own["unet3d:shared"]] == [a.runs[0].run_id for a in typed.arms]
    assert own["S9:own"] == plan("S9").arms[0].runs[0].run_id


def test_a_recipe_does_not_set_what_is_set_for_all(plan: Planner, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two\.yaml:7: recipes\.shared\.set\.train\.optimizer"):
        plan(study(tmp_path), overrides={"train.optimizer.lr": 0.1})


def test_unequal_steps_are_noted(plan: Planner, tmp_path: Path) -> None:
    assert not any("different numbers" in note for note in plan(study(tmp_path)).notes)
    longer = STUDY.replace("own: {}", "own: {set: {train.epochs: 3}}")
    (note,) = [note for note in plan(study(tmp_path, longer)).notes if "different numbers" in note]
    assert "6 steps of 1 patches: S9:own, unet3d:own; 4 steps" in note


def test_the_description_has_what_a_report_of_schedules_reads(
    plan: Planner, tmp_path: Path
) -> None:
    ablation = plan("time_to_dice")
    for arm, (method, recipe) in zip(
        as_arms(ablation.describe()),
        [arm.arm.name.split(":") for arm in ablation.arms],
        strict=True,
    ):
        assert (arm.method, arm.recipe) == (method, recipe)
        # The preset of these tests has two steps per epoch.
        assert arm.steps == 2 * int(recipe.removeprefix("epochs_"))
    (alone,) = as_arms(plan("S9").describe())
    assert (alone.method, alone.recipe, alone.steps) == ("S9", "", 4)


@pytest.mark.parametrize("emulated", [True, False])
def test_bf16_is_noted_where_the_processor_has_none(
    plan: Planner, monkeypatch: pytest.MonkeyPatch, emulated: bool
) -> None:
    has = {"architecture": "x86_64", "avx512_bf16": not emulated}
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: has)
    values = {"train.precision": "bf16"}
    notes = [note for note in plan("S9", overrides=values).notes if "bf16" in note]
    assert len(notes) == emulated
    assert all("set train.precision=fp32" in note for note in notes)
    assert not any("bf16" in note for note in plan("S9").notes)


def test_a_reference_is_an_arm(plan: Planner, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no arm of the study is named 'S8'"):
        plan("S9", "unet3d", reference="S8")
    with pytest.raises(InputError, match="no arm of the study is named 'S8'"):
        plan(study(tmp_path, STUDY.replace("reference: S9", "reference: S8")))
    ablation = plan("unet2d", "unet3d", reference="unet3d")
    assert [ablation.parent(arm) for arm in ablation.arms] == ["unet3d", None]


def test_the_shipped_comparison_is_planned(plan: Planner) -> None:
    ablation = plan("compare")
    names = {arm.arm.name for arm in ablation.arms}
    assert {"S9:own", "unet3d:shared", "unet2d:tuned"} <= names
    tuning = tuning_of(ablation)
    assert tuning is not None
    assert set(tuning.sweeps) == {name for name in names if name.endswith(":tuned")}
    steps = {(arm.arm.train.epochs, arm.arm.train.iterations) for arm in ablation.arms}
    assert len(steps) == 1
    for arm in ablation.arms:
        if not arm.arm.name.endswith(":own"):
            assert arm.arm.train.optimizer.name == "adamw"


def test_one_arm_is_no_study_that_tunes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="compare: expected arms, got a study that tunes"):
        plan_ablation(Request(["compare"], tmp_path, preset="smoke"), FakeBackend())

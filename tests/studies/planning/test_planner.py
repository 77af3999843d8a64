from __future__ import annotations

import json
from pathlib import Path

import pytest

from spsam.errors import InputError
from tests.studies.conftest import Planner
from tests.studies.fakes import FakeBackend


def problems(error: pytest.ExceptionInfo[InputError]) -> list[str]:
    return [str(problem) for problem in error.value.problems]


def test_nine_arms_with_parents_and_diffs(plan: Planner) -> None:
    described = plan("S1..S9").describe()
    arms = {arm["name"]: arm for arm in described["arms"]}
    assert list(arms) == [f"S{n}" for n in range(1, 10)]
    parents = {name: arm["parent"] for name, arm in arms.items()}
    assert parents["S1"] is None
    assert parents["S2"] == "S1"
    assert parents["S4"] == parents["S5"] == parents["S6"] == "S3"
    assert arms["S1"]["diff"] == []
    assert arms["S6"]["diff"] == [{"key": "blocks.adapter", "parent": "vanilla", "value": "dfused"}]
    assert all(len(arm["diff"]) == 1 for name, arm in arms.items() if name != "S1")
    assert len({arm["run_id"] for arm in arms.values()}) == 9
    assert arms["S1"]["trained_parameters"] == sum(arms["S1"]["parameters"].values())
    assert json.loads(json.dumps(described)) == described


def test_a_run_names_the_parent_that_its_arm_is_compared_with(plan: Planner) -> None:
    both = plan("S1", "S9")
    first, last = both.arms
    assert (both.parent(first), both.parent(last)) == (None, "S1")
    assert last.runs[0].config.arm.parent == "S1"
    assert {change["key"] for change in last.diff} > {"blocks.adapter", "blocks.mask_head"}
    # Where none of its bases is run it is a change of one, and compared with none.
    alone = plan("S9")
    (described,) = alone.describe()["arms"]
    assert (described["parent"], described["base"]) == (None, "S8")
    assert len(described["diff"]) == 1
    assert alone.arms[0].runs[0].folder.run_id == last.runs[0].folder.run_id


def test_planning_writes_nothing(plan: Planner, tmp_path: Path) -> None:
    plan("S1..S9", seeds=(0, 1))
    assert list(tmp_path.iterdir()) == []


def test_a_run_for_every_seed(plan: Planner) -> None:
    ablation = plan("S1,S2", seeds=(0, 4))
    assert [(a.arm.name, r.config.seed) for a, r in ablation.runs] == [
        ("S1", 0),
        ("S2", 0),
        ("S1", 4),
        ("S2", 4),
    ]
    first, *_ = ablation.describe()["arms"]
    assert len(set(first["run_ids"])) == 2
    assert first["run_id"] == first["run_ids"][0]


def test_identity_is_of_values_not_of_names(plan: Planner, tmp_path: Path) -> None:
    (tmp_path / "same.yaml").write_text("base: S3\ntitle: other words\n")
    (tmp_path / "other.yaml").write_text("base: S3\ntrain: {epochs: 7}\n")
    ids = [arm["run_id"] for arm in plan("S3", "same.yaml", "other.yaml").describe()["arms"]]
    assert ids[0] == ids[1] != ids[2]
    again = plan("S3", name="my study", device="cpu", workers=3)
    assert again.describe()["arms"][0]["run_id"] == ids[0]
    assert again.name.startswith("my_study-")


def test_overrides_reach_every_arm_and_its_parent(plan: Planner) -> None:
    ablation = plan("S2", "S3", overrides={"train.epochs": 3})
    assert [arm.arm.train.epochs for arm in ablation.arms] == [3, 3]
    # The override is no difference between an arm and its parent.
    assert [len(arm.diff) for arm in ablation.arms] == [1, 1]


@pytest.mark.parametrize(("data", "preset"), [("phantom", "demo"), ("tiny", "cpu")])
def test_preset_by_data(data: str, preset: str, plan: Planner) -> None:
    assert plan("S1", data=data, preset=None).preset == preset


def test_all_mistakes_at_once(plan: Planner, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: S3\ntrian: {epochs: 1}\nblocks: {adapter: dfusde}\n")
    (tmp_path / "b.yaml").write_text("base: S3\ntrain: {epochs: many}\n")
    with pytest.raises(InputError) as error:
        plan("a.yaml", "b.yaml", data="nowhere/at/all", device="cuda:7")
    said = problems(error)
    assert len(said) == 5
    assert any("a.yaml:2" in line and "'train'" in line for line in said)
    assert any("a.yaml:3" in line and "dfused" in line for line in said)
    assert any("b.yaml:2" in line and "whole number" in line for line in said)
    assert any("nowhere" in line for line in said)
    assert any("cuda:7" in line for line in said)


def test_a_mistake_that_arms_share_is_said_once(plan: Planner) -> None:
    with pytest.raises(InputError) as error:
        plan("S1..S9", overrides={"train.epochz": 3})
    assert len(problems(error)) == 1


def test_no_arms(plan: Planner) -> None:
    with pytest.raises(InputError, match="S9"):
        plan()


def test_unknown_preset_names_the_nearest(plan: Planner) -> None:
    with pytest.raises(InputError, match="did you mean 'smoke'"):
        plan("S1", preset="smok")


def test_two_files_of_one_name(plan: Planner, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text("base: S3\n")
    with pytest.raises(InputError, match="two arms are named 'mine'"):
        plan("a/mine.yaml", "b/mine.yaml")


def test_weights_without_a_file(plan: Planner) -> None:
    with pytest.raises(InputError, match="--checkpoint FILE"):
        plan("S1", overrides={"backbone.weights": "checkpoint"})
    with pytest.raises(InputError, match="this checkpoint file does not exist"):
        plan("S1", checkpoint=Path("none.pth"))


def test_weights_are_part_of_the_identity(plan: Planner, tmp_path: Path) -> None:
    for name, text in [("a.pth", "1"), ("b.pth", "2"), ("c.pth", "1")]:
        (tmp_path / name).write_text(text)
    plans = [plan("S1", checkpoint=Path(name)) for name in ("a.pth", "b.pth", "c.pth")]
    ids = [one.describe()["arms"][0]["run_id"] for one in plans]
    assert ids[0] == ids[2] != ids[1]
    assert plans[0].arms[0].arm.backbone.weights == "checkpoint"
    named = plan("S1", overrides={"backbone.weights": "checkpoint", "backbone.checkpoint": "b.pth"})
    assert named.describe()["arms"][0]["run_id"] == ids[1]
    unused = plan("S1", checkpoint=Path("a.pth"), overrides={"backbone.weights": "random"})
    assert unused.arms[0].checkpoint is None


def test_mistakes_of_the_network_are_gathered(plan: Planner) -> None:
    class Refusing(FakeBackend):
        def size(self, arm, dataset, plan):  # type: ignore[no-untyped-def]
            raise InputError(f"{arm.name}: blocks do not fit")

    with pytest.raises(InputError) as error:
        plan("S1", "S2", backend=Refusing())
    assert problems(error) == ["S1: blocks do not fit", "S2: blocks do not fit"]

"""Arms that score validation cases during training, and those for which there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spsam.errors import InputError
from spsam.studies.execution.ablation import _without_curve, run_ablation
from tests.studies.conftest import Planner
from tests.studies.fakes import FakeBackend, Recorder

BEST = {"train.validate_every": 1, "train.checkpoint": "best"}


def test_the_option_holds_cases_back_and_sets_the_interval(plan: Planner) -> None:
    ablation = plan("S1,S9", validate=1)
    assert ablation.split.val
    assert [run.config.arm.train.validate_every for _, run in ablation.runs] == [1, 1]
    # Both ways are the same runs, since scores change nothing in them.
    twice = plan("S1,S9", validate=1, overrides={"train.validate_every": 1})
    assert [run.run_id for _, run in twice.runs] == [run.run_id for _, run in ablation.runs]
    assert [arm.diff for arm in twice.arms] == [arm.diff for arm in ablation.arms]


def test_two_intervals_are_refused(plan: Planner) -> None:
    with pytest.raises(InputError, match=r"--validate 2: train.validate_every is set to 1; give"):
        plan("S1", validate=2, overrides={"train.validate_every": 1})


def test_without_validation_cases_every_arm_that_wants_some_is_refused(
    plan: Planner, tmp_path: Path
) -> None:
    (tmp_path / "scored.yaml").write_text("base: S3\ntitle: x\ntrain: {validate_every: 1}\n")
    (tmp_path / "best.yaml").write_text(
        "base: S3\ntitle: x\ntrain: {validate_every: 1, checkpoint: best}\n"
    )
    with pytest.raises(InputError) as refused:
        plan("S3", "scored.yaml", "best.yaml")
    said = [str(problem) for problem in refused.value.problems]
    assert len(said) == 2
    for name, line in zip(("scored", "best"), said, strict=True):
        assert line.startswith(f"{name}: train.validate_every is 1, but there are no validation")
        assert "fold 0 of five_fold; use --validate 1, which holds out an eighth" in line
    # An arm's own interval gives way to the option, which is for all.
    ablation = plan("S3", "scored.yaml", "best.yaml", validate=2, overrides={"train.epochs": 4})
    assert [run.config.arm.train.validate_every for _, run in ablation.runs] == [2, 2, 2]


def test_best_without_an_interval_is_refused(plan: Planner) -> None:
    with pytest.raises(InputError, match=r"train.checkpoint: .*best requires .*--validate EPOCHS"):
        plan("S1", overrides={"train.checkpoint": "best"})


def test_chosen_weights_are_another_run_and_stand_in_the_description(plan: Planner) -> None:
    last, best = plan("S1", validate=1), plan("S1", validate=1, overrides=BEST)
    assert last.runs[0][1].run_id != best.runs[0][1].run_id
    assert "best" not in last.describe()["arms"][0]
    train = best.arms[0].arm.train
    cases = len(best.split.val)
    assert best.describe()["arms"][0]["best"] == {"of": train.validations, "cases": cases}


def test_a_finished_run_without_a_curve_is_kept_and_named(plan: Planner, tmp_path: Path) -> None:
    split = {"train": ["patient0", "patient1"], "val": ["patient2"], "test": ["patient3"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    plain = plan("S1", split="split.json")
    run_ablation(plain, Recorder(), FakeBackend())
    # The fake engine writes no scores, as an earlier version.
    watch, engine = Recorder(), FakeBackend()
    run_ablation(plan("S1", split="split.json", validate=1), watch, engine)
    folder = plain.arms[0].runs[0].folder
    assert engine.executed == []
    said = [note for note in watch.warned if "without scoring validation cases" in note]
    assert said == [
        "S1 seed 0 was trained without scoring validation cases, which does not affect the result; "
        f"remove {folder.path} to train it with scores"
    ]
    folder.metrics.write_text('{"epoch": 1, "dice/validation": 0.5}\n')
    assert not _without_curve(plan("S1", split="split.json", validate=1).arms[0].runs[0])

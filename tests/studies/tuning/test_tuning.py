"""Values that a study chooses by validation cases, and never by test cases."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import spsam.studies.execution.ablation
import spsam.studies.sweep.run_sweep
import spsam.studies.sweep.summary
from spsam.cli.plan_view import plan_text
from spsam.cli.progress import span
from spsam.config.yaml_file import read_yaml
from spsam.engine.run_spec import RunSpec
from spsam.errors import InputError
from spsam.reporting.page.facts import study_facts
from spsam.reporting.report import write_report
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.study import StudyResults
from spsam.results.rows import Row
from spsam.studies.execution.ablation import run_ablation
from spsam.studies.planning.plan import Ablation
from spsam.studies.progress_events import ProgressListener
from spsam.studies.recording.summary import Outcome
from spsam.studies.tuning.tune import tuned
from tests.studies.conftest import Planner
from tests.studies.fakes import FakeBackend, Recorder
from tests.studies.sweep.fakes import NoTracker

STUDY = """\
title: Two networks at their own rates
shape: arms
arms: [S9, unet3d]
reference: S9
tune:
  train.optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  trials: 5
  sampler: qmc
"""


@pytest.fixture(autouse=True)
def _no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (spsam.studies.sweep.run_sweep, spsam.studies.execution.ablation):
        monkeypatch.setattr(module, "Tracker", lambda *_: NoTracker())
    monkeypatch.setattr(spsam.studies.sweep.summary, "draw", lambda *_: [])
    monkeypatch.setattr(spsam.studies.sweep.summary, "_importances", lambda *_: {})


class Rates(FakeBackend):
    """Validation cases like small rates, test cases large ones: whoever looks is found out."""

    def rows(self, run: RunSpec) -> list[Row]:
        small = -math.log10(run.config.arm.train.optimizer.lr)
        dice = 0.1 * small if run.config.data.split_name.endswith("-validation") else 1 / small
        return [
            Row(run.run_id, run.config.seed, 0, case, case, k, name, "dice", "nnunet", dice)
            for case in run.split.test
            for k, name in enumerate(run.config.data.class_names)
        ]


def written(tmp_path: Path, text: str = STUDY) -> str:
    file = tmp_path / "rates.yaml"
    file.write_text(text)
    return str(file)


def trials(backend: Rates, ablation: Ablation) -> list[RunSpec]:
    test = set(ablation.split.test)
    return [run for run in backend.runs if set(run.split.test) != test]


def run_study(ablation: Ablation, watch: ProgressListener, backend: Rates) -> Outcome:
    return run_ablation(tuned(ablation, watch, backend), watch, backend)


def test_runs_do_not_begin_before_the_tuning(plan: Planner, tmp_path: Path) -> None:
    backend = Rates()
    with pytest.raises(ValueError, match="not tuned yet"):
        run_ablation(plan(written(tmp_path)), Recorder(), backend)
    assert backend.runs == []


def test_wrong_weights_of_a_later_arm_end_it_before_any_trial(
    plan: Planner, tmp_path: Path
) -> None:
    backend = Rates()
    backend.bad_weights = True
    text = STUDY.replace("[S9, unet3d]", "[unet3d, S9]")
    with pytest.raises(InputError, match="is of another model"):
        run_study(plan(written(tmp_path, text)), Recorder(), backend)
    assert backend.runs == []


def test_validation_cases_choose_and_test_cases_do_not(plan: Planner, tmp_path: Path) -> None:
    ablation, backend, watch = plan(written(tmp_path)), Rates(), Recorder()
    outcome = run_study(ablation, watch, backend)
    made = trials(backend, ablation)
    assert len(made) == 10
    unseen = set(ablation.split.test)
    for run in made:
        assert not unseen & {*run.split.train, *run.split.val, *run.split.test}
    finals = [run for run in backend.runs if run not in made]
    assert [run.config.arm.name for run in finals] == ["S9", "unet3d"]
    for final in finals:
        rates = [
            run.config.arm.train.optimizer.lr
            for run in made
            if run.config.arm.network == final.config.arm.network
        ]
        assert final.config.arm.train.optimizer.lr == min(rates) < max(rates)
    assert outcome.complete


def test_the_chosen_value_is_one_that_a_user_could_have_typed(
    plan: Planner, tmp_path: Path
) -> None:
    ablation, backend = plan(written(tmp_path)), Rates()
    run_study(ablation, Recorder(), backend)
    final = backend.runs[-1]
    rate = final.config.arm.train.optimizer.lr
    typed = plan("unet3d", overrides={"train.optimizer.lr": rate})
    assert typed.arms[0].runs[0].run_id == final.run_id
    assert read_yaml(final.folder.config).data["arm"]["train"]["optimizer"]["lr"] == rate


def test_a_second_call_trains_nothing(plan: Planner, tmp_path: Path) -> None:
    first = plan(written(tmp_path))
    run_study(first, Recorder(), Rates())
    again, backend = plan(written(tmp_path)), Rates()
    assert again.name == first.name
    run_study(again, Recorder(), backend)
    assert backend.runs == []


def test_an_interrupted_call_goes_on(plan: Planner, tmp_path: Path) -> None:
    def stop(arm: str, epoch: int) -> None:
        if len(broken.runs) == 3:
            raise KeyboardInterrupt

    broken = Rates(stop)
    with pytest.raises(KeyboardInterrupt):
        run_study(plan(written(tmp_path)), Recorder(), broken)
    ablation, backend = plan(written(tmp_path)), Rates()
    run_study(ablation, Recorder(), backend)
    assert len(trials(backend, ablation)) == 10 - 2


def test_budget_and_values_are_told_everywhere(plan: Planner, tmp_path: Path) -> None:
    ablation, backend = plan(written(tmp_path)), Rates()
    outcome = run_study(ablation, Recorder(), backend)
    final = backend.runs[-1]
    rate = final.config.arm.train.optimizer.lr
    told = final.folder.read()["tuned"]
    assert (told["trials"], told["values"]) == (5, {"train.optimizer.lr": rate})
    assert (
        "Chosen by a sweep of 5 trials per arm (qmc) on validation cases (n=1)"
        in outcome.table.caption
    )
    assert "without using test cases" in outcome.table.caption
    assert f"unet3d {rate:.3g}" in outcome.table.caption
    measured = read_study(ablation.folder)
    assert "Chosen by a sweep of 5 trials" in StudyResults(measured).words("Dice")
    assert "Chosen by a sweep of 5 trials" in dict(study_facts(measured))["Tuning"]
    report = write_report(ablation.folder, formats=["csv"], pdf=False, figures=False)
    (ledger,) = [table for table in report.tables if table.name == "ledger"]
    (line,) = [line for line in ledger.lines if line.key == "train.optimizer.lr"]
    assert "tuned, 5 trials on validation cases" in line.cells[2].text


def test_what_cannot_be_tuned_is_refused(plan: Planner, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one fold"):
        plan(written(tmp_path), folds=[0, 1], split="five_fold")
    wrong = STUDY.replace("train.optimizer.lr", "train.optimizer.rate")
    with pytest.raises(InputError, match=r"rates\.yaml:6: tune\.train\.optimizer\.rate: unknown"):
        plan(written(tmp_path, wrong))
    with pytest.raises(InputError, match=r"rates\.yaml:6: tune\.train\.optimizer\.lr: expected"):
        plan(written(tmp_path, STUDY.replace("low: 1e-4", "low: 1")))
    with pytest.raises(InputError, match="is also fixed by 'set' or --set"):
        plan(written(tmp_path), overrides={"train.optimizer.lr": 0.1})
    with pytest.raises(InputError, match="expected a dotted key to tune"):
        plan(written(tmp_path, STUDY.replace("  train.optimizer.lr: {low: 1e-4, high: 1e-1, log: true}\n", "")))  # fmt: skip  # noqa: E501
    with pytest.raises(InputError, match=r"rates\.yaml:8: sampler: unknown sampler 'qnc'"):
        plan(written(tmp_path, STUDY.replace("qmc", "qnc")))


def test_every_shape_can_be_tuned(plan: Planner, tmp_path: Path) -> None:
    shape = "title: One\nshape: one_at_a_time\nbase: S9\nfactors: {blocks.prompt: [random]}\n"
    text = shape + "tune: {train.optimizer.lr: [0.001, 0.01], trials: 2, sampler: brute_force}\n"
    backend = Rates()
    run_study(plan(written(tmp_path, text)), Recorder(), backend)
    finals = backend.runs[-2:]
    assert [run.config.arm.name for run in finals] == ["S9", "prompt=random"]
    assert {run.config.arm.train.optimizer.lr for run in finals} == {0.001}
    assert finals[1].config.arm.blocks.prompt.name == "random"


def test_a_dry_run_counts_the_trials(plan: Planner, tmp_path: Path) -> None:
    ablation = plan(written(tmp_path), seeds=[0, 1])
    cost = dict.fromkeys(
        ("weights", "training", "activations", "peak", "free", "steps", "generator_step",
         "joint_step"), 1.0,
    )  # fmt: skip
    costs = {"S9": {**cost, "seconds": 60.0}, "unet3d": {**cost, "seconds": 120.0}}
    text = plan_text(ablation, costs)
    # Two runs and five trials of each.
    assert f"all 4 runs and 10 trials: training {span(7 * 180)}" in text
    assert "tuning    10 trials before the runs, 40 steps in total" in text
    assert ablation.describe()["arms"][0]["tuned"]["values"] is None

from __future__ import annotations

import json
import multiprocessing
import shlex
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

import spsam.studies.sweep.run_sweep
import spsam.studies.sweep.summary
from spsam.config.yaml_file import read_yaml
from spsam.engine.run_spec import RunSpec
from spsam.errors import InputError
from spsam.registry.arms import load_arm
from spsam.studies.sweep.address import shown_storage
from spsam.studies.sweep.plan_sweep import Sweep
from spsam.studies.sweep.run_sweep import run_sweep
from spsam.studies.sweep.storage import open_study
from spsam.studies.sweep.summary import SweepOutcome, best_command
from tests.studies.fakes import Recorder
from tests.studies.sweep.databases import mysql, postgres
from tests.studies.sweep.fakes import (
    SPACE,
    NoTracker,
    SweepBackend,
    planned,
    start_a_worker,
    take_trials,
)
from tests.tutorials import as_plugin


@pytest.fixture(autouse=True)
def _no_mlflow(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(spsam.studies.sweep.run_sweep, "Tracker", lambda *_: NoTracker())
    if request.function is not test_a_sweep_finds_runs_tells_and_draws:
        # Pictures and importances take longer than all the rest.
        monkeypatch.setattr(spsam.studies.sweep.summary, "draw", lambda *_: [])
        monkeypatch.setattr(spsam.studies.sweep.summary, "_importances", lambda *_: {})


def run(sweep: Sweep, backend: SweepBackend | None = None, watch: Any = None) -> SweepOutcome:
    return run_sweep(sweep, watch, backend or SweepBackend(sweep.request.home / "ledger"))


def executed(home: Path) -> list[str]:
    return (home / "ledger").read_text().split()


def test_a_sweep_finds_runs_tells_and_draws(tmp_path: Path) -> None:
    watch = Recorder()
    outcome = run(sweep := planned(tmp_path, trials=12), watch=watch)
    assert outcome.counts == {"complete": 12}
    trials = open_study(sweep).trials
    assert len(executed(tmp_path)) == len({t.user_attrs["run_id"] for t in trials})
    best = outcome.best[0]
    assert best["values"]["dice"] == max(trial.value for trial in trials)
    assert best["overrides"]["blocks.adapter"] == "vanilla"
    assert best["mlflow_run"] == f"mlflow-{best['run_id']}"
    for trial in trials:
        has_ratio = "blocks.adapter.vanilla.ratio" in trial.params
        assert has_ratio == (trial.params["blocks.adapter"] == "vanilla")
    assert [line.split(":")[0] for line in watch.said] == [f"trial {n}" for n in range(12)]
    names = {path.name for path in outcome.files}
    assert names >= {"sweep.md", "trials.csv", "best.yaml", "sweep.json", "slice.png"}
    assert names >= {"parallel.png", "importances.png", "history.png"}
    assert all(path.stat().st_size for path in outcome.files)
    assert outcome.importances["dice"].keys() == {dimension.key for dimension in sweep.space}
    assert outcome.start is not None
    assert outcome.start["trial"] == 0
    assert outcome.start["run_id"] == sweep.base.runs[0].folder.run_id
    # The file of the best values is the trial's arm.
    arm = load_arm(sweep.folder / "best.yaml", preset="smoke")
    kept = read_yaml(tmp_path / "runs" / best["run_id"] / "config.yaml").data["arm"]
    assert json.loads(arm.model_dump_json())["blocks"] == kept["blocks"]
    assert json.loads(arm.model_dump_json())["train"] == kept["train"]


@pytest.mark.parametrize("arm", ["mine.yaml", "./mine.yaml", "mine"])
def test_the_best_values_load_in_every_folder(
    arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    as_plugin(tmp_path / "my blocks")
    own = tmp_path / ("mine.yaml" if "." in arm else "ablations/mine.yaml")
    own.parent.mkdir(exist_ok=True)
    own.write_text("base: S9\ntitle: Mine\nblocks: {adapter: gated}\n")
    text = (
        f"title: A search\narm: {arm}\npreset: smoke\n"
        "space: {blocks.adapter.ratio: [0.25, 0.5]}\n"
    )
    options: dict[str, Any] = {"plugins": [Path("my blocks")], "split": "five_fold", "fold": 2}
    run(sweep := planned(Path("results"), text, trials=2, **options))
    program, verb, *words = shlex.split(best_command(sweep))
    best = "results/sweeps/search-tiny-smoke/best.yaml"
    assert [program, verb, *words[:2]] == ["spsam", "ablate", arm, best]
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert given == {
        "--data": "tiny",
        "--preset": "smoke",
        "--fold": "2",
        "--split": "five_fold",
        "--out": "results",
        "--plugin": "my blocks",
    }
    monkeypatch.chdir(sweep.folder)
    header = Path("best.yaml").read_text(encoding="utf-8").splitlines()[0]
    program, verb, *words = shlex.split(header.removeprefix("# "))
    assert [Path(words[1]), Path(words[-1])] == [tmp_path / best, tmp_path / "my blocks"]
    load_arm(words[0], preset="smoke", plugins=[tmp_path / "my blocks"])
    loaded = load_arm("best.yaml", preset="smoke", plugins=[tmp_path / "my blocks"])
    assert loaded.blocks.adapter.name == "gated"


def test_a_shipped_arm_is_named(tmp_path: Path) -> None:
    run(sweep := planned(tmp_path, trials=1))
    assert read_yaml(sweep.folder / "best.yaml").data["base"] == "S9"


def test_a_second_start_goes_on(tmp_path: Path) -> None:
    run(planned(tmp_path, trials=1))
    outcome = run(planned(tmp_path, trials=3))
    assert outcome.counts == {"complete": 3}
    assert run(planned(tmp_path, trials=3)).counts == {"complete": 3}


def test_one_worker_finds_the_same_every_time(tmp_path: Path) -> None:
    values = []
    for home in (tmp_path / "a", tmp_path / "b"):
        run(planned(home, trials=1))
        run(sweep := planned(home, trials=3))
        values.append([trial.params for trial in open_study(sweep).trials])
    assert values[0] == values[1]
    assert len({json.dumps(params) for params in values[0]}) == 3


def test_equal_values_are_one_run(tmp_path: Path) -> None:
    text = "title: A\narm: S9\npreset: smoke\nspace:\n  train.epochs: [2, 3]\nsampler: random\n"
    outcome = run(planned(tmp_path, text, trials=8))
    assert outcome.counts == {"complete": 8}
    assert len(executed(tmp_path)) == 2


def test_several_objectives_give_a_front(tmp_path: Path) -> None:
    text = SPACE + "objectives: [dice, trained_parameters]\n"
    outcome = run(planned(tmp_path, text, trials=3))
    assert all(entry["values"]["trained_parameters"] == 110 for entry in outcome.best)


class Failing(SweepBackend):
    def execute(self, run: RunSpec, **told: Any) -> None:
        if len(self.executed) == 1:
            self.executed.append("failed")
            raise RuntimeError("out of memory")
        super().execute(run, **told)


def test_a_failed_trial_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    outcome = run(sweep := planned(tmp_path, trials=4), Failing(tmp_path / "ledger"))
    assert outcome.counts == {"complete": 3, "fail": 1}
    assert "out of memory" in open_study(sweep).trials[1].user_attrs["error"]


def test_what_failed_is_tried_again_by_the_next_start(tmp_path: Path) -> None:
    sweep = planned(tmp_path, trials=3)
    assert run(sweep, Failing(tmp_path / "ledger")).counts == {"complete": 2, "fail": 1}
    watch = Recorder()
    outcome = run(sweep, watch=watch)
    assert outcome.counts == {"complete": 3, "tried again": 1}
    trials = open_study(sweep).trials
    assert trials[3].params == trials[1].params
    assert run(sweep).counts == outcome.counts


class Interrupted(SweepBackend):
    def execute(self, run: RunSpec, **told: Any) -> None:
        if len(self.executed) == 2:
            raise KeyboardInterrupt
        super().execute(run, **told)


def test_an_interrupted_trial_is_tried_again_with_its_values(tmp_path: Path) -> None:
    sweep = planned(tmp_path, trials=4)
    with pytest.raises(KeyboardInterrupt):
        run(sweep, Interrupted(tmp_path / "ledger"))
    watch = Recorder()
    outcome = run(sweep, watch=watch)
    assert outcome.counts == {"complete": 4, "tried again": 1}
    trials = open_study(sweep).trials
    assert trials[3].params == trials[2].params
    assert trials[3].user_attrs["retry_of"] == 2
    # Messages count trials, not attempts: the retry is still the third of four.
    assert watch.labels == ["[3/4] trial 3 seed 0", "[4/4] trial 4 seed 0"]


def test_a_bad_trial_is_pruned_and_its_run_can_go_on(tmp_path: Path) -> None:
    text = SPACE + "pruner: {name: threshold, lower: -0.75}\nprune_by: loss\nprune_every: 1\n"
    sweep = planned(tmp_path, text, trials=2)
    # The fake's loss is 1, then 1/2: the smoke preset's first epoch is the generator's own.
    assert run(sweep).counts == {"complete": 2}
    text = text.replace("-0.75", "-0.25")
    sweep = planned(tmp_path / "strict", text, trials=2)
    assert run(sweep).counts == {"pruned": 2}
    trial = open_study(sweep).trials[0]
    assert trial.intermediate_values == {1: -0.5}
    record = tmp_path / "strict" / "runs" / trial.user_attrs["run_id"] / "run.json"
    assert json.loads(record.read_text())["status"] == "running"


@pytest.mark.slow
def test_four_workers_lose_none_and_double_none(tmp_path: Path) -> None:
    """One of them is killed on the way; the others take its trial up."""
    planned(tmp_path)  # writes the file before they read it
    context = multiprocessing.get_context("spawn")
    ledger = tmp_path / "ledger"
    workers = [
        context.Process(target=take_trials, args=(tmp_path, ledger, 200, 5 if n == 0 else 0))
        for n in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [-9, 0, 0, 0]
    trials = open_study(planned(tmp_path)).trials
    states = Counter(trial.state for trial in trials)
    assert states == {
        optuna.trial.TrialState.COMPLETE: 200,
        optuna.trial.TrialState.FAIL: 1,
    }
    assert [trial.number for trial in trials] == list(range(201))
    runs = executed(tmp_path)
    assert len(runs) == len(set(runs))
    done = {t.user_attrs["run_id"] for t in trials if t.value is not None}
    assert set(runs) == done


@pytest.mark.slow
@pytest.mark.parametrize("server", [postgres, mysql])
def test_four_workers_share_a_database(
    tmp_path: Path, server: Callable[[], AbstractContextManager[str]]
) -> None:
    planned(tmp_path)  # writes the file before they read it
    context = multiprocessing.get_context("spawn")
    ledger = tmp_path / "ledger"
    with server() as url:
        workers = [
            context.Process(target=take_trials, args=(tmp_path, ledger, 200, 0, url))
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(600)
        assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
        trials = open_study(planned(tmp_path, storage=url)).trials
        changed = SPACE.replace("high: 1e-1", "high: 1e-2")
        with pytest.raises(InputError, match="was begun with another space") as caught:
            open_study(planned(tmp_path, changed, storage=url))
        assert "secret" not in str(caught.value)
    assert Counter(t.state for t in trials) == {optuna.trial.TrialState.COMPLETE: 200}
    assert [trial.number for trial in trials] == list(range(200))
    runs = executed(tmp_path)
    assert len(runs) == len(set(runs))
    assert set(runs) == {trial.user_attrs["run_id"] for trial in trials}


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """By SIGTERM: a scheduler's word, of which a process group's others hear nothing."""
    context = multiprocessing.get_context("spawn")
    receives, sends = context.Pipe(duplex=False)
    parent = context.Process(target=start_a_worker, args=(sends,))
    parent.start()
    worker = receives.recv()
    assert psutil.pid_exists(worker)
    parent.terminate()
    parent.join(20)
    gone, _ = psutil.wait_procs([psutil.Process(worker)] if psutil.pid_exists(worker) else [], 20)
    assert not psutil.pid_exists(worker) or gone


def test_another_space_is_refused_by_what_changed(tmp_path: Path) -> None:
    run(planned(tmp_path, trials=1))
    changed = SPACE.replace("high: 1e-1", "high: 1e-2").replace("[none, vanilla,", "[vanilla,")
    with pytest.raises(InputError) as caught:
        run(planned(tmp_path, changed, trials=2))
    said = str(caught.value)
    assert "was begun with another space.train.optimizer.lr" in said
    assert "another space.blocks.adapter" in said
    assert "another --name" in said
    assert "ratio" not in said
    run(planned(tmp_path, changed, trials=1, name="second"))


def test_another_arm_is_refused(tmp_path: Path) -> None:
    run(planned(tmp_path, trials=1))
    with pytest.raises(InputError, match="another arm, preset, data or fixed values"):
        run(planned(tmp_path, trials=2, overrides={"train.batch_size": 2}))


def test_a_storage_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "journal", tmp_path):
        with pytest.raises(InputError, match=r"cannot be written .* --storage"):
            run(planned(tmp_path, storage=str(place)))

    def forbidden(self: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    sweep = planned(tmp_path, storage=str(tmp_path / "own.log"))
    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(InputError, match="Permission denied"):
        run(sweep)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\nworld\n")
    with pytest.raises(InputError, match="not a journal"):
        run(planned(tmp_path, storage=str(tmp_path / "notes.txt")))


def test_a_database_works_and_a_wrong_address_is_refused(tmp_path: Path) -> None:
    sweep = planned(tmp_path, storage=f"sqlite:///{tmp_path}/study.db", trials=2)
    assert run(sweep).counts == {"complete": 2}
    for address, said in (
        ("sqlite:////nowhere/at/all.db", "cannot be opened"),
        ("nosuchdb://a:secret@b/c", "cannot be opened"),
        ("nosuchdb://a:p@ss/w:secret@b/c", "cannot be opened"),
        ("mysql+oursql://a:x@secret@b/c", "driver is not installed|cannot be opened"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            run(planned(tmp_path, storage=address))
        assert "secret" not in str(caught.value)
    assert shown_storage("mysql://me:secret@host/db", tmp_path) == "mysql://me:***@host/db"

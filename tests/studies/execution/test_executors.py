"""The contract of executors: which one computes a study makes no difference to its results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spsam.config.slurm import SlurmConfig
from spsam.errors import InputError
from spsam.studies.execution.ablation import run_ablation
from spsam.studies.execution.executors.base import Executor
from spsam.studies.execution.executors.choose import make_executor, slots
from spsam.studies.execution.executors.inline import InlineExecutor
from spsam.studies.execution.executors.local import LocalExecutor, environment
from spsam.studies.execution.executors.memory import Memory
from spsam.studies.execution.executors.slurm import SlurmExecutor
from spsam.studies.planning.plan import Ablation
from tests.studies.conftest import Planner
from tests.studies.fakes import FakeBackend, LoggedBackend, Recorder, score
from tests.studies.slurm import needs_slurm

Make = Callable[[FakeBackend], Executor]


@pytest.fixture(autouse=True)
def _no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spsam.studies.execution.ablation.Tracker.open", lambda *_: None)


def local(backend: FakeBackend) -> Executor:
    return LocalExecutor(backend, slots=[{}, {}])


@pytest.fixture(
    params=["inline", "local", pytest.param("slurm", marks=[pytest.mark.slurm, needs_slurm])]
)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def slurm(backend: FakeBackend) -> Executor:
        return SlurmExecutor(backend, tmp_path / "study", SlurmConfig(minutes=5))

    made: dict[str, Make] = {"inline": InlineExecutor, "local": local, "slurm": slurm}
    return made[request.param]


def test_threads_that_a_person_set_hold_for_every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch listens to MKL's number more than to OpenMP's."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    with environment(4):
        assert [os.environ[name] for name in names] == ["4", "4", "4"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with environment(4):
        assert [os.environ[name] for name in names] == ["1", "1", "1"]
    assert "MKL_NUM_THREADS" not in os.environ


def rows(ablation: Ablation) -> dict[str, str]:
    return {run.folder.run_id: run.folder.rows.read_text() for _, run in ablation.runs}


def test_every_run_is_computed_once_and_told(plan: Planner, make: Make, tmp_path: Path) -> None:
    ablation, watch = plan("S1..S3"), Recorder()
    backend = LoggedBackend(tmp_path / "log")
    outcome = run_ablation(ablation, watch, executor=make(backend))
    assert sorted(backend.log()) == ["S1 0", "S2 0", "S3 0"]
    assert list(outcome.table.frame()["dice"]) == pytest.approx(
        [100 * score(f"S{n}", 0) for n in (1, 2, 3)]
    )
    assert watch.endings() == dict.fromkeys(("S1", "S2", "S3"), "finished")
    assert sorted(watch.begun) == [(f"S{n}", 0, False) for n in (1, 2, 3)]
    assert sorted(watch.epochs) == [0, 0, 0, 1, 1, 1]
    for _, run in ablation.runs:
        assert run.folder.status == "finished"
        assert run.folder.read()["environment"]["device"] == "cpu"

    again = Recorder()
    run_ablation(ablation, again, executor=make(backend))
    assert len(backend.log()) == 3
    assert again.endings() == dict.fromkeys(("S1", "S2", "S3"), "skipped")


def test_a_failure_is_recorded_with_the_log_and_stays_a_hole(
    plan: Planner, make: Make, tmp_path: Path
) -> None:
    ablation = plan("S1..S3")
    backend = LoggedBackend(tmp_path / "log", fails={"S2"})
    outcome = run_ablation(ablation, executor=make(backend))
    (folder,) = outcome.failed
    assert "no luck with S2" in folder.error.read_text()
    assert folder.failures == 1
    assert list(outcome.table.frame()["state"]) == ["finished", "failed", "finished"]

    mended = LoggedBackend(tmp_path / "log")
    watch = Recorder()
    assert run_ablation(ablation, watch, executor=make(mended)).failed == [folder]
    assert "S2 0" not in mended.log()
    assert run_ablation(ablation, executor=make(mended), retry_failed=True).failed == []
    assert mended.log().count("S2 0") == 1


def test_shards_are_parts_that_make_up_the_study(plan: Planner, make: Make, tmp_path: Path) -> None:
    backend = LoggedBackend(tmp_path / "log")
    ablation = plan("S1..S3", seeds=(0, 1))
    first = run_ablation(ablation, executor=make(backend), shard=(1, 2))
    assert len(backend.log()) == 3
    assert first.table.frame()["dice"].isna().any() or len(set(backend.log())) == 3
    second = run_ablation(ablation, executor=make(backend), shard=(2, 2))
    assert len(backend.log()) == len(set(backend.log())) == 6
    assert not second.table.frame()["dice"].isna().any()


def test_results_are_those_of_any_other_executor(plan: Planner, tmp_path: Path) -> None:
    found = []
    for number, make in enumerate((InlineExecutor, local)):
        ablation = plan("S1", "S2", home=tmp_path / str(number))
        run_ablation(ablation, executor=make(LoggedBackend(tmp_path / "log")))
        files = {
            run.folder.run_id: sorted(file.name for file in run.folder.path.iterdir())
            for _, run in ablation.runs
        }
        found.append((rows(ablation), files))
    (ours, names), (theirs, others) = found
    assert ours == theirs
    assert all(set(others[run]) - set(names[run]) == {"log.txt"} for run in names)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_dies_touches_no_other_run(
    how: signal.Signals, plan: Planner, tmp_path: Path
) -> None:
    ablation, watch = plan("S1..S4"), Recorder()
    backend = LoggedBackend(tmp_path / "log", dies={"S2": (how, 1)})
    outcome = run_ablation(ablation, watch, executor=local(backend))
    assert outcome.failed == []
    assert sorted(backend.log()) == ["S1 0", "S2 0", "S3 0", "S4 0"]
    assert ("S2", 0, True) in watch.begun  # from its checkpoint
    assert any(how.name in said for said in watch.warned)


def test_a_run_that_always_dies_is_a_failure_with_its_log(plan: Planner, tmp_path: Path) -> None:
    ablation = plan("S1", "S2")
    backend = LoggedBackend(tmp_path / "log", dies={"S2": (signal.SIGKILL, 99)})
    outcome = run_ablation(ablation, executor=local(backend))
    (folder,) = outcome.failed
    text = folder.error.read_text()
    assert "SIGKILL" in text
    assert "S2 is about to die" in text
    assert backend.log() == ["S1 0"]


def test_ctrl_c_ends_runs_which_then_go_on(plan: Planner, tmp_path: Path) -> None:
    class Impatient(Recorder):
        def epoch(self, metrics: dict[str, float]) -> None:
            super().epoch(metrics)
            raise KeyboardInterrupt

    ablation = plan("S1", "S2")
    backend = LoggedBackend(tmp_path / "log", seconds=5)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_ablation(ablation, Impatient(), executor=local(backend))
    assert time.monotonic() - began < 30
    states = {run.folder.status for _, run in ablation.runs}
    assert "finished" not in states
    assert "failed" not in states
    for _, run in ablation.runs:
        with run.folder.lock():
            pass  # nobody is at it any more

    watch = Recorder()
    run_ablation(ablation, watch, executor=local(LoggedBackend(tmp_path / "log")))
    assert sorted(backend.log()) == ["S1 0", "S2 0"]
    assert any(resumed for _, _, resumed in watch.begun)


def test_memory_is_kept_free_for_runs_that_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    class Free:
        available = 10e9

    monkeypatch.setattr("psutil.virtual_memory", Free)
    memory = Memory(known=4e9)
    assert memory.suffices([])
    # Processes of their own: the one of these tests may hold gigabytes by now.
    waits = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(waits, stdin=subprocess.PIPE) as first,
        subprocess.Popen(waits, stdin=subprocess.PIPE) as second,
    ):
        assert memory.suffices([first.pid])  # 4 and what the first may still want: 8 of 9
        assert not memory.suffices([first.pid, second.pid])
        first.communicate(b"\n")
        second.communicate(b"\n")
    assert Memory(known=99e9).suffices([])  # alone it has all there is


def test_each_run_has_gpus_of_its_own(plan: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    backend = FakeBackend()
    backend.gpus = lambda: 4  # type: ignore[method-assign]
    ablation = replace(plan("S1..S9"), device="cuda")

    def visible(jobs: int | None = None, **request: Any) -> list[str]:
        asked = replace(ablation, request=replace(ablation.request, **request))
        return [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(asked, backend, jobs)]

    assert visible() == ["0", "1", "2", "3"]
    assert visible(2) == ["0", "1"]
    assert visible(devices=2) == ["0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert visible() == ["5", "7"]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("lokal", {}, "did you mean 'local'"),
        ("local", {"detach": True}, "--detach requires --executor slurm"),
        ("inline", {"jobs": 4}, "one run at a time"),
    ],
)
def test_what_cannot_be_is_refused(
    name: str, options: dict[str, Any], said: str, plan: Planner
) -> None:
    with pytest.raises(InputError, match=said):
        make_executor(name, plan("S1"), FakeBackend(), **options)


def test_equal_runs_of_two_arms_are_computed_once(
    plan: Planner, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "twins.yaml").write_text(
        "title: Twins\nshape: arms\narms: [S1, S2]\n"
        "recipes: {own: {}, again: {}, other: {set: {train.optimizer.lr: 0.5}}}\n"
    )
    backend, watch = LoggedBackend(tmp_path / "log", seconds=0.1), Recorder()
    ablation = plan("twins.yaml")
    outcome = run_ablation(ablation, watch, backend, executor=make(backend))
    assert len(backend.log()) == 4
    ends = watch.endings()
    assert sorted(ends.values()) == ["finished"] * 4 + ["skipped"] * 2
    assert {arm for arm, end in ends.items() if end == "skipped"} == {"S1:again", "S2:again"}
    assert outcome.complete
    assert len(outcome.table.frame()) == 6
    assert not any("another process" in text for text in watch.said)

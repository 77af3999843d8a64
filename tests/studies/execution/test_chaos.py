"""Whatever happens on the way: every run once, rows as of a study that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from spsam.studies.execution.ablation import run_ablation
from spsam.studies.recording.sync import sync
from spsam.tracking.mlflow import Tracker
from tests.studies.chaos import study
from tests.studies.fakes import LoggedBackend
from tests.studies.slurm import answers, needs_slurm


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def nodes() -> list[str]:
    return sorted(set(slurm("sinfo", "-h", "-N", "-o", "%N").split())) if answers() else []


def running() -> list[tuple[str, str]]:
    """(job, node) of what runs now."""
    lines_ = slurm("squeue", "--me", "-h", "-r", "-t", "R", "-o", "%A %N").splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines_]


def setting(name: str) -> str:
    lines_ = slurm("scontrol", "show", "config").splitlines()
    return next(line.partition("=")[2].strip() for line in lines_ if line.startswith(name))


def processes_of(job: str) -> list[psutil.Process]:
    """The Python processes of a job."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            if environment.get("SLURM_JOB_ID") == job and "SLURM_PROCID" in environment:
                found.append(process)
    return found


ROOT = Path(__file__).resolve().parents[2]
RUNS = 8


@pytest.fixture(autouse=True)
def _nobody_is_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's server is down; nothing listens on this port."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def begin(home: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.studies.chaos", str(home), *words]
    with (home.parent / "driver.log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, text=True)


def lines(home: Path) -> list[str]:
    return (home / "log").read_text().splitlines() if (home / "log").exists() else []


def until(what: str, seconds: float = 240) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.05)
    pytest.fail(f"waited {seconds} s until {what}")


def wait_for_runs(home: Path, count: int) -> None:
    for _ in until(f"{count} runs are finished"):
        if len(lines(home)) >= count:
            return


def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Rows by run id."""
    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "open", lambda *_: None)
        ablation = study(tmp_path / "alone", LoggedBackend(tmp_path / "alone.log"))
        run_ablation(ablation, executor=None, backend=LoggedBackend(tmp_path / "alone.log"))
    return {run.folder.run_id: run.folder.rows.read_text() for _, run in ablation.runs}


def check(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run once, rows complete and the same, nothing left; MLflow complete after a sync."""
    runs = sorted(lines(home))
    assert runs == sorted(f"S{arm} {seed}" for arm in range(1, 5) for seed in range(2))
    ablation = study(home, LoggedBackend(home / "log"))
    found = {run.folder.run_id: run.folder for _, run in ablation.runs}
    assert {folder.status for folder in found.values()} == {"finished"}
    alone = undisturbed(tmp_path, monkeypatch)
    assert {run_id: folder.rows.read_text() for run_id, folder in found.items()} == alone
    assert all([m["epoch"] for m in f.read_metrics()] == [0, 1] for f in found.values())

    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for new in (RUNS, 0):
        (done,) = sync(home, pytest.fail)
        assert (done.runs, done.new, done.complete) == (RUNS, new, True)
    client = MlflowClient(tracking_uri=f"sqlite:///{(home / 'mlflow.db').resolve()}")
    (experiment,) = client.search_experiments(filter_string="name = 'spsam'")
    there = client.search_runs([experiment.experiment_id])
    assert len(there) == 1 + 4 + RUNS
    assert {run.info.status for run in there} == {"FINISHED"}
    tags = [run.data.tags.get("run_id") for run in there]
    assert {tag for tag in tags if tag} == set(found)
    for run in there:
        if "run_id" in run.data.tags:
            points = client.get_metric_history(run.info.run_id, "loss/total")
            assert [point.step for point in points] == [0, 1]


@pytest.mark.slow
def test_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs' processes and the study's own are killed; two studies share the work."""
    home, chance = tmp_path / "home", random.Random(6)
    driver = begin(home, "local", "--jobs", "2", "--seconds", "0.3")
    try:
        kills = 0
        for _ in until("two processes of runs are killed"):
            # Of the study: the process that imports, and the runs' below it.
            runs = []
            for each in psutil.Process(driver.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    runs += [each] if each.ppid() != driver.pid else []
            running = any("running" in f.read_text() for f in home.glob("runs/*/run.json"))
            if runs and running:
                with suppress(psutil.NoSuchProcess):
                    chance.choice(runs).kill()
                    kills += 1
                time.sleep(0.5)
            if kills == 2:
                break
        wait_for_runs(home, 2)
        driver.kill()
        driver.wait()
        twins = [begin(home, "local", "--jobs", "1", "--seconds", "0.1") for _ in range(2)]
        assert [twin.wait(240) for twin in twins] == [0, 0]
    finally:
        driver.kill()
    check(home, tmp_path, monkeypatch)


@pytest.mark.slurm
@needs_slurm
@pytest.mark.skipif(len(nodes()) < 2 or os.geteuid() != 0, reason="wants two nodes of its own")
def test_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's process is killed, a job requeued, a node lost, the study killed and started anew."""
    home = tmp_path / "home"
    file = tmp_path / "slurm.yaml"
    file.write_text("minutes: 10\n")
    words = ["slurm", "--slurm", str(file), "--seconds", "3"]
    driver = begin(home, *words)
    lost = nodes()[-1]
    try:
        for _ in until("jobs run on all nodes"):
            if {node for _, node in running()} >= set(nodes()) and list(home.glob("runs/*")):
                break
        (first, _), (second, _) = running()[:2]
        # A worker by SIGKILL: Slurm ends the job, the study submits the run again.
        for process in processes_of(first):
            process.kill()
        # A preemption: SIGTERM, and back into the queue.
        slurm("scontrol", "requeue", second)
        # A node: its daemon is gone, what it started goes on beside the twin elsewhere.
        pidfile = Path(setting("SlurmdPidFile").replace("%n", lost))
        os.kill(int(pidfile.read_text()), signal.SIGKILL)
        driver.kill()
        driver.wait()
        for _ in until("the node is down", 120):
            if "down" in slurm("sinfo", "-h", "-N", "-n", lost, "-o", "%T"):
                break
        driver = begin(home, *words)
        slurm("slurmd", "-N", lost)
        assert driver.wait(400) == 0
    finally:
        driver.kill()
    assert running() == []
    check(home, tmp_path, monkeypatch)


@pytest.mark.slurm
@needs_slurm
def test_a_detached_study_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    assert begin(home, "slurm", "--detach", "--seconds", "1").wait(120) == 0
    records = sorted(home.glob("ablations/*/jobs/*.json"))
    before = [record.read_text() for record in records]
    assert len(before) == RUNS
    assert begin(home, "slurm", "--seconds", "1").wait(400) == 0
    assert [record.read_text() for record in records] == before  # no run had a second job
    check(home, tmp_path, monkeypatch)

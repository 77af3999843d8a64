"""A sweep whose trials cost nothing, also in other processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import spsam.data.dataset
import spsam.studies.execution.single_run
import spsam.studies.sweep.run_sweep
from spsam.engine.run_spec import RunSpec
from spsam.results.rows import Row
from spsam.studies.progress_events import ProgressListener
from spsam.studies.sweep.plan_sweep import Sweep, SweepRequest, plan_sweep
from spsam.studies.sweep.trials import Worker
from tests.studies.fakes import FakeBackend, tiny_dataset

SPACE = """\
title: A search
arm: S9
preset: smoke
space:
  blocks.adapter: [none, vanilla, dfused]
  blocks.adapter.vanilla.ratio: {low: 0.1, high: 0.5}
  train.optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
trials: 5
"""


class SweepBackend(FakeBackend):
    """Trials are best with `vanilla` and a learning rate of 0.01; each run leaves a line.

    Args:
        ledger: A file that gets a line with the run's id whenever one is executed.
        dies_at: The process ends itself by SIGKILL when it executes its n-th run.
    """

    def __init__(self, ledger: Path, dies_at: int = 0) -> None:
        super().__init__()
        self.ledger = ledger
        self.dies_at = dies_at

    def execute(self, run: RunSpec, **told: Any) -> None:
        if len(self.executed) + 1 == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        super().execute(run, **told)
        with self.ledger.open("a") as lines:
            lines.write(f"{run.folder.run_id}\n")

    def rows(self, run: RunSpec) -> list[Row]:
        arm, rows = run.config.arm, []
        off = abs(math.log10(arm.train.optimizer.lr) + 2) / 10
        dice = 0.5 + 0.3 * (arm.blocks.adapter.name == "vanilla") - off
        for case in run.split.test:
            for k, name in enumerate(run.config.data.class_names):
                rows.append(
                    Row(run.folder.run_id, 0, 0, case, case, k, name, "dice", "nnunet", dice)
                )
        return rows


class NoTracker:
    """Stands for MLflow, which costs seconds a process."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None

    def address(self, run_id: str) -> str:
        return f"mlflow-{run_id}"


def planned(home: Path, text: str = SPACE, **options: Any) -> Sweep:
    """A sweep over the tiny data set."""
    original = spsam.data.dataset.open_dataset
    spsam.data.dataset.open_dataset = lambda name: (
        tiny_dataset() if name == "tiny" else original(name)
    )
    try:
        file = home / "search.yaml"
        home.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)
        usual: dict[str, Any] = {"space": str(file), "home": home, "data": "tiny"}
        return plan_sweep(SweepRequest(**(usual | options)), FakeBackend())
    finally:
        spsam.data.dataset.open_dataset = original


def take_trials(
    home: Path, ledger: Path, trials: int, dies_at: int = 0, storage: str | None = None
) -> None:
    """One worker; the target of a process."""
    # Versions of packages and git's state: most of what such a run costs.
    spsam.studies.execution.single_run.environment = lambda device: {}
    sweep = planned(home, trials=trials, storage=storage)
    backend = SweepBackend(ledger, dies_at)
    worker = Worker(sweep, backend, NoTracker(), ProgressListener(), lambda *_: None)  # type: ignore[arg-type]
    worker.work()


def start_a_worker(tell: Any) -> None:
    """A process that starts a worker which waits for ever, and waits itself."""
    worker = multiprocessing.get_context("spawn").Process(target=_wait_as_a_worker, args=(tell,))
    worker.start()
    worker.join()


def _wait_as_a_worker(tell: Any) -> None:
    def plan(*_: Any) -> Any:
        tell.send(os.getpid())
        time.sleep(600)

    spsam.studies.sweep.run_sweep.plan_sweep = plan
    spsam.studies.sweep.run_sweep._serve(SweepRequest("none", Path()), FakeBackend(), None)

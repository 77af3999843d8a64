"""A study of cheap runs in a process of its own, which a test may kill.

`python -m tests.studies.chaos HOME EXECUTOR [--seconds S] [--jobs N] [--arms A] [--seeds N]`
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

from spsam.cli.progress import LineWatcher
from spsam.studies.execution.ablation import run_ablation
from spsam.studies.execution.executors.choose import make_executor
from spsam.studies.planning.plan import Ablation
from spsam.studies.planning.request import Request
from spsam.studies.tuning.plan import plan_study
from tests.studies.fakes import LoggedBackend, tiny_dataset


def study(home: Path, backend: LoggedBackend, arms: str = "S1..S4", seeds: int = 2) -> Ablation:
    request = Request(arms=[arms], home=home, data="tiny", preset="smoke", seeds=range(seeds))
    with patch("spsam.data.dataset.open_dataset", lambda name: tiny_dataset()):
        return plan_study(request, backend)


def main() -> None:
    import sys

    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("executor")
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--slurm", type=Path)
    parser.add_argument("--detach", action="store_true")
    asked = parser.parse_args()
    backend = LoggedBackend(asked.home / "log", seconds=asked.seconds)
    ablation = study(asked.home, backend)
    executor = make_executor(
        asked.executor, ablation, backend, asked.jobs, slurm=asked.slurm, detach=asked.detach
    )
    watch = LineWatcher(sys.stdout, every=0)
    outcome = run_ablation(ablation, watch, executor=executor)
    sys.exit(1 if outcome.failed else 0)


if __name__ == "__main__":
    main()

"""What an executor costs beside the runs themselves: `python benchmarks/scheduling.py`.

Two hundred runs that take a tenth of a second each and compute nothing; through `--executor local`,
and with `--slurm FILE` through the Slurm of this machine. The cost of a run is the study's wall
time, less what the runs take where they share the places, by their number. `processor` is what the
study and its processes computed, by the number of runs; on Slurm without the jobs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from spsam.engine.run_spec import RunSpec
from spsam.results.rows import Row, write_rows
from spsam.studies.backend import Backend
from spsam.studies.execution.ablation import run_ablation
from spsam.studies.execution.executors.choose import make_executor, processors
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request


class Trivial(Backend):
    """An engine that sleeps.

    Args:
        seconds: Of a run.
        engine: Whether processes import the real one nevertheless.
    """

    def __init__(self, seconds: float, engine: bool) -> None:
        self.seconds = seconds
        if not engine:
            self.modules = ()

    def prepare(self, *_: Any) -> Any:
        """There is nothing to prepare."""
        return None

    def execute(self, run: RunSpec, *, on_epoch: Callable[..., None], **_: Any) -> None:
        """One epoch and a row for every test case."""
        time.sleep(self.seconds)
        metrics = {"epoch": 0, "loss/total": 1.0}
        run.folder.metrics.write_text(json.dumps(metrics) + "\n")
        on_epoch(metrics)
        name = run.config.data.class_names[1]
        write_rows(
            run.folder.rows,
            [
                Row(run.run_id, run.config.seed, 0, case, case, 1, name, "dice", "nnunet", 0.5)
                for case in run.split.test
            ],
        )  # fmt: skip


def processor_seconds() -> float:
    """Of this process, the one that imports for others, and all that these have ended."""
    family = [psutil.Process(), *psutil.Process().children()]
    times = [member.cpu_times() for member in family]
    # Of this process's own children nothing: they are in the list.
    ended = sum(each.children_user + each.children_system for each in times[1:])
    return ended + sum(each.user + each.system for each in times)


def main() -> None:
    """Runs the study and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--slurm", type=Path)
    parser.add_argument("--light", action="store_true", help="Import no engine.")
    asked = parser.parse_args()
    from scheduling import Trivial  # under the name by which other processes know it

    name = "slurm" if asked.slurm else "local"
    with tempfile.TemporaryDirectory() as folder:
        backend = Trivial(asked.seconds, engine=not asked.light)
        request = Request(["S1"], home=Path(folder), preset="smoke", seeds=range(asked.runs))
        ablation = plan_ablation(request, backend)
        executor = make_executor(name, ablation, backend, asked.jobs, slurm=asked.slurm)
        before, worked = time.perf_counter(), processor_seconds()
        outcome = run_ablation(ablation, executor=executor, backend=backend)
        wall, worked = time.perf_counter() - before, processor_seconds() - worked
        assert not outcome.failed
        assert outcome.table.frame()["dice"].tolist() == [50.0]
    places = asked.jobs or processors()
    cost = (wall - asked.runs * asked.seconds / places) / asked.runs
    found = {"executor": name, "runs": asked.runs, "places": places, "seconds": round(wall, 2)}
    found |= {"cost_of_a_run": round(cost, 3), "processor": round(worked / asked.runs, 3)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""Selection of the executor from the options of the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.data.workers import cores
from spsam.errors import InputError, nearest
from spsam.studies.backend import Backend
from spsam.studies.execution.executors.base import Executor
from spsam.studies.planning.plan import Ablation

if TYPE_CHECKING:
    from spsam.studies.planning.costs import Costs

NAMES = ("inline", "local", "slurm")


def make_executor(  # noqa: PLR0917 - the command line's options
    name: str,
    ablation: Ablation,
    backend: Backend | None = None,
    jobs: int | None = None,
    costs: Costs | None = None,
    slurm: Path | None = None,
    detach: bool = False,
) -> Executor:
    """Creates the executor with a name.

    Args:
        name: One of `NAMES`.
        ablation: The study to execute.
        backend: The engine.
        jobs: Maximum number of simultaneous runs; None: as many as the machine allows.
        costs: Measured costs of the arms.
        slurm: A configuration file for `spsam.config.slurm`.
        detach: Whether to leave Slurm's jobs running without this process.

    Raises:
        InputError: If the executor is unknown or unavailable, or options contradict each other.
    """
    backend = backend or Backend()
    if name not in NAMES:
        raise InputError(f"--executor {name}: unknown{nearest(name, NAMES)}")
    if name != "slurm" and (slurm is not None or detach):
        option = "--detach" if detach else "--slurm"
        raise InputError(f"{option} requires --executor slurm, got --executor {name}")
    if name == "inline":
        from spsam.studies.execution.executors.inline import InlineExecutor

        if jobs not in (None, 1):
            raise InputError(f"--jobs {jobs}: --executor inline computes one run at a time")
        return InlineExecutor(backend)
    if name == "slurm":
        from spsam.studies.execution.executors.slurm import make_slurm

        return make_slurm(ablation, backend, jobs, slurm, detach=detach)
    from spsam.studies.execution.executors.local import LocalExecutor
    from spsam.studies.execution.executors.memory import Memory, expected

    places = slots(ablation, backend, jobs)
    peaks = [float(cost["peak"]) for cost in (costs or {}).values() if cost]
    threads = max(1, cores() // len(places))
    return LocalExecutor(backend, places, threads, Memory(max(peaks, default=expected(ablation))))


def slots(ablation: Ablation, backend: Backend, jobs: int | None) -> list[Mapping[str, str]]:
    """Returns the environment variables of each simultaneous run, which assign it its GPUs.

    On CPUs, there is one slot per CPU, but no more than the study has runs.
    """
    wanted = min(jobs or cores(), len(ablation.runs))
    if not ablation.device.startswith("cuda"):
        return [{} for _ in range(wanted)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(n) for n in range(backend.gpus())]
    if ":" in ablation.device:
        names = [names[int(ablation.device.partition(":")[2])]]
    each = ablation.request.devices
    groups = [names[at : at + each] for at in range(0, len(names) - each + 1, each)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups[: jobs or None]]

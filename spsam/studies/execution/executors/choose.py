"""From what a command line says to an executor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Makes the executor of that name.

    Args:
        name: One of `NAMES`.
        ablation: The study that it is for.
        backend: The engine.
        jobs: The most runs at once; None: as many as the machine allows.
        costs: What arms were measured to take.
        slurm: A file of `spsam.config.slurm`.
        detach: Whether Slurm's jobs are left to themselves.

    Raises:
        InputError: If it cannot be had here, or options do not go together.
    """
    backend = backend or Backend()
    if name not in NAMES:
        raise InputError(f"--executor {name}: unknown{nearest(name, NAMES)}")
    if name != "slurm" and (slurm is not None or detach):
        option = "--detach" if detach else "--slurm"
        raise InputError(f"{option} belongs to --executor slurm, got --executor {name}")
    if name == "inline":
        from spsam.studies.execution.executors.inline import InlineExecutor

        if jobs not in (None, 1):
            raise InputError(f"--jobs {jobs}: --executor inline takes one run at a time")
        return InlineExecutor(backend)
    if name == "slurm":
        from spsam.studies.execution.executors.slurm import make_slurm

        return make_slurm(ablation, backend, jobs, slurm, detach=detach)
    from spsam.studies.execution.executors.local import LocalExecutor
    from spsam.studies.execution.executors.memory import Memory, expected

    places = slots(ablation, backend, jobs)
    peaks = [float(cost["peak"]) for cost in (costs or {}).values() if cost]
    threads = max(1, processors() // len(places))
    return LocalExecutor(backend, places, threads, Memory(max(peaks, default=expected(ablation))))


def slots(ablation: Ablation, backend: Backend, jobs: int | None) -> list[Mapping[str, str]]:
    """What each run at once has for itself: a GPU or several, or nothing but its turn.

    On processors there is a slot a processor, but none that the study never fills.
    """
    wanted = min(jobs or processors(), len(ablation.runs))
    if not ablation.device.startswith("cuda"):
        return [{} for _ in range(wanted)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(n) for n in range(backend.gpus())]
    if ":" in ablation.device:
        names = [names[int(ablation.device.partition(":")[2])]]
    each = ablation.request.devices
    groups = [names[at : at + each] for at in range(0, len(names) - each + 1, each)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups[: jobs or None]]


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

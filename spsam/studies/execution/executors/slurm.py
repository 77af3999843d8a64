"""Execution of runs as Slurm jobs, with submitit, squeue, and the runs' folders for results."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spsam.config.slurm import SlurmConfig, load_slurm
from spsam.engine.run_spec import Member
from spsam.errors import InputError, SpsamError
from spsam.extras import require
from spsam.files import write_text
from spsam.signals import Stopped, stop
from spsam.studies.backend import Backend
from spsam.studies.execution.executors.base import Executor
from spsam.studies.execution.queued_run import End, QueuedRun, RunEnd, attempt, settled
from spsam.studies.planning.plan import Ablation
from spsam.text.json_text import parse_json

_SECONDS_BETWEEN_LOOKS = 2.0
_PATIENCE = 90.0
"""Time in seconds for cancelled jobs to save their state."""


@dataclass
class _SlurmJob:
    queued: QueuedRun
    number: str
    epochs: int = 0
    begun: bool = False


class SlurmExecutor(Executor):
    """Submits runs as job arrays; a later call of the study finds its jobs again.

    A job that is preempted or reaches its time limit saves its state, is requeued and resumes; the
    same applies if its node is lost. If a duplicate still runs elsewhere, it holds the run's lock,
    and the job waits for it. A run whose job disappears without a result is `lost`.

    Args:
        backend: The engine; must support pickling.
        folder: The study's folder, which stores the jobs and their numbers.
        config: Slurm options of the jobs.
        jobs: Maximum number of simultaneous jobs; None: no limit besides the cluster's.
        detach: Whether to leave the jobs running without this process.
    """

    def __init__(
        self,
        backend: Backend,
        folder: Path,
        config: SlurmConfig,
        jobs: int | None = None,
        *,
        detach: bool = False,
    ) -> None:
        super().__init__(backend)
        self._folder = folder / "jobs"
        self._config = config
        self._jobs = jobs
        self.detached = detach
        self._new: list[QueuedRun] = []
        self._at: dict[str, _SlurmJob] = {}
        self._looked = -math.inf
        self._alive: set[str] = set()

    def room(self) -> bool:
        """Always true, since the cluster queues jobs."""
        return True

    def start(self, queued: QueuedRun) -> None:
        """Finds the run's job, or keeps the run for the next submission."""
        if self.has(queued):
            number = self._number(queued.run_id)
            self._at[queued.run_id] = _SlurmJob(queued, number)
        else:
            self._new.append(queued)

    def has(self, queued: QueuedRun) -> bool:
        """Whether the run's job, of this or an earlier call, is in the queue."""
        return self._number(queued.run_id) in self._queue()

    def _submit_new(self) -> None:
        """Submits the started runs as job arrays."""
        each = self._config.runs_per_job
        chunks = [self._new[at : at + each] for at in range(0, len(self._new), each)]
        self._new = []
        for at in range(0, len(chunks), self._config.array):
            array = chunks[at : at + self._config.array]
            for number, chunk in zip(self._submit(array), array, strict=True):
                for queued in chunk:
                    text = json.dumps({"job": number})
                    write_text(self._record(queued.run_id), text + "\n")
                    self._at[queued.run_id] = _SlurmJob(queued, number)

    def wait(self, seconds: float) -> list[RunEnd]:
        """Checks the queue and the folders of all runs."""
        self._submit_new()
        if not self.detached:
            time.sleep(max(0.0, self._looked + _SECONDS_BETWEEN_LOOKS - time.monotonic()))
        self._looked = -math.inf
        # Queried before the folders: a job that has left the queue writes nothing more.
        alive = self._queue()
        return [ended for job in list(self._at.values()) for ended in self._look(job, alive)]

    def stop(self) -> None:
        """Cancels all jobs, which save their state."""
        self._new = []
        numbers = sorted({job.number for job in self._at.values()})
        if numbers:
            _slurm("scancel", *numbers)
        until = time.monotonic() + _PATIENCE
        while set(numbers) & queue() and time.monotonic() < until:
            time.sleep(1)
        self._at = {}

    def _look(self, job: _SlurmJob, alive: set[str]) -> Iterator[RunEnd]:
        queued, folder = job.queued, job.queued.folder
        try:
            status = folder.status
            epochs = folder.read_metrics()
        except SpsamError:
            status, epochs = "failed", []
        if status != "planned" and not job.begun:
            job.begun = True
            self._hear(queued.run_id, "begins", False)
        for metrics in epochs[job.epochs :]:
            self._hear(queued.run_id, "epoch", metrics)
        job.epochs = max(job.epochs, len(epochs))
        done = settled(queued)
        if done is not None:
            # The run was in progress here, so it was neither finished nor failed before.
            end: End = "finished" if done.end == "skipped" else "failed"
            done = RunEnd(queued.run_id, end, f"see {folder.error}" if end == "failed" else "")
        if done is None and job.number not in alive:
            detail = f"job {job.number} is gone (see {self._folder})"
            done = RunEnd(queued.run_id, "lost", detail)
        if done is not None:
            del self._at[queued.run_id]
            yield done

    def _submit(self, array: Sequence[Sequence[QueuedRun]]) -> list[str]:
        """Submits a job array; returns the numbers of its jobs."""
        import submitit

        config = self._config
        optional: dict[str, Any] = {
            "partition": config.partition,
            "account": config.account,
            "qos": config.qos,
            "constraint": config.constraint,
            "mem": config.memory,
            "gpus_per_node": config.gpus or None,
            "array_parallelism": self._jobs,
        }
        logging.getLogger("submitit").setLevel(logging.ERROR)
        # Jobs use the import path of this process; their logs are in the runs' folders.
        setup = [f"export PYTHONPATH={_paths()}", *config.setup]
        executor = submitit.SlurmExecutor(folder=self._folder, python=shlex.quote(sys.executable))
        executor.update_parameters(
            **{name: value for name, value in optional.items() if value is not None}
            | {
                "job_name": "spsam",
                "time": config.minutes,
                "nodes": config.nodes,
                "ntasks_per_node": max(1, config.gpus) if config.nodes > 1 else 1,
                "cpus_per_task": config.cpus,
                "signal_delay_s": config.warning,
                "stderr_to_stdout": True,
                "setup": setup,
                # If one of several processes of a run dies, the others must not wait for it.
                "srun_args": ["--kill-on-bad-exit=1"],
                "additional_parameters": {"requeue": True, **config.options},
            }
        )
        try:
            with executor.batch():
                jobs = [executor.submit(work, list(chunk), self.backend) for chunk in array]
        except (submitit.core.utils.FailedJobError, subprocess.SubprocessError, OSError) as error:
            said = (str(error).strip().splitlines() or [""])[-1]
            raise SpsamError(f"sbatch rejected the jobs: {said}") from error
        return [job.job_id for job in jobs]

    def _queue(self) -> set[str]:
        """Returns the pending and running jobs, cached for a short time."""
        if time.monotonic() - self._looked > _SECONDS_BETWEEN_LOOKS:
            self._alive, self._looked = queue(self._alive), time.monotonic()
        return self._alive

    def _number(self, run_id: str) -> str:
        """Returns the number of the run's last job; empty if there is none."""
        with suppress(OSError, ValueError, KeyError):
            return str(parse_json(self._record(run_id).read_text(encoding="utf-8"))["job"])
        return ""

    def _record(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.json"


def make_slurm(
    ablation: Ablation, backend: Backend, jobs: int | None, path: Path | None, *, detach: bool
) -> SlurmExecutor:
    """Creates the executor of a study.

    Raises:
        InputError: If Slurm is not available, or the file is invalid.
    """
    config = load_slurm(path)
    if shutil.which("sbatch") is None:
        raise InputError("--executor slurm: sbatch is not available; use --shard I/N instead")
    require("slurm", "--executor slurm")
    if config.nodes > 1:
        count = config.nodes * max(1, config.gpus)
        for arm in ablation.arms:
            train = arm.arm.train
            if train.batch_size % (count * train.accumulate):
                raise InputError(
                    f"{path}: {count} processes share a batch, expected train.batch_size of "
                    f"{arm.arm.name} to be a multiple of {count * train.accumulate}, "
                    f"got {train.batch_size}"
                )
    return SlurmExecutor(backend, ablation.folder, config, jobs, detach=detach)


def work(runs: Sequence[QueuedRun], backend: Backend) -> None:
    """Main function of a job; a run can use several processes, on one or several nodes."""
    signal.signal(signal.SIGTERM, stop)
    # Slurm's warning before the time limit, converted to the signal that training handles.
    signal.signal(signal.SIGUSR2, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    rank, count = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
    try:
        for queued in runs:
            if count > 1:
                _share(queued, backend, rank, count)
            else:
                attempt(queued, backend, _tell_nobody, wait=True, logged=True)
    except Stopped:
        if rank == 0:
            _requeue()


def _share(queued: QueuedRun, backend: Backend, rank: int, count: int) -> None:
    """Main function of one of several processes; all train, and the first locks and records."""
    nodes = _slurm("scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()
    # The address that Slurm itself uses; other nodes may be unable to resolve the node's name.
    said = _slurm("scontrol", "--oneliner", "show", "node", nodes[0])
    found = re.search(r"NodeAddr=(\S+)", said)
    host = found[1] if found else nodes[0]
    # A port that is unlikely to be used by other jobs on the node.
    port = 20000 + int(os.environ["SLURM_JOB_ID"]) % 20000
    member = Member(rank, count, int(os.environ["SLURM_LOCALID"]), host, port)
    shared = queued.with_spec(member=member)
    if rank:
        if settled(shared) is None:
            backend.execute(
                shared.spec,
                on_epoch=_tell_nobody,
                on_progress=_tell_nobody,
                on_note=_tell_nobody,
            )
    elif attempt(shared, backend, _tell_nobody, wait=True, logged=True).end == "failed":
        sys.exit(1)  # otherwise the others would wait


def queue(before: set[str] = frozenset()) -> set[str]:  # type: ignore[assignment]
    """Returns this user's pending and running jobs, or `before` if Slurm does not respond."""
    try:
        lines = _slurm("squeue", "--me", "--noheader", "--array", "--format=%i")
    except (subprocess.SubprocessError, OSError):
        return before
    return set(lines.split())


def _requeue() -> None:
    """Requeues this job, unless Slurm does so itself or the job was cancelled."""
    number = os.environ["SLURM_JOB_ID"]
    with suppress(subprocess.SubprocessError, OSError):
        if _slurm("squeue", "--noheader", "--format=%T", f"--jobs={number}").strip() == "RUNNING":
            _slurm("scontrol", "requeue", number)
            time.sleep(_PATIENCE)  # Slurm ends the job, which must not exit successfully before


def _slurm(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", check=True, timeout=60
    ).stdout


def _paths() -> str:
    return shlex.quote(os.pathsep.join(path or os.getcwd() for path in sys.path))


def _tell_nobody(*_: Any) -> None:
    """Ignores events; the study reads the run's folder instead."""

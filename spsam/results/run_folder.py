"""The folder of one run, which is the truth about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from spsam.checksums import from_sealed_json, sha256, to_sealed_json
from spsam.errors import SpsamError
from spsam.files import write_text
from spsam.results.rows import Row, read_rows
from spsam.text.json_text import parse_json
from spsam.text.secrets import masked

Status = Literal["planned", "running", "finished", "failed"]

VALIDATION_DICE = "dice/validation"
"""The metric of an epoch after which the validation cases were scored."""


class RunBusyError(SpsamError):
    """Another process is at work on the run."""


@dataclass(frozen=True)
class RunFolder:
    """`<home>/runs/<run_id>/`; making this object touches no file.

    Attributes:
        home: The folder of all results.
        run_id: The run's identity, which is the folder's name: equal runs share one folder.
    """

    home: Path
    run_id: str

    @property
    def path(self) -> Path:
        """The folder."""
        return self.home / "runs" / self.run_id

    @property
    def config(self) -> Path:
        """The resolved configuration, YAML."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """Status, seconds, parameters, environment, failures and cost, JSON.

        `cost`, once the run is scored: `gflops` (one forward pass of one patch), `step_seconds`
        (of an optimiser step, the median of the epochs' means, by phase: `generator`, `joint`),
        `training_seconds` and `evaluation_seconds`, `peak_memory_bytes` and `peak_memory_of`
        (`device` or `process`).

        `best`, where validation cases chose the weights (`train.checkpoint: best`): `epoch` after
        which they were scored, from 0, their `dice`, and `of` how many validations it is the best.
        """
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """One JSON object per epoch and line."""
        return self.path / "metrics.jsonl"

    @property
    def rows(self) -> Path:
        """One JSON object per case and class, see `spsam.results.rows`."""
        return self.path / "rows.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Weights and optimiser, from which an interrupted run goes on; the best weights, too."""
        return self.path / "checkpoint.pt"

    @property
    def preview(self) -> Path:
        """A picture of some predictions."""
        return self.path / "preview.png"

    @property
    def measures(self) -> Path:
        """Counts by slice and by confidence, see `spsam.results.measures`."""
        return self.path / "measures.npz"

    @property
    def panels(self) -> Path:
        """Slices that figures show, see `spsam.results.panels`."""
        return self.path / "panels.npz"

    @property
    def predictions(self) -> Path:
        """A folder of label maps, one per case."""
        return self.path / "predictions"

    @property
    def error(self) -> Path:
        """The traceback of the last failure and the log's end, if the run failed."""
        return self.path / "error.txt"

    @property
    def log(self) -> Path:
        """What the run printed, where it had a process of its own."""
        return self.path / "log.txt"

    def read(self) -> dict[str, Any]:
        """What run.json says; `{"status": "planned"}` where there is none yet.

        Raises:
            SpsamError: If the file is damaged.
        """
        try:
            content = self.record.read_bytes()
        except FileNotFoundError:
            return {"status": "planned"}
        try:
            said = from_sealed_json(content)
        except ValueError as error:
            raise self._damaged(self.record) from error
        if said.get("status") not in get_args(Status):
            raise self._damaged(self.record)
        return said

    def _damaged(self, file: Path) -> SpsamError:
        return SpsamError(f"{file}: is damaged; remove the folder to run it again")

    def checksums(self) -> dict[str, str]:
        """The SHA-256 of each file that a finished run's numbers and figures are read from."""
        files = (self.config, self.metrics, self.rows, self.measures, self.panels)
        return {file.name: sha256(file.read_bytes()) for file in files if file.is_file()}

    def verify(self, file: Path) -> None:
        """Holds a file against its checksum in run.json; earlier versions recorded none.

        Raises:
            SpsamError: If the file, or run.json, is damaged or missing.
        """
        expected = (self.read().get("files") or {}).get(file.name)
        if expected is None:
            return
        try:
            found = sha256(file.read_bytes())
        except FileNotFoundError as error:
            raise SpsamError(f"{file}: is missing; remove the folder to run it again") from error
        if found != expected:
            raise self._damaged(file)

    @property
    def status(self) -> Status:
        """`running` also stands for a run that was interrupted: whoever holds the lock knows."""
        status: Status = self.read()["status"]
        return status

    @property
    def failures(self) -> int:
        """How often the run has failed so far."""
        return int(self.read().get("failures", 0))

    def fail(self, reason: str) -> None:
        """Records a failure, with the end of the log; the caller holds the lock.

        Args:
            reason: A traceback, or what became of the run's process.
        """
        self.note(status="failed", failures=self.failures + 1)
        tail = self.log_tail()
        text = reason + (f"\nthe end of {self.log.name}:\n{tail}" if tail else "")
        write_text(self.error, masked(text))

    def log_tail(self, lines: int = 40) -> str:
        """The last lines that the run printed."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 200 * lines))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:]) + "\n" if text else ""

    def note(self, **values: Any) -> None:
        """Changes some values of run.json, all at once or not at all."""
        write_text(self.record, to_sealed_json({**self.read(), **values}))

    def read_metrics(self) -> list[dict[str, float]]:
        """The metrics of every epoch so far; a line that is still being written is left out.

        Raises:
            SpsamError: If a line is damaged.
        """
        if not self.metrics.exists():
            return []
        try:
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            found = [parse_json(line) for line in lines if line.endswith("\n") and line.strip()]
        except ValueError as error:
            raise self._damaged(self.metrics) from error
        if not all(isinstance(line, dict) and "epoch" in line for line in found):
            raise self._damaged(self.metrics)
        return found

    def read_rows(self) -> list[Row]:
        """The run's scores.

        Raises:
            SpsamError: If there are none or they are damaged.
        """
        self.verify(self.rows)
        return read_rows(self.rows)

    @contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Keeps twins of the run out: other processes, on this machine or on a shared disk.

        The lock goes with its process, however that ends.

        Args:
            wait: Wait until it is free.

        Raises:
            RunBusyError: If another process has it and `wait` is false.
        """
        # Beside the run's folder, not in it: locking alone makes no run.
        file = self.home / "runs" / ".locks" / f"{self.run_id}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(file)
        try:
            held.acquire(timeout=-1 if wait else 0)
        except Timeout as error:
            raise RunBusyError(f"run {self.run_id} is in another process's hands") from error
        try:
            yield
        finally:
            held.release()

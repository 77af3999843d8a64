"""The folder of one run, which contains all of its results."""

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
"""Metric of the epochs after which the validation cases were scored."""


class RunBusyError(SpsamError):
    """Another process holds the lock of the run."""


@dataclass(frozen=True)
class RunFolder:
    """Handle of `<home>/runs/<run_id>/`; creating the object touches no file.

    Attributes:
        home: Folder of all results.
        run_id: Id of the run and name of its folder. Identical runs share one folder.
    """

    home: Path
    run_id: str

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.home / "runs" / self.run_id

    @property
    def config(self) -> Path:
        """Resolved configuration, YAML."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """Record of the run, JSON: status, times, parameters, environment, failures and cost.

        `cost` is added when the run is scored: `gflops` (one forward pass of one patch),
        `step_seconds` (per optimiser step, the median of the epochs' means, for each phase:
        `generator`, `joint`), `training_seconds`, `evaluation_seconds`, `peak_memory_bytes` and
        `peak_memory_of` (`device` or `process`).

        `best` exists if validation cases selected the weights (`train.checkpoint: best`): the
        `epoch` (from 0) after which they were scored, their `dice`, and `of`, the number of
        validations that were compared.
        """
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """Metrics of the training, one JSON object per epoch and line."""
        return self.path / "metrics.jsonl"

    @property
    def rows(self) -> Path:
        """Scores, one JSON object per line; see `spsam.results.rows`."""
        return self.path / "rows.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Last and best weights and the optimiser's state, from which a run resumes."""
        return self.path / "checkpoint.pt"

    @property
    def preview(self) -> Path:
        """Image of some predictions."""
        return self.path / "preview.png"

    @property
    def measures(self) -> Path:
        """Counts per slice and confidence; see `spsam.results.measures`."""
        return self.path / "measures.npz"

    @property
    def panels(self) -> Path:
        """Slices that figures show; see `spsam.results.panels`."""
        return self.path / "panels.npz"

    @property
    def predictions(self) -> Path:
        """Folder of predicted label maps, one per case."""
        return self.path / "predictions"

    @property
    def error(self) -> Path:
        """Traceback of the last failure and the end of the log, if the run failed."""
        return self.path / "error.txt"

    @property
    def log(self) -> Path:
        """Output of the run, if it had its own process."""
        return self.path / "log.txt"

    def read(self) -> dict[str, Any]:
        """Read run.json; without that file, return `{"status": "planned"}`.

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
        """Return the SHA-256 of each file with numbers or figures of a finished run."""
        files = (self.config, self.metrics, self.rows, self.measures, self.panels)
        return {file.name: sha256(file.read_bytes()) for file in files if file.is_file()}

    def verify(self, file: Path) -> None:
        """Compare a file with its checksum in run.json; a file without a checksum is accepted.

        Records of earlier versions contain no checksums.

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
        """Recorded status. It is also `running` after an interruption; then the lock is free."""
        status: Status = self.read()["status"]
        return status

    @property
    def failures(self) -> int:
        """Number of failures of the run so far."""
        return int(self.read().get("failures", 0))

    def fail(self, reason: str) -> None:
        """Record a failure with the end of the log. The caller must hold the lock.

        Args:
            reason: A traceback, or a description of how the run's process ended.
        """
        self.note(status="failed", failures=self.failures + 1)
        tail = self.log_tail()
        text = reason + (f"\nthe end of {self.log.name}:\n{tail}" if tail else "")
        write_text(self.error, masked(text))

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the run's output."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 200 * lines))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:]) + "\n" if text else ""

    def note(self, **values: Any) -> None:
        """Change values of run.json atomically."""
        write_text(self.record, to_sealed_json({**self.read(), **values}))

    def read_metrics(self) -> list[dict[str, float]]:
        """Read the metrics of every epoch so far; an incomplete last line is skipped.

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
        """Read the run's scores.

        Raises:
            SpsamError: If the scores are missing or damaged.
        """
        self.verify(self.rows)
        return read_rows(self.rows)

    @contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the run's lock, which excludes other processes on this machine or a shared disk.

        The operating system releases the lock when the process ends for any reason.

        Args:
            wait: Wait until the lock is free.

        Raises:
            RunBusyError: If another process holds the lock and `wait` is false.
        """
        # Beside the run's folder, because locking alone must not create the folder.
        file = self.home / "runs" / ".locks" / f"{self.run_id}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(file)
        try:
            held.acquire(timeout=-1 if wait else 0)
        except Timeout as error:
            raise RunBusyError(f"run {self.run_id} is in use by another process") from error
        try:
            yield
        finally:
            held.release()

"""Tracking of studies and runs in MLflow; the run folders remain the authoritative record.

MLflow is imported when a `Tracker` is opened, which takes seconds. No failure of it ends a run: the
first failure issues a warning and turns tracking off. `spsam sync` uploads what is missing later.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from spsam.extras import missing
from spsam.text.escape import one_line
from spsam.text.secrets import masked
from spsam.tracking.store import EXPERIMENT, connect, experiment, failures, store
from spsam.tracking.study_summary import StudySummary, write_summary

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

__all__ = ["EXPERIMENT", "Ending", "Tracker", "store"]

Ending = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

_STUDY = "study"
_LONGEST_VALUE = 500
_LONGEST_NAME = 250
_LONGEST_TAG = 5000
_LOCK_SECONDS = 60
_WITHIN = "within"
_GROUP = "group"
_PARAMS_A_CALL = 100
_METRICS_A_CALL = 1000


class Tracker:
    """A study in MLflow: a parent run, optional groups below it, and the study's runs.

    One run is current at a time; `begin` switches between runs. All methods may be called in any
    state. While tracking is off, they do nothing.

    Args:
        home: The folder of all results.
        warn: Called with the reason if tracking is turned off, at most once per `open`.
    """

    def __init__(self, home: Path, warn: Callable[[str], None]) -> None:
        self._home = home
        self._warn = warn
        self._client: MlflowClient | None = None
        self._experiment = ""
        self._parent = ""
        self._current = ""
        self._groups: dict[str, str] = {}
        # Run id -> (MLflow's id, the last epoch recorded there).
        self._begun: dict[str, tuple[str, int]] = {}

    @property
    def on(self) -> bool:
        """Whether the store is open and accepts records."""
        return self._client is not None

    def open(self, name: str, key: str, tags: Mapping[str, str]) -> None:
        """Opens the store and the study's parent run; creates both if they do not exist.

        Args:
            name: The study's name, as displayed by MLflow.
            key: The study's identity. A study with the same key continues the same parent run.
            tags: Tags of the parent run.
        """
        if absent := missing("mlflow", "tracking"):
            self._warn(f"runs are not tracked: {absent}; spsam sync uploads them afterwards")
            return
        with self._guarded():
            self._home.mkdir(parents=True, exist_ok=True)
            # Two processes that connect to a new database at the same time would fail.
            with FileLock(self._home / "mlflow.lock", timeout=_LOCK_SECONDS):
                client = connect(store(self._home))
                self._experiment = experiment(client, self._home)
                self._parent = self._find_or_make(client, name, _STUDY, key, tags)
            self._client = client

    def recorded(self, run_id: str) -> bool:
        """Whether MLflow has the complete run; also true while tracking is off."""
        if self.on and run_id in self._begun:
            return False
        with self._guarded():
            if self._client is not None:
                found = self._find(self._client, "run_id", run_id)
                return found is not None and found.info.status == "FINISHED"
        return True

    def address(self, run_id: str) -> str:
        """Returns MLflow's id of a run; empty if there is none or tracking is off."""
        with self._guarded():
            if self._client is not None:
                found = self._find(self._client, "run_id", run_id)
                return str(found.info.run_id) if found is not None else ""
        return ""

    def begin(
        self,
        run_id: str,
        name: str,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        group: str = "",
    ) -> None:
        """Begins or resumes a run of the study and makes it the current one.

        Args:
            run_id: The run's id.
            name: The run's name, as displayed by MLflow.
            tags: Tags of the run.
            params: The flattened configuration; values are cut after 500 characters.
            group: Name of the group between the study and the run; empty: no group.
        """
        self._current = run_id
        if run_id in self._begun:
            return
        with self._guarded():
            if self._client is None:
                return
            from mlflow.entities import Param

            client = self._client
            above = self._group(client, group) if group else self._parent
            number = self._find_or_make(client, name, "run_id", run_id, tags, above)
            run = client.get_run(number)
            self._begun[run_id] = (number, int(run.data.metrics.get("epoch", -1)))
            # Some stores reject a parameter that is written again, even with the same value.
            new = [
                Param(_allowed(key), one_line(str(value))[:_LONGEST_VALUE])
                for key, value in params.items()
                if _allowed(key) not in run.data.params
            ]
            for start in range(0, len(new), _PARAMS_A_CALL):
                client.log_batch(number, params=new[start : start + _PARAMS_A_CALL])

    def epoch(self, *epochs: Mapping[str, float]) -> None:
        """Records the metrics of epochs of the current run.

        Epochs that were recorded before an interruption are skipped.

        Args:
            *epochs: Metrics of each epoch; `metrics["epoch"]` is the epoch's number.
        """
        number, seen = self._begun.get(self._current, ("", -1))
        now = int(time.time() * 1000)
        values: list[tuple[str, float, int]] = []
        for metrics in epochs:
            step = int(metrics.get("epoch", seen + 1))
            if step > seen:
                seen = step
                numbered = {**metrics, "epoch": step}
                values += [(_allowed(key), float(value), step) for key, value in numbered.items()]
        with self._guarded():
            if self._client is None or not number:
                return
            from mlflow.entities import Metric

            entries = [Metric(key, value, now, step) for key, value, step in values]
            for start in range(0, len(entries), _METRICS_A_CALL):
                self._client.log_batch(number, metrics=entries[start : start + _METRICS_A_CALL])
            self._begun[self._current] = (number, seen)

    def finish(
        self, ending: Ending, scores: Mapping[str, float] | None = None, files: Iterable[Path] = ()
    ) -> None:
        """Ends the current run.

        Args:
            ending: The status recorded in MLflow.
            scores: Final metrics, e.g. `{"dice/mean": 0.9}`.
            files: Files to upload as artifacts; missing files are skipped.
        """
        number, _ = self._begun.pop(self._current, ("", -1))
        with self._guarded():
            if self._client is not None and number:
                self._end(self._client, number, ending, scores, files)

    def close(
        self,
        ending: Ending,
        files: Iterable[Path] = (),
        groups: Mapping[str, Mapping[str, float]] | None = None,
        summary: StudySummary | None = None,
    ) -> bool:
        """Ends the study's parent run and its groups.

        Args:
            ending: The status recorded in MLflow.
            files: Files to upload as artifacts of the parent run.
            groups: Group name -> final metrics.
            summary: The summary of the study; None keeps the recorded one.

        Returns:
            Whether MLflow has everything that was recorded since `open`.
        """
        with self._guarded():
            if self._client is not None:
                for name in {**dict.fromkeys(self._groups), **dict.fromkeys(groups or {})}:
                    number = self._group(self._client, name)
                    self._end(self._client, number, ending, (groups or {}).get(name), ())
                if summary is not None:
                    links = self._links(self._client, summary.runs)
                    write_summary(self._client, self._parent, summary, links)
                scores = None if summary is None else summary.scores
                self._end(self._client, self._parent, ending, scores, files)
        complete = self.on
        self._client = None
        return complete

    def _end(
        self,
        client: MlflowClient,
        number: str,
        ending: Ending,
        scores: Mapping[str, float] | None,
        files: Iterable[Path],
    ) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [Metric(_allowed(k), float(v), now, 0) for k, v in (scores or {}).items()]
        if entries:
            client.log_batch(number, metrics=entries)
        for file in files:
            if file.is_file():
                client.log_artifact(number, str(file))
        if ending != "RUNNING":
            client.set_terminated(number, ending)

    def _links(self, client: MlflowClient, run_ids: Iterable[str]) -> dict[str, str]:
        """Returns run id -> address on MLflow's pages, for the runs that MLflow has."""
        found = {run_id: self._find(client, "run_id", run_id) for run_id in run_ids}
        return {
            run_id: f"#/experiments/{self._experiment}/runs/{run.info.run_id}"
            for run_id, run in found.items()
            if run is not None
        }

    def _group(self, client: MlflowClient, name: str) -> str:
        if name not in self._groups:
            self._groups[name] = self._find_or_make(client, name, _GROUP, name, {}, self._parent)
        return self._groups[name]

    def _find(self, client: MlflowClient, tag: str, value: str) -> Run | None:
        # MLflow's filters cannot quote every character: unusual ones become wildcards, and the
        # results are compared with the value below.
        pattern = re.sub(r"[^A-Za-z0-9.:/ -]+", "%", value)
        within = f" and tags.{_WITHIN} = '{self._parent}'" if tag != _STUDY else ""
        token: str | None = None
        while True:
            page = client.search_runs(
                [self._experiment],
                filter_string=f"tags.{tag} LIKE '{pattern}'{within}",
                max_results=100,
                page_token=token,
            )
            for run in page:
                if run.data.tags.get(tag) == value:
                    return run
            token = page.token
            if not token:
                return None

    def _find_or_make(  # noqa: PLR0917 - the attributes of an MLflow run
        self,
        client: MlflowClient,
        name: str,
        tag: str,
        value: str,
        tags: Mapping[str, str],
        above: str = "",
    ) -> str:
        found = self._find(client, tag, value)
        if found is not None:
            client.update_run(found.info.run_id, status="RUNNING")
            return str(found.info.run_id)
        nested = {"mlflow.parentRunId": above, _WITHIN: self._parent} if above else {}
        about = {key: one_line(text)[:_LONGEST_TAG] for key, text in tags.items()}
        made = client.create_run(
            self._experiment,
            tags={**about, **nested, tag: value},
            run_name=one_line(name)[:_LONGEST_NAME],
        )
        return str(made.info.run_id)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except failures() as error:
            self._client = None
            lines = str(error).strip().splitlines() or [type(error).__name__]
            address = store(self._home)
            said = (
                f"MLflow ({address}) failed; continuing without it: {lines[0]}; run spsam "
                "sync to upload the missing records once it works again"
            )
            self._warn(masked(said, address))


def _allowed(name: str) -> str:
    """Replaces characters that MLflow rejects in names; `:` is rejected on Windows only."""
    return re.sub(r"[^\w\-. /]", "_", name)

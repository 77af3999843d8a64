"""Everything about MLflow: where people look. The run's folder stays the truth.

MLflow is imported when a `Tracker` is opened, which costs seconds. No failure of it ends a run: the
first one is said, then tracking stays off; `spsam sync` records what is missing later.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

Ending = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

EXPERIMENT = "spsam"
_STUDY = "study"
_LONGEST_VALUE = 500
_WITHIN = "within"
_GROUP = "group"
_PARAMS_A_CALL = 100
_METRICS_A_CALL = 1000


def store(home: Path) -> str:
    """The tracking address: the environment's MLFLOW_TRACKING_URI, else a database in `home`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database(home)}"


def database(home: Path) -> Path:
    """The local database's file, which need not be there."""
    return (home / "mlflow.db").resolve()


class Tracker:
    """One study in MLflow: a parent run, in it groups if there are any, in these runs.

    One run is at hand at a time; `begin` goes from one to the other and back. Methods may be called
    in any state: with tracking off they do nothing.

    Args:
        home: The folder of all results.
        warn: Told why tracking was given up, once.
    """

    def __init__(self, home: Path, warn: Callable[[str], None]) -> None:
        self._home = home
        self._warn = warn
        self._client: MlflowClient | None = None
        self._experiment = ""
        self._parent = ""
        self._current = ""
        self._groups: dict[str, str] = {}
        # By run id: MLflow's own id, and the last epoch there.
        self._begun: dict[str, tuple[str, int]] = {}

    @property
    def on(self) -> bool:
        """Whether there is a store that takes what is recorded."""
        return self._client is not None

    def open(self, name: str, key: str, tags: Mapping[str, str]) -> None:
        """Finds the study's parent run by its key, or makes it; the store too, if need be.

        Args:
            name: The study's name on the page.
            key: Its identity: the same study goes on in the same parent run.
            tags: Its tags.
        """
        with self._guarded():
            self._home.mkdir(parents=True, exist_ok=True)
            # A fresh database fails when two processes connect to it at once.
            with FileLock(self._home / "mlflow.lock"):
                client = _connect(store(self._home))
                self._experiment = _experiment(client, self._home)
                self._parent = self._find_or_make(client, name, _STUDY, key, tags)
            self._client = client

    def recorded(self, run_id: str) -> bool:
        """Whether the study has this run, complete (or tracking is off)."""
        if self.on and run_id in self._begun:
            return False
        with self._guarded():
            if self._client is not None:
                found = self._find(self._client, "run_id", run_id)
                return found is not None and found.info.status == "FINISHED"
        return True

    def address(self, run_id: str) -> str:
        """MLflow's own id of a run of the study; empty if there is none (or tracking is off)."""
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
        """Begins a run of the study, or goes on with it.

        Args:
            run_id: Its identity.
            name: Its name on the page.
            tags: Its tags.
            params: Its configuration, flat; a value longer than 500 characters is cut.
            group: The run between the study and this one, by its name; empty: none.
        """
        from mlflow.entities import Param

        self._current = run_id
        if run_id in self._begun:
            return
        with self._guarded():
            if self._client is None:
                return
            client = self._client
            above = self._group(client, group) if group else self._parent
            number = self._find_or_make(client, name, "run_id", run_id, tags, above)
            run = client.get_run(number)
            self._begun[run_id] = (number, int(run.data.metrics.get("epoch", -1)))
            # A parameter cannot be written twice, not even with the same value on every store.
            new = [
                Param(_allowed(key), str(value)[:_LONGEST_VALUE])
                for key, value in params.items()
                if _allowed(key) not in run.data.params
            ]
            for start in range(0, len(new), _PARAMS_A_CALL):
                client.log_batch(number, params=new[start : start + _PARAMS_A_CALL])

    def epoch(self, *epochs: Mapping[str, float]) -> None:
        """Records the metrics of epochs; `metrics["epoch"]` is an epoch's number.

        An epoch that was recorded before an interruption is not recorded again.
        """
        from mlflow.entities import Metric

        number, seen = self._begun.get(self._current, ("", -1))
        now = int(time.time() * 1000)
        entries = []
        for metrics in epochs:
            step = int(metrics.get("epoch", seen + 1))
            if step > seen:
                seen = step
                entries += [
                    Metric(_allowed(key), float(value), now, step)
                    for key, value in {**metrics, "epoch": step}.items()
                ]
        with self._guarded():
            if self._client is None or not number:
                return
            for start in range(0, len(entries), _METRICS_A_CALL):
                self._client.log_batch(number, metrics=entries[start : start + _METRICS_A_CALL])
            self._begun[self._current] = (number, seen)

    def finish(
        self, ending: Ending, scores: Mapping[str, float] | None = None, files: Iterable[Path] = ()
    ) -> None:
        """Ends the run.

        Args:
            ending: How.
            scores: Final metrics, e.g. `{"dice/mean": 0.9}`.
            files: Files to keep beside it; what does not exist is left out.
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
    ) -> None:
        """Ends the study's parent run, and its groups.

        Args:
            ending: How.
            files: Files to keep beside it.
            groups: Final metrics of groups, by name.
        """
        with self._guarded():
            if self._client is not None:
                for name in {**dict.fromkeys(self._groups), **dict.fromkeys(groups or {})}:
                    number = self._group(self._client, name)
                    self._end(self._client, number, ending, (groups or {}).get(name), ())
                self._end(self._client, self._parent, ending, None, files)
        self._client = None

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

    def _group(self, client: MlflowClient, name: str) -> str:
        if name not in self._groups:
            self._groups[name] = self._find_or_make(client, name, _GROUP, name, {}, self._parent)
        return self._groups[name]

    def _find(self, client: MlflowClient, tag: str, value: str) -> Run | None:
        within = f" and tags.{_WITHIN} = '{self._parent}'" if tag != _STUDY else ""
        found = client.search_runs(
            [self._experiment], filter_string=f"tags.{tag} = '{value}'{within}", max_results=1
        )
        return found[0] if found else None

    def _find_or_make(  # noqa: PLR0917 - what a run of MLflow has
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
        made = client.create_run(
            self._experiment, tags={**tags, **nested, tag: value}, run_name=name
        )
        return str(made.info.run_id)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except _failures() as error:
            self._client = None
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self._warn(
                f"MLflow ({store(self._home)}) failed, going on without it: {lines[0]}; spsam sync "
                "records what is missing there once it works again"
            )


def _failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when its store is away, full, locked, damaged or of another version."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError)


def _connect(uri: str) -> MlflowClient:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # A server that is away costs seconds, not the minutes of MLflow's own patience.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def _experiment(client: MlflowClient, home: Path) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return str(client.create_experiment(name))  # the server knows where its artifacts go
    with closing(sqlite3.connect(database(home))) as connection:
        # Readers (the page) and writers (runs) then do not wait for each other.
        connection.execute("PRAGMA journal_mode=WAL")
    place = (home / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=place))


def _allowed(name: str) -> str:
    """MLflow's names have letters, digits and _ - . space : / only."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)

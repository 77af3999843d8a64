"""MLflow's store: where it is, how it is opened, and what it raises."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "spsam"


def store(home: Path) -> str:
    """The tracking address: the environment's MLFLOW_TRACKING_URI, else a database in `home`."""
    if named := os.environ.get("MLFLOW_TRACKING_URI"):
        return named
    # In an address `?` ends the path and `%` begins a sign's number.
    file = str(database(home))
    quoted = quote(file, safe="/\\: ")
    # MLflow takes the path of plain sqlite: for a folder's, unquoted, and makes that folder.
    return f"sqlite:///{file}" if quoted == file else f"sqlite+pysqlite:///{quoted}"


def database(home: Path) -> Path:
    """The local database's file, which need not be there."""
    return (home / "mlflow.db").resolve()


def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when its store is away, full, locked, damaged or of another version.

    Or when its address is none (ValueError), or needs a driver that is not installed (ImportError).
    """
    own = (OSError, ImportError, ValueError, sqlite3.Error)
    try:
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:  # MLflow's own installation is damaged
        return own
    return (*own, MlflowException, SQLAlchemyError, CommandError)


def connect(uri: str) -> MlflowClient:
    """A client of the store; a local database is made if there is none."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # A server that is away costs seconds, not the minutes of MLflow's own patience.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def experiment(client: MlflowClient, home: Path) -> str:
    """The id of the experiment that MLFLOW_EXPERIMENT_NAME names, made if there is none."""
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

"""MLflow's store: its address, connections to it, and the errors that it raises."""

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
    """Returns the address: MLFLOW_TRACKING_URI if it is set, else a database in `home`."""
    if named := os.environ.get("MLFLOW_TRACKING_URI"):
        return named
    # In an address, `?` ends the path and `%` begins an escaped character.
    file = str(database(home))
    quoted = quote(file, safe="/\\: ")
    # MLflow uses the unquoted path of a plain `sqlite` address as a folder, and creates it.
    return f"sqlite:///{file}" if quoted == file else f"sqlite+pysqlite:///{quoted}"


def database(home: Path) -> Path:
    """Returns the path of the local database, which may not exist yet."""
    return (home / "mlflow.db").resolve()


def failures() -> tuple[type[Exception], ...]:
    """Returns the exceptions that a failing store raises.

    MLflow's own exceptions are raised if the store is unreachable, full, locked, damaged or of
    another version, ValueError if its address is invalid, and ImportError if it needs a driver
    that is not installed.
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
    """Returns a client of the store; creates the local database if it does not exist."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # An unreachable server should fail after seconds; MLflow's default would take minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def experiment(client: MlflowClient, home: Path) -> str:
    """Returns the id of the experiment MLFLOW_EXPERIMENT_NAME; creates it if it does not exist."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return str(client.create_experiment(name))  # the server assigns the artifact location
    with closing(sqlite3.connect(database(home))) as connection:
        # In WAL mode, readers (the pages) and writers (runs) do not block each other.
        connection.execute("PRAGMA journal_mode=WAL")
    place = (home / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=place))

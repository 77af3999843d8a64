"""Checks of the connections to MLflow's and Optuna's stores; passwords are masked."""

from __future__ import annotations

import os
from collections.abc import Iterator

from spsam.errors import InputError, shortened
from spsam.studies.doctor.finding import Examination, Finding
from spsam.text.secrets import masked


def mlflow_store(examined: Examination) -> Iterator[Finding]:
    """Checks the store MLFLOW_TRACKING_URI, or else the database in the folder of results."""
    from spsam.tracking.store import connect, database, failures, store

    named = bool(os.environ.get("MLFLOW_TRACKING_URI"))
    address = store(examined.home)
    shown = masked(address)
    facts = {"address": shown, "named": named}
    if not named and not database(examined.home).is_file():
        yield Finding("mlflow", "ok", f"{shown}: the first run creates it", "", facts)
        return
    # Fail fast: a check does not need to wait for a server that may come back.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    try:
        connect(address).search_experiments(max_results=1)
    except failures() as error:
        reason = (masked(str(error), address).strip().splitlines() or [type(error).__name__])[0]
        advice = (
            "start the server, or correct or unset MLFLOW_TRACKING_URI"
            if named
            else "move the file away: spsam sync creates a new one from the runs' folders"
        )
        text = f"{shown}: {shortened(reason, 200)}"
        yield Finding("mlflow", "wrong", text, advice, facts)
        return
    yield Finding("mlflow", "ok", f"{shown}: reachable", "", facts)


def optuna_store(examined: Examination) -> Iterator[Finding]:
    """Checks the database of `--storage`; sweeps without one use a journal in their folders."""
    from spsam.studies.sweep.address import is_database, shown_storage
    from spsam.studies.sweep.storage import open_storage

    facts = {"storage": shown_storage(examined.storage, examined.home)}
    if not is_database(examined.storage):
        text = "a journal in each sweep's folder" if examined.storage is None else facts["storage"]
        yield Finding("optuna", "ok", text, "", facts)
        return
    try:
        open_storage(examined.storage, examined.home, lambda text: None)
    except InputError as error:
        text = "; ".join(str(problem) for problem in error.problems)
        advice = "start the database, or correct --storage"
        yield Finding("optuna", "wrong", text, advice, facts)
        return
    yield Finding("optuna", "ok", f"{facts['storage']}: reachable", "", facts)

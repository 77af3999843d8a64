"""Lookup of runs in a local MLflow database, without importing MLflow."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from spsam.tracking.store import database


def run_pages(home: Path) -> dict[str, str]:
    """Returns the MLflow page of each run, relative to the address of `spsam ui`.

    Args:
        home: The folder of all results.

    Returns:
        Run id -> path, e.g. `#/experiments/1/runs/3f…`; empty without a local database.
    """
    file = database(home)
    if not file.is_file():
        return {}
    query = (
        "SELECT tags.value, runs.experiment_id, runs.run_uuid FROM tags "
        "JOIN runs ON runs.run_uuid = tags.run_uuid "
        "WHERE tags.key = 'run_id' AND runs.lifecycle_stage = 'active' ORDER BY runs.start_time"
    )
    try:
        # Opened read-only: a report must neither create nor lock the database.
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as base:
            found = base.execute(query).fetchall()
    except sqlite3.Error:
        return {}
    return {run: f"#/experiments/{experiment}/runs/{uuid}" for run, experiment, uuid in found}

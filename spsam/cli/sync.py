"""`spsam sync`."""

from __future__ import annotations

import dataclasses
import json

import typer

from spsam.cli.options import AsJson, Out
from spsam.errors import InputError
from spsam.extras import require
from spsam.text.secrets import masked

EPILOG = "Example: spsam sync --out path/to/results (MLFLOW_TRACKING_URI is optional)"


def sync(out: Out = None, as_json: AsJson = False) -> None:
    """Upload missing results to MLflow. Existing entries are unchanged."""
    from spsam.config.places import home
    from spsam.studies.recording.sync import sync as upload
    from spsam.tracking.store import store

    require("mlflow", "spsam sync")
    folder = home(out)
    if not (folder / "runs").is_dir():
        raise InputError(f"there are no runs in {folder}: specify another folder with --out")
    done = upload(folder, lambda text: typer.echo(f"warning: {text}", err=True))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(study) for study in done], indent=2))
    else:
        typer.echo(f"MLflow: {masked(store(folder))}")
        for study in done:
            state = "" if study.complete else ", incomplete"
            typer.echo(f"{study.name}: {study.runs} runs, {study.new} of them new{state}")
    raise typer.Exit(0 if all(study.complete for study in done) else 1)

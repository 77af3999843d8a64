"""`spsam ui`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from spsam.errors import InputError
from spsam.text.secrets import masked

EPILOG = "Example: spsam ui --port 5001"


def ui(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of results; else $SPSAM_HOME, else ./spsam-runs."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
) -> None:
    """Open the MLflow page over this project's runs; Ctrl-C ends it."""
    from spsam.config.places import home
    from spsam.tracking.store import database, store

    folder = home(out)
    address = store(folder)
    if not os.environ.get("MLFLOW_TRACKING_URI") and not database(folder).is_file():
        raise InputError(
            f"there are no tracked runs in {folder} yet: run spsam ablate first, or name another "
            "folder with --out"
        )
    if address.startswith(("http:", "https:")):
        typer.echo(f"The runs are on the server of MLFLOW_TRACKING_URI: {masked(address)}")
        return
    command = [sys.executable, "-m", "mlflow", "ui"]
    typer.echo(f"http://{host}:{port}")
    code = subprocess.call(
        [*command, "--host", host, "--port", str(port)],
        # A command line is seen by everybody on the machine, and the address may hold a password.
        env={
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": address,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
    )
    raise typer.Exit(code)

"""`spsam ui`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Annotated

import typer

from spsam.cli.options import Out
from spsam.errors import InputError
from spsam.extras import require
from spsam.signals import handling, stop
from spsam.text.secrets import masked

EPILOG = "Example: spsam ui --port 5001"


def ui(
    out: Out = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
) -> None:
    """Start MLflow's web interface; stop it with Ctrl-C."""
    from spsam.config.places import home
    from spsam.tracking.store import database, store

    require("mlflow", "spsam ui")
    folder = home(out)
    address = store(folder)
    if not os.environ.get("MLFLOW_TRACKING_URI") and not database(folder).is_file():
        raise InputError(
            f"there are no tracked runs in {folder} yet: run spsam ablate first, or specify "
            "another folder with --out"
        )
    if address.startswith(("http:", "https:")):
        typer.echo(f"MLFLOW_TRACKING_URI is set; open the server's address: {masked(address)}")
        return
    command = [sys.executable, "-m", "mlflow", "ui"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    if os.environ.get("MLFLOW_TRACKING_URI"):
        # The address may contain a password, and command lines are visible to all users.
        environment["MLFLOW_BACKEND_STORE_URI"] = address
    else:
        command += ["--backend-store-uri", address]
    typer.echo(f"http://{host}:{port}")
    raise typer.Exit(_served([*command, "--host", host, "--port", str(port)], environment))


def _served(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs the server until it exits or a signal stops it; child processes are ended as well."""
    with ExitStack() as signals:
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signals.enter_context(handling(getattr(signal, name), stop))
        server = subprocess.Popen(command, env=environment)
        try:
            return server.wait()
        except KeyboardInterrupt as stopped:
            return int(getattr(stopped, "exit_code", 130))
        finally:
            end_processes(server.pid)
            server.wait()


def end_processes(pid: int, patience: float = 5.0) -> None:
    """Ends a process and all its descendants.

    Args:
        pid: Id of the process.
        patience: Seconds to wait before processes are killed.
    """
    import psutil

    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(family, timeout=patience)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()

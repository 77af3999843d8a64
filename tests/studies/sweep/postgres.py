"""A PostgreSQL server of the test's own, where the machine has one installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database; skips where there is no PostgreSQL."""
    pytest.importorskip("psycopg2")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = shutil.which("pg_ctl") or (str(binaries[-1]) if binaries else None)
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    pg_ctl, initdb = Path(found), Path(found).with_name("initdb")
    as_user: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="spsam-postgres-"))
    if os.geteuid() == 0:
        # The server refuses to run as root; Debian's package makes this user.
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    data, port = folder / "data", _free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    begin = [str(pg_ctl), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start"]
    try:
        _run([*as_user, str(initdb), "-D", str(data), "-A", "trust", "-U", "spsam"], folder)
        _run([*as_user, *begin], folder)
        try:
            yield f"postgresql+psycopg2://spsam:secret@127.0.0.1:{port}/postgres"
        finally:
            _run([*as_user, str(pg_ctl), "-D", str(data), "-m", "immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    # A server that inherits a pipe would keep it open for ever.
    with (folder / "out").open("ab") as out:
        subprocess.run(command, check=True, cwd=folder, stdout=out, stderr=out)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

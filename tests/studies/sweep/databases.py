"""Database servers of a test's own, where the machine has them installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_STARTS_WITHIN = 30.0
"""Seconds."""


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database; skips where there is no PostgreSQL."""
    pytest.importorskip("psycopg2")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = shutil.which("pg_ctl") or (str(binaries[-1]) if binaries else None)
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    pg_ctl, initdb = Path(found), Path(found).with_name("initdb")
    with _folder("postgres") as (folder, as_user):
        data, port = folder / "data", _free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        begin = [str(pg_ctl), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log")]
        _run([*as_user, str(initdb), "-D", str(data), "-A", "trust", "-U", "spsam"], folder)
        _run([*as_user, *begin, "start"], folder)
        try:
            yield f"postgresql+psycopg2://spsam:secret@127.0.0.1:{port}/postgres"
        finally:
            _run([*as_user, str(pg_ctl), "-D", str(data), "-m", "immediate", "stop"], folder)


@contextmanager
def mysql() -> Iterator[str]:
    """The URL of an empty database; skips where there is no MariaDB."""
    pytest.importorskip("pymysql")
    programs = [shutil.which(name) for name in ("mariadb-install-db", "mariadbd", "mariadb")]
    if not all(programs):
        pytest.skip("MariaDB is not installed")
    install, server, client = map(str, programs)
    with _folder("mysql") as (folder, as_user):
        data, port, socket_file = folder / "data", _free_port(), folder / "socket"
        # Without its test database it has no nameless user either, who would be taken for ours.
        plain = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        _run([*as_user, install, "--no-defaults", f"--datadir={data}", *plain], folder)
        begin = [*as_user, server, "--no-defaults", f"--datadir={data}", f"--port={port}"]
        begin += [f"--socket={socket_file}", "--bind-address=127.0.0.1"]
        ask = [client, "--no-defaults", f"--socket={socket_file}", "-u", "root", "-e"]
        with (folder / "out").open("ab") as out:
            process = subprocess.Popen(begin, cwd=folder, stdout=out, stderr=out)
        try:
            end = time.monotonic() + _STARTS_WITHIN
            while subprocess.run([*ask, "select 1"], capture_output=True, check=False).returncode:
                assert time.monotonic() < end, (folder / "out").read_text()
                time.sleep(0.2)
            make = "create database sweeps; create user spsam@'%' identified by 'secret';"
            _run([*ask, f"{make} grant all on sweeps.* to spsam@'%'"], folder)
            yield f"mysql+pymysql://spsam:secret@127.0.0.1:{port}/sweeps"
        finally:
            # A signal would stop runuser, and leave the server.
            _run([*ask, "shutdown"], folder)
            process.wait(30)


@contextmanager
def _folder(user: str) -> Iterator[tuple[Path, list[str]]]:
    """A folder of the server's, and what its commands begin with.

    Servers refuse to run as root; Debian's packages make a user for them.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"spsam-{user}-"))
    as_user: list[str] = []
    try:
        if os.geteuid() == 0:
            if shutil.which("runuser") is None:
                pytest.skip(f"the server of {user} does not run as root, and there is no runuser")
            as_user = ["runuser", "-u", user, "--"]
            shutil.chown(folder, user)
        yield folder, as_user
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

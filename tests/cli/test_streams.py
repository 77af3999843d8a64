from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from spsam.cli.main import Verbs, app
from spsam.cli.progress import LineWatcher
from spsam.cli.streams import shown_streams
from spsam.errors import InputError


def test_what_a_verb_prints_is_plain_and_without_passwords() -> None:
    verbs = typer.Typer(cls=Verbs)

    @verbs.callback()
    def group() -> None: ...

    @verbs.command()
    def verb(wrong: bool = False) -> None:
        typer.echo("\x1b[31mred\x07 \udcff http://me:secret@host")
        print("\u202e")
        LineWatcher(sys.stderr).warn("\x1b")
        if wrong:
            raise InputError("no class '\x07' in mysql://me:s@cret@host/x")

    result = CliRunner().invoke(verbs, ["verb", "--wrong"])
    assert result.exit_code == 2
    # typer takes colours out itself, where there is no terminal.
    assert result.stdout == r"red\u0007 \udcff http://me:***@host" + "\n\\u202e\n"
    assert "warning: \\u001b\n" in result.stderr
    assert r"no class '\u0007' in mysql://me:***@host/x" in result.stderr


def test_rich_still_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with shown_streams():
        Console(force_terminal=True, color_system="standard").print(Text("a", style="red"))
        print("\x1b")
    assert stream.getvalue() == "\x1b[31ma\x1b[0m\n\\u001b\n"


@pytest.mark.parametrize("verb", ["sync", "ui"])
def test_no_password_of_the_tracking_address_is_printed(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9")
    result = CliRunner().invoke(app, [verb, "--out", str(tmp_path)])
    assert "http://me:***@127.0.0.1:9" in result.output
    assert "s3cret" not in result.output


def test_the_page_gets_its_address_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" "$MLFLOW_BACKEND_STORE_URI" > {tmp_path}/told\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:s3cret@host/db")
    result = CliRunner().invoke(app, ["ui", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    words = (tmp_path / "told").read_text().split()
    assert words[-1] == os.environ["MLFLOW_TRACKING_URI"]
    assert not any("s3cret" in word for word in words[:-1])

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import typer
from typer.testing import CliRunner

import spsam
from spsam.cli.main import Verbs, app
from spsam.errors import InputError, Problem, SpsamError

VERBS = [
    ["ablate"],
    ["pretrain"],
    ["prompts"],
    ["registry"],
    ["registry", "list"],
    ["registry", "show"],
    ["sync"],
    ["ui"],
]

HEAVY = """
import sys, time
sys.argv = ["spsam", "--help"]
from spsam.cli.main import main
try:
    main()
except SystemExit:
    pass
print([name for name in ("torch", "mlflow", "pandas", "pydantic", "numpy") if name in sys.modules])
print(time.process_time())
"""


def spsam_(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spsam", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_is_quick_and_light(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAVY], cwd=repository, capture_output=True, text=True, check=True
    )
    *_, heavy, seconds = done.stdout.splitlines()
    assert heavy == "[]"
    # Processor time, since the clock's depends on what else the machine does; 0.15 s when written.
    assert float(seconds) < 0.5


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help(verb: list[str]) -> None:
    result = CliRunner().invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: spsam {verb[0]}" in result.output


@pytest.mark.parametrize(
    "arguments",
    [["abalte"], ["ablate", "--sed", "3"], ["ablate", "--fold", "one"], ["registry", "show"]],
    ids=" ".join,
)
def test_a_mistyped_command_ends_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout.strip() == spsam.__version__


def failing(error: Exception) -> typer.Typer:
    """An application like `app` with one verb that raises."""
    other = typer.Typer(cls=Verbs, pretty_exceptions_enable=False)

    @other.command()
    def first() -> None:
        raise error

    @other.command()
    def second() -> None:
        pass

    return other


def test_every_problem_is_a_line_without_traceback() -> None:
    problems = [Problem("unknown key", Path("a.yaml"), 3), Problem("no such file")]
    result = CliRunner().invoke(failing(InputError(problems)), ["first"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["error: a.yaml:3: unknown key", "error: no such file"]


def test_other_failures_end_with_1() -> None:
    result = CliRunner().invoke(failing(SpsamError("the disk is full")), ["first"])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["failed: the disk is full"]


def test_a_mistake_of_the_project_keeps_its_traceback() -> None:
    result = CliRunner().invoke(failing(ZeroDivisionError()), ["first"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_module_is_the_program(repository: Path) -> None:
    done = spsam_("--version", cwd=repository)
    assert done.stdout.strip() == spsam.__version__


def test_ui_without_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = CliRunner().invoke(app, ["ui", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "no tracked runs" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_ui_starts_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").touch()
    called: list[list[str]] = []

    def served(command: list[str], environment: dict[str, str]) -> int:
        called.append(command)
        return 0

    monkeypatch.setattr("spsam.cli.ui._served", served)
    result = CliRunner().invoke(app, ["ui", "--out", str(tmp_path), "--port", "5007"])
    assert result.exit_code == 0
    assert "5007" in result.stdout
    assert f"sqlite:///{tmp_path / 'mlflow.db'}" in called[0]


SERVER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
SERVE = f"""
import os, signal, sys
# Whoever starts the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from spsam.cli.ui import _served
print(_served([sys.executable, "-c", {SERVER!r}], os.environ), flush=True)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_page_ends_its_processes_when_it_is_ended(number: int, code: int) -> None:
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        worker = int(page.stdout.readline())
        page.send_signal(number)
        assert int(page.stdout.readline()) == code
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie"


def test_ui_with_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.org")
    result = CliRunner().invoke(app, ["ui", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert "http://example.org" in result.stdout


def test_sync_wants_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sync", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "there are no runs in" in result.stderr


@pytest.mark.parametrize("length", [300, 5000])
def test_names_that_are_too_long_are_input_errors(length: int) -> None:
    name = "a" * length
    verbs = (["data", "check", f"/tmp/{name}"], ["ablate", f"{name}.yaml"], ["sync", "--out", name])
    for words in verbs:
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2, result.output
        assert "choose a shorter one" in result.stderr
        assert len(result.stderr) < 500


def test_a_working_directory_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone');"
        "sys.argv = ['spsam', 'registry', 'list'];"
        "from spsam.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the working directory was removed" in done.stderr


@pytest.mark.parametrize(("name", "code"), [("dfused", 0), ("absent", 2)])
def test_closed_streams_change_no_exit_code(name: str, code: int) -> None:
    words = ["registry", "show", name]
    command = '"$@" 2>&- >&- <&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "spsam", *words], check=False
    )
    assert done.returncode == code


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("8192 requested and 4096 written"), "free some space"),
        (OSError(errno.EIO, "Input/output error", "x"), "x: Input/output error: the disk reports"),
        (OSError(errno.ELOOP, "Too many levels", "y"), "y: Too many levels"),
    ],
)
def test_what_the_system_refuses_is_a_sentence(error: OSError, said: str) -> None:
    result = CliRunner().invoke(failing(error), ["first"])
    assert result.exit_code == 1
    assert said in result.stderr

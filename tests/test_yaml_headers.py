"""The examples that head the shipped YAML files run as they stand."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spsam.cli.main import app
from tests.data.layouts import write_acdc, write_amos, write_synapse
from tests.studies.fakes import FakeBackend

ROOT = Path(__file__).resolve().parents[1]
PROMPT = "# spsam "


class Engine(FakeBackend):
    """Counts and measures nothing."""

    def measure(self, *_: Any) -> dict[str, Any] | None:
        return None


def examples() -> list[tuple[str, str]]:
    """(file, command) of every line of a header that is one."""
    files = [
        path for folder in ("ablations", "registry") for path in (ROOT / folder).rglob("*.yaml")
    ]
    return [
        (str(path.relative_to(ROOT)), line.removeprefix("# "))
        for path in sorted(files)
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith(PROMPT)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples name: small data sets below path/to, and a file of weights."""
    folder = tmp_path_factory.mktemp("user")
    write_acdc(folder / "path/to/ACDC/training")
    write_synapse(folder / "path/to/Synapse")
    write_amos(folder / "path/to/AMOS22", numbers=(1, 4, 5, 6, 7, 8, 507))
    (folder / "sam_vit_b_01ec64.pth").write_bytes(b"weights")
    return folder


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (
        "planning.planner",
        "planning.costs",
        "sweep.plan_sweep",
        "prompts.plan_prompts",
    ):
        monkeypatch.setattr(f"spsam.studies.{module}.Backend", Engine)


def test_every_arm_preset_study_and_sweep_has_an_example() -> None:
    shown = {file for file, _ in examples()}
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "ablations").rglob("*.yaml")}
    assert files == {file for file in shown if file.startswith("ablations")}


@pytest.mark.parametrize(("file", "command"), examples(), ids=lambda value: value)
def test_the_example_of_a_header_runs_as_it_stands(
    file: str, command: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    _, *words = shlex.split(command)
    if words[0] == "pretrain":  # has no dry run: its words are read
        typer.main.get_command(app).commands["pretrain"].make_context("pretrain", words[1:])  # type: ignore[attr-defined]
        return
    dry = [] if words[0] == "registry" else ["--dry-run"]
    result = CliRunner().invoke(app, [*words, *dry])
    assert result.exit_code == 0, result.output
    if dry:
        assert "Nothing was run: --dry-run." in result.output

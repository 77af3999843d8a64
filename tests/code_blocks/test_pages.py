"""Every code block of README.md and docs/ runs: shell.py states how commands are made small."""

from __future__ import annotations

import re
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from typer.testing import CliRunner

from spsam.cli.main import app
from tests import tutorials
from tests.code_blocks import files, place, shell
from tests.code_blocks.pages import BLOCKS, PAGES, SHELL, Block, of_page

LANGUAGES = {*SHELL, "python", "yaml", "text", ""}


# They plan some forty networks, train, measure and view.
SLOW = ("ablations.md", "presets.md", "python.md", "train-and-predict.md")


def parameters(*languages: str) -> list[ParameterSet]:
    """The pages that have blocks in any of some languages."""
    pages = [page for page in PAGES if of_page(page, *languages)]
    slow = [[pytest.mark.slow] if page.name in SLOW else [] for page in pages]
    return [pytest.param(page, id=page.name, marks=m) for page, m in zip(pages, slow, strict=True)]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents") / "user"
    folder.mkdir()
    place.make(folder)
    return folder


@pytest.fixture
def user(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, as the working folder."""
    folder = tmp_path / "user"
    shutil.copytree(made, folder, symlinks=True)
    monkeypatch.chdir(folder)
    # Other tests have imported the tutorials' modules from folders of theirs.
    for name in tutorials.files():
        monkeypatch.delitem(sys.modules, f"{name}_blocks", raising=False)
    ours = [each for each in sys.path if not list(Path(each).glob("*_blocks.py"))]
    monkeypatch.setattr(sys, "path", ours)
    return folder


def collect(failures: list[str], where: str, action: Callable[[], object]) -> None:
    """Keeps what an action raises, so that one run shows all blocks that are broken."""
    try:
        action()
    except (Exception, SystemExit):
        failures.append(f"{where}\n{traceback.format_exc()}")


def invoke(command: str, placeholders: dict[str, str]) -> None:
    given = shell.words(command, placeholders)
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, f"spsam {' '.join(given)}\n{result.output}\n{result.exception!r}"


@pytest.mark.parametrize("page", parameters("yaml", *SHELL))
def test_files_load_and_commands_end_with_0(page: Path, user: Path) -> None:
    failures: list[str] = []
    placeholders = place.placeholders()
    # A page may name a file in a command and show it below.
    for block in of_page(page, "yaml"):
        collect(failures, block.place, lambda block=block: files.check(block))
    for block in of_page(page, *SHELL):
        for line, command in block.commands():
            if shell.reason(command) is None:
                where = f"{page.name}:{line}: {command}"
                collect(failures, where, lambda words=command: invoke(words, placeholders))
    assert not failures, "\n\n".join(failures)


def execute(block: Block, namespace: dict[str, object]) -> None:
    # The lines of a traceback are those of the page.
    code = compile("\n" * block.line + block.text, str(block.page), "exec")
    exec(code, namespace)


@pytest.mark.parametrize("page", parameters("python"))
def test_python_runs_as_it_stands(page: Path, user: Path) -> None:
    failures: list[str] = []
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in of_page(page, "python"):
        collect(failures, block.place, lambda block=block: execute(block, namespace))
    assert not failures, "\n\n".join(failures)


def test_no_block_is_passed_over() -> None:
    assert len(BLOCKS) > 40
    assert {block.language for block in BLOCKS} <= LANGUAGES
    # A command in a block without a language would not be run.
    for block in BLOCKS:
        if block.language in ("text", ""):
            assert not re.search(r"^\$? ?(spsam|python|pip|nox) ", block.text, re.M), block.place


def test_what_is_not_run_is_still_in_the_documents() -> None:
    commands = [c for block in BLOCKS if block.language in SHELL for _, c in block.commands()]
    for start in shell.NOT_HERE:
        assert any(command.startswith(start) for command in commands), start

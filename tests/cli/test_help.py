"""Every verb's help, held at 80 columns by a file of tests/cli/help.

`SPSAM_WRITE_HELP=1 python -m pytest tests/cli/test_help.py` writes the files anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spsam.cli.main import app
from spsam.cli.options import PRESETS

HELP = Path(__file__).parent / "help"
ROOT = Path(__file__).resolve().parents[2]


def verbs(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups and the program itself included."""
    command = command or typer.main.get_command(app)
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from verbs(below, (*words, name))


VERBS = list(verbs())


def shown(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="spsam")
    assert result.exit_code == 0, result.output
    return "\n".join(line.rstrip() for line in result.output.rstrip().split("\n")) + "\n"


@pytest.mark.parametrize("words", VERBS, ids=lambda words: " ".join(words) or "spsam")
def test_help_is_as_its_file_has_it(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, file = shown(words, monkeypatch), HELP / f"{'-'.join(words) or 'spsam'}.txt"
    if os.environ.get("SPSAM_WRITE_HELP"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), "if it is meant: see this file's docstring"
    assert max(map(len, text.splitlines())) <= 80


def test_every_file_of_help_is_of_a_verb() -> None:
    names = {f"{'-'.join(words) or 'spsam'}.txt" for words in VERBS}
    assert {file.name for file in HELP.iterdir()} == names


def parameters(command: Any) -> Iterator[Any]:
    yield from command.params
    for below in getattr(command, "commands", {}).values():
        yield from parameters(below)


def test_nothing_of_an_options_text_is_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = re.sub(r"\s+", "", "".join(shown(words, monkeypatch) for words in VERBS))
    texts = [each.help for each in parameters(typer.main.get_command(app)) if each.help]
    assert len([text for text in texts if "[default" in text]) > 20
    for text in texts:
        assert re.sub(r"\s+", "", text) in told, text


def test_help_names_the_presets_that_there_are() -> None:
    names = {path.stem for path in (ROOT / "ablations" / "presets").glob("*.yaml")}
    assert set(re.findall(r"\w+", PRESETS.partition(" or ")[0])) == names


def test_one_name_has_one_meaning() -> None:
    """Options of one name have one help text, but for what a verb's own default adds."""
    meanings: dict[str, set[str]] = {}
    for each in parameters(typer.main.get_command(app)):
        for name in each.opts:
            if name.startswith("--"):
                text = re.sub(r" ?\[default.*?\]|:.*", "", each.help or "").rstrip(".")
                meanings.setdefault(name, set()).add(text)
    for name in ("--out", "--device", "--set", "--json", "--dry-run", "--plugin", "--checkpoint"):
        assert len(meanings[name]) == 1, (name, meanings[name])
    gone = {"--to"}
    assert not gone & set(meanings)

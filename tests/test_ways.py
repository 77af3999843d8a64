"""docs/guides/workflows.md: four sections that state how many commands they have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ways

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")


def test_each_section_states_the_number_of_its_commands() -> None:
    found = list(ways.workflows())
    assert len(found) == 4
    text = ways.PAGE.read_text(encoding="utf-8")
    for heading, commands in found:
        assert re.search(
            rf"^## {re.escape(heading)}\n\n{NUMBERS[len(commands)].title()} commands: ", text, re.M
        ), heading


@pytest.mark.parametrize("own_data", [False, True])
def test_every_file_that_a_command_names_is_made_or_written_by_one(
    own_data: bool, tmp_path: Path
) -> None:
    ways.make(tmp_path, None, None)
    ways.add_scans(tmp_path, own_data)
    scans = [path.name for path in (tmp_path / "scans").iterdir()]
    assert len(list((tmp_path / "labels").iterdir())) == 2
    assert len(scans) == (4 if own_data else 2)
    for _, commands in ways.workflows():
        saved = set(re.findall(r"--save (\S+)|(\S+\.zip)", " ".join(commands)))
        written = {name for pair in saved for name in pair if name}
        for word in " ".join(commands).split():
            if "/" in word and not word.startswith("single/") and not re.fullmatch(r"\w+/\d", word):
                assert word in written or (tmp_path / word).exists(), word


def test_a_failed_command_ends_the_session(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="exit code 3"):
        ways.run("exit 3", tmp_path)

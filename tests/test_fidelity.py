"""The page of the paper's statements names what exists, and hides no deviation."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_provenance import citations, sections_of, table_of_contents

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "fidelity.md"
VERDICTS = ("exact", "value", "chosen", "deviates")
# These sections have nothing that could be built.
NOTHING_TO_BUILD = {"4", "B"}


class Row(NamedTuple):
    where: str
    statement: str
    verdict: str
    here: str
    held_by: str


def rows() -> list[Row]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]
    return [Row(*row) for row in cells if row[0] not in ("where", "---")]


@cache
def functions_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def mistakes(row: Row) -> list[str]:
    """All that is wrong with a row, in words."""
    found = [] if row.verdict in VERDICTS else [f"verdict '{row.verdict}'"]
    cited = list(citations(row.where))
    if not cited:
        found.append(f"'{row.where}' cites no place of the paper")
    found += [f"there is no {each}" for each in cited if not sections_of(each)]
    tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row.held_by)
    if not tests:
        found.append("no test holds it")
    for file, name in tests:
        if not (ROOT / file).is_file() or name not in functions_of(ROOT / file):
            found.append(f"there is no {file}::{name}")
    decisions = re.findall(r"\[decision (\d+)\]\(decisions/(\d{4})-[\w-]+\.md\)", row.here)
    for number, prefix in decisions:
        files = list((ROOT / "docs" / "decisions").glob(f"{int(number):04d}-*.md"))
        if int(number) != int(prefix) or not files:
            found.append(f"there is no decision {number}")
    if row.verdict == "deviates" and not decisions:
        found.append("deviates without a decision")
    return found


def test_every_row_holds() -> None:
    assert [(row.statement, wrong) for row in rows() for wrong in mistakes(row)] == []
    assert len(rows()) >= 60
    assert {row.verdict for row in rows()} == set(VERDICTS)


def test_every_section_has_its_statements() -> None:
    cited = {name for row in rows() for each in citations(row.where) for name in sections_of(each)}
    assert set(table_of_contents()) - NOTHING_TO_BUILD <= cited


def test_no_statement_stands_twice() -> None:
    keys = [(row.where, row.statement) for row in rows()]
    assert len(keys) == len(set(keys))


GOOD = Row(
    "Sec. 2.1",
    "s",
    "exact",
    "",
    "`tests/test_fidelity.py::test_every_row_holds`",
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verdict": "nearly"}, "verdict 'nearly'"),
        ({"where": "Sec. 2.9"}, "there is no Sec. 2.9"),
        ({"where": "somewhere"}, "cites no place"),
        ({"held_by": "a look at it"}, "no test holds it"),
        ({"held_by": "`tests/test_fidelity.py::test_nothing`"}, "test_nothing"),
        ({"held_by": "`tests/test_nowhere.py::test_every_row_holds`"}, "test_nowhere"),
        ({"verdict": "deviates"}, "deviates without a decision"),
        ({"here": "[decision 999](decisions/0999-x.md)"}, "there is no decision 999"),
        ({"here": "[decision 4](decisions/0005-short-schedules.md)"}, "there is no decision 4"),
    ],
)
def test_a_wrong_row_would_be_seen(change: dict[str, str], said: str) -> None:
    assert mistakes(GOOD) == []
    (found,) = mistakes(GOOD._replace(**change))
    assert said in found

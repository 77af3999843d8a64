"""The documents hold together: links lead somewhere, examples parse, commands are the ones run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "reports" / "results"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "benchmarks" / "README.md",
    RECORDS / "README.md",
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


DECISIONS = ROOT / "docs" / "decisions"
PLAIN = [
    *sorted(ROOT.glob("*.md")),
    *(
        page
        for part in (".", "guides", "decisions")
        for page in sorted((ROOT / "docs" / part).glob("*.md"))
    ),
    ROOT / "benchmarks" / "README.md",
    ROOT / "reports" / "published" / "README.md",
    ROOT / "spsam" / "model" / "sam" / "weights" / "README.md",
]
"""Pages that follow the rules of writing in CONTRIBUTING.md."""
# The section that lists the words themselves.
RULES = re.compile(r"^## Writing style\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
# Of its word list, what is wrong wherever it stands.
NOT_PLAIN = re.compile(
    r"\b(says?|tells?|knows?|wants?|speaks?|goes on|go on|(is|are) (said|told|asked|refused)|anew"
    r"|once more|passed over|left out|by itself)\b|, too\b",
    re.IGNORECASE,
)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_examples_parse(page: Path) -> None:
    for code in blocks(page, "python"):
        ast.parse(code)
    for text in blocks(page, "yaml"):
        assert isinstance(YAML(typ="safe").load(text), dict)


@pytest.mark.parametrize("page", PLAIN, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_pages_keep_to_the_word_list(page: Path) -> None:
    prose = re.sub(r"\]\([^)]*\)", "]", BLOCK.sub("", page.read_text(encoding="utf-8")))
    if page.name == "CONTRIBUTING.md":
        prose = RULES.sub("", prose)
    found = [line for line in prose.splitlines() if NOT_PLAIN.search(line)]
    assert not found, "see the word list in CONTRIBUTING.md"


ENTRY = re.compile(r"^\| (\d+) \| \[([^]]+)\]\(([^)]+)\) \|(.*)", re.MULTILINE)
RECORD = re.compile(
    r"# (\d+)\. (.+)\n\n((?:Partly superseded by|Superseded by|Withdrawn:)[^#]+)?## "
)
HEADINGS = ["Question", "Decision", "Reasons", "Measurements", "Costs"]


def faults_of_records(records: dict[str, str], index: str) -> list[str]:
    """Records without the common form, and what is wrong with their entries in the index.

    Args:
        records: Text of each record by file name.
        index: The page that lists them; replaced ones in its last part.
    """
    faults = []
    living, replaced = index.split("\n## Replaced\n")
    entries = {"living": ENTRY.findall(living), "replaced": ENTRY.findall(replaced)}
    for file, text in records.items():
        headings = re.findall("^## (.+)", text, re.MULTILINE)
        if headings != [each for each in HEADINGS if each in headings]:
            faults.append(f"{file}: unexpected headings")
        if not {"Question", "Decision", "Costs"} <= set(headings):
            faults.append(f"{file}: a heading is missing")
        start = RECORD.match(text)
        if start is None or int(start[1]) != int(file[:4]):
            faults.append(f"{file}: no title, or another number")
            continue
        part = "replaced" if start[3] else "living"
        expected = (start[1], start[2], file)
        found = [
            (kind, entry) for kind, all_ in entries.items() for entry in all_ if entry[2] == file
        ]
        if [(kind, entry[:3]) for kind, entry in found] != [(part, expected)]:
            faults.append(
                f"{file}: expected once in the index, among the {part} ones, by its title"
            )
        elif not set(re.findall(r"\]\((.+?)\)", start[3] or "")) <= set(
            re.findall(r"\]\((.+?)\)", found[0][1][3])
        ):
            faults.append(f"{file}: the index lacks what replaced it")
    listed = {entry[2] for all_ in entries.values() for entry in all_}
    return faults + [f"{file}: no such record" for file in sorted(listed - records.keys())]


def all_records() -> dict[str, str]:
    return {page.name: page.read_text(encoding="utf-8") for page in sorted(DECISIONS.glob("0*.md"))}


def test_every_decision_is_in_the_index_and_replaced_ones_at_its_end() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    assert not faults_of_records(all_records(), index)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("# 1. Title", "# 7. Title", "0001-a.md: no title, or another number"),
        ("## Costs", "## Cost", "0001-a.md: a heading is missing"),
        ("## Decision", "## Background", "0001-a.md: unexpected headings"),
        ("## Question", "Withdrawn: too slow.\n\n## Question", "0001-a.md: expected once"),
        ("| 1 | [Title](0001-a.md) |\n", "", "0001-a.md: expected once"),
        ("| 1 | [Title]", "| 1 | [Name]", "0001-a.md: expected once"),
        (
            "\n## Replaced\n",
            "\n## Replaced\n\n| 1 | [Title](0001-a.md) |\n",
            "0001-a.md: expected once",
        ),
        ("| 2 | [Old](0002-b.md) | [1](0001-a.md) |\n", "", "0002-b.md: expected once"),
        ("| [1](0001-a.md) |", "| |", "0002-b.md: the index lacks what replaced it"),
        (
            "## Replaced\n",
            "## Replaced\n\n| 3 | [Gone](0003-c.md) |\n",
            "0003-c.md: no such record",
        ),
    ],
)
def test_faults_of_decisions_are_found(old: str, new: str, fault: str) -> None:
    sections = "\n\n## Question\n\n?\n\n## Decision\n\n!\n\n## Costs\n\nNone.\n"
    status = "\n\nPartly superseded by [1. Title](0001-a.md): the rest applies."
    parts = [
        f"# 1. Title{sections}",
        f"# 2. Old{status}{sections}",
        "| 1 | [Title](0001-a.md) |\n\n## Replaced\n\n| 2 | [Old](0002-b.md) | [1](0001-a.md) |\n",
    ]
    assert not faults_of_records({"0001-a.md": parts[0], "0002-b.md": parts[1]}, parts[2])
    place = next(number for number in (2, 0, 1) if old in parts[number])
    parts[place] = parts[place].replace(old, new, 1)
    faults = faults_of_records({"0001-a.md": parts[0], "0002-b.md": parts[1]}, parts[2])
    assert any(each.startswith(fault) for each in faults), faults


def test_readme_is_short_and_ci_runs_its_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    command = "pip install nox uv && nox -s tests"
    assert command in readme
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert command in script.replace(" --quiet", "")


def test_every_trap_has_its_test() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\S+)::(\w+)`", page)
    assert len(named) >= 11
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_the_glossary_has_the_names_of_the_code() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    words = [row[0] for row in rows if row[0] not in ("term", "---")]
    assert len(words) > 40
    assert len(words) == len(set(words))
    named = re.findall(r"`(\w+)` `(\S+\.py)`", page)
    assert len(named) > 30
    for name, module in named:
        code = (ROOT / "spsam" / module).read_text(encoding="utf-8")
        assert re.search(rf"^(class|def) {name}\b|^{name}\b.* = |, {name}, ", code, re.MULTILINE), (
            name,
            module,
        )


def test_constraints_are_versions_and_no_addresses() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 100
    for line in lines:
        assert re.fullmatch(r"[a-z0-9.\-]+==[^\s@/]+( ; .+)?", line), line
        assert "//" not in line


def test_the_page_of_results_keeps_to_the_word_list() -> None:
    test_pages_keep_to_the_word_list(RECORDS / "README.md")

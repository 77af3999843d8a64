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


PLAIN = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "guides").glob("*.md"))]
"""Pages that follow the rules of writing in CONTRIBUTING.md."""
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


@pytest.mark.parametrize("page", PLAIN, ids=lambda page: page.name)
def test_pages_keep_to_the_word_list(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    found = [line for line in prose.splitlines() if NOT_PLAIN.search(line)]
    assert not found, "see the word list in CONTRIBUTING.md"


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

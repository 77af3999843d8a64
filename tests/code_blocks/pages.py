"""Fenced code blocks of README.md and docs/, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sybil import Document
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).resolve().parents[2]
# tests/test_tutorials.py builds, trains and plans what these two write.
TUTORIALS = ("add-an-adapter.md", "add-a-component.md")
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in TUTORIALS),
]
SHELL = ("sh", "bash", "shell", "console")
_LEXER = RawFencedCodeBlockLexer(re.compile(r"[ \t]*(?P<language>[^\n]*)\n"))


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its fence, its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """`docs/guides/data.md:3`."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that a YAML block's first comment names."""
        named = re.match(r"# (\S+\.yaml)\n", self.text)
        return named[1] if named else None

    def commands(self) -> list[tuple[int, str]]:
        """(line of the page, command) of a shell block: continued lines joined, comments kept."""
        found: list[tuple[int, str]] = []
        begun: tuple[int, str] | None = None
        for number, row in enumerate(self.text.splitlines(), self.line + 1):
            line, text = (begun[0], f"{begun[1]} {row.strip()}") if begun else (number, row)
            begun = None
            if text.endswith("\\"):
                begun = (line, text[:-1].rstrip())
            elif text.strip() and not text.lstrip().startswith("#"):
                found.extend((line, part.strip()) for part in text.split(" && "))
        return found


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    document = Document(page.read_text(encoding="utf-8"), str(page))
    for region in sorted(_LEXER(document), key=lambda region: region.start):
        line = document.text.count("\n", 0, region.start) + 1
        text = str(region.lexemes["source"])
        yield Block(page, line, region.lexemes["language"].strip(), text)


BLOCKS = [block for page in PAGES for block in blocks(page)]


def of_page(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page in any of some languages."""
    return [block for block in BLOCKS if block.page == page and block.language in languages]

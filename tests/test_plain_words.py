"""Docstrings, comments and messages of the package keep to the word list of CONTRIBUTING.md."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.test_documents import NOT_PLAIN, ROOT

PACKAGES = sorted(
    folder for folder in (ROOT / "spsam").iterdir() if (folder / "__init__.py").exists()
)
# A string of fewer words is a key, a name or a path.
_WORDS = 3
# Code in backticks, and the name that a line of Args or Attributes begins with.
_CODE = re.compile(r"`[^`]*`|^ +\w+(?=: )")


def prose(module: Path) -> list[tuple[int, str]]:
    """Line and text of every comment and of every string that reads as a sentence."""
    kinds = {
        tokenize.COMMENT,
        tokenize.STRING,
        getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING),
    }
    tokens = tokenize.generate_tokens(io.StringIO(module.read_text(encoding="utf-8")).readline)
    return [
        (token.start[0] + number, line)
        for token in tokens
        if token.type in kinds and len(token.string.split()) >= _WORDS
        for number, line in enumerate(token.string.splitlines())
    ]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_code_keeps_to_the_word_list(package: Path) -> None:
    found = [
        f"{module.relative_to(ROOT)}:{line}: {text.strip()}"
        for module in sorted(package.rglob("*.py"))
        for line, text in prose(module)
        if NOT_PLAIN.search(_CODE.sub("", text))
    ]
    assert not found, "\n".join(["see the word list in CONTRIBUTING.md:", *found])

"""The notebooks as they are stored: executed from top to bottom, without errors or this machine.

`nox -s notebooks` executes them.
"""

from __future__ import annotations

import ast
import json
import platform
import re
from pathlib import Path
from typing import Any

import pytest

import spsam

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_LARGEST = 600_000


def cells(file: Path) -> list[dict[str, Any]]:
    return [
        cell
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]


def test_there_is_one_for_each_kind_of_use() -> None:
    names = {file.stem for file in NOTEBOOKS}
    assert names == {"ablation", "own_component", "own_data", "self_prompt_sam", "trained_run"}
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"({name}.ipynb)" in page for name in names)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_was_executed_without_errors(file: Path) -> None:
    assert file.stat().st_size < _LARGEST
    assert [cell["execution_count"] for cell in cells(file)] == list(range(1, len(cells(file)) + 1))
    outputs = [output for cell in cells(file) for output in cell["outputs"]]
    assert outputs
    assert {output["output_type"] for output in outputs} <= {
        "execute_result", "display_data", "stream",
    }  # fmt: skip
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"/(tmp|home|root|work|Users)/", text)
    # A short name may be a word.
    assert len(platform.node()) < 6 or platform.node() not in text


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_links_lead_somewhere(file: Path) -> None:
    every = json.loads(file.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in every if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert "://" in target or (FOLDER / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_uses_what_there_is(file: Path) -> None:
    used = set()
    for cell in cells(file):
        lines = "".join(cell["source"]).splitlines()
        tree = ast.parse("\n".join(line for line in lines if not line.startswith("%")))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "spsam":
                used.add(node.attr)
    assert used
    assert used <= set(spsam.__all__)

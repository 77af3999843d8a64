from __future__ import annotations

from pathlib import Path

from spsam.results.cell_rows import CellRows
from spsam.results.rows import Row


def row(case: str, value: float = 0.5) -> Row:
    return Row("key", 0, 0, case, case, 1, "left", "mask", "slices", value)


def test_a_file_grows_by_cases_and_gives_those_asked_for(tmp_path: Path) -> None:
    cell = CellRows(tmp_path, "key")
    assert cell.read() == []
    assert cell.missing(["a", "b"]) == ["a", "b"]
    cell.add([row("b")])
    cell.add([row("a")])
    assert cell.missing(["a", "b", "c"]) == ["c"]
    assert [found.case for found in cell.read(["a", "b"])] == ["a", "b"]
    assert [found.case for found in cell.read(["b"])] == ["b"]
    cell.add([row("a", 0.75)])  # a twin came later
    assert [found.value for found in cell.read(["a"])] == [0.75]

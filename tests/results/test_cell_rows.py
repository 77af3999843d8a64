from __future__ import annotations

from pathlib import Path

import pytest

from spsam.errors import SpsamError
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


def test_a_damaged_number_is_noticed(tmp_path: Path) -> None:
    cell = CellRows(tmp_path, "key")
    cell.add([row("a"), row("b")])
    content = cell.path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        cell.path.write_bytes(damaged)
        with pytest.raises(SpsamError, match=r"key\.jsonl"):
            cell.read()
    # A file that is cut off is no file without a checksum.
    cell.path.write_bytes(b"".join(content.splitlines(keepends=True)[:2]))
    with pytest.raises(SpsamError, match=r"key\.jsonl"):
        cell.read()
    # A file of the first version has no checksum.
    cell.path.write_bytes(b"".join(content.splitlines(keepends=True)[1:]))
    assert cell.read() == [row("a"), row("b")]

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.errors import SpsamError
from spsam.results.rows import Row, read_rows, write_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.one_of(st.floats(0, 1), st.just(math.nan))
ROWS = st.builds(
    Row,
    run_id=TEXT,
    seed=st.integers(0, 99),
    fold=st.integers(0, 4),
    case=TEXT,
    patient=TEXT,
    class_id=st.integers(0, 15),
    class_name=TEXT,
    metric=st.just("dice"),
    convention=st.just("nnunet"),
    value=VALUES,
)


@given(rows=st.lists(ROWS, max_size=5))
def test_rows_survive_the_file(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    write_rows(path, rows)
    # repr: NaN is not equal to itself.
    assert [repr(row) for row in read_rows(path)] == [repr(row) for row in rows]


def test_nan_is_written_as_json(tmp_path: Path) -> None:
    row = Row("r", 0, 0, "case", "patient", 1, "a", "dice", "nnunet", math.nan)
    write_rows(tmp_path / "rows.jsonl", [row])
    text = (tmp_path / "rows.jsonl").read_text()
    assert '"value": null' in text
    assert "NaN" not in text


@pytest.mark.parametrize("line", ["{", "[]", '{"value": 1}', '{"value": 1, "more": 2}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, [Row("r", 0, 0, "case", "patient", 1, "a", "dice", "nnunet", 0.5)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(SpsamError, match=r"rows\.jsonl:2: expected"):
        read_rows(path)


def test_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpsamError, match="cannot be read"):
        read_rows(tmp_path / "none.jsonl")

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.methods import METHODS, methods_of, methods_table
from spsam.reporting.tables.published import published_ablation, published_methods
from spsam.reporting.tables.study import StudyResults
from tests.reporting.store import as_external, make_study


@pytest.mark.parametrize("methods", METHODS, ids=lambda methods: methods.key)
def test_published_rows_are_as_printed(methods: object, repository: Path) -> None:
    file = repository / "reports" / "published" / f"{methods.key}.csv"  # type: ignore[attr-defined]
    table = methods_table(methods)  # type: ignore[arg-type]
    lines = file.read_text().splitlines()[1:]
    assert len(table.lines) == len(lines)
    for line, text in zip(table.lines, lines, strict=True):
        numbers = [float(word) for word in text.split(",")[1:]]
        # The file's order of columns may have the mean last.
        assert sorted(float(cell.text) for cell in line.cells[1:]) == sorted(numbers)
        source = line.cells[1].source
        assert source is not None
        place, _, number = source.published.rpartition(":")
        assert (repository / "reports" / place).read_text().splitlines()[int(number) - 1] == text


def test_a_mean_that_disagrees_with_its_row_has_a_footnote() -> None:
    notes = {methods.key: methods_table(methods).notes for methods in METHODS}
    assert notes["table1_amos22"]["a"] == (
        "Printed mean 76.2; the mean of the row's own classes is 78.7."
    )
    (row,) = [line for line in methods_table(METHODS[0]).lines if line.cells[1].notes == ("a",)]
    assert row.key == "UNETR"
    assert notes["table3_acdc"] == {}  # rounding is no disagreement
    for row_ in published_methods("table3_acdc"):
        assert abs(row_.own_mean - row_.mean) < 0.01


def test_our_runs_stand_beside(tmp_path: Path) -> None:
    folder = make_study(tmp_path, ("S1", "S2"), (0, 1), status={("S2", 1): "failed"})
    methods = methods_of("acdc")
    assert methods is not None
    table = methods_table(methods, StudyResults(read_study(folder)))
    assert [group.title for group in table.groups] == ["published", "this project"]
    first, second = table.groups[1].lines
    assert first.cells[0].text == "S1: title of S1"
    assert second.cells[0].text == "S2: title of S2 (n=1)"
    source = first.cells[table.column("myo")].source
    assert source is not None
    assert source.runs == ("S1run000", "S1run001")
    assert "not measured by this project" in table.caption
    assert "split default" in table.caption


@pytest.mark.parametrize("methods", METHODS, ids=lambda methods: methods.key)
def test_published_rows_alone_carry_no_marks(methods: Any) -> None:
    assert {cell.rank for line in methods_table(methods).lines for cell in line.cells} == {0}


def test_best_and_second_best_are_marked_among_our_rows_alone(tmp_path: Path) -> None:
    """Published rows have no rank, however ours compare with them."""
    study = StudyResults(read_study(make_study(tmp_path, ("S1", "S2", "S3"), (0,))))
    table = methods_table(METHODS[2], study)
    published, own = table.groups
    assert {cell.rank for line in published.lines for cell in line.cells} == {0}
    for column in range(1, len(table.columns)):
        cells = [line.cells[column] for line in own.lines]
        numbers = sorted({float(cell.text) for cell in cells}, reverse=True)
        assert [cell.rank for cell in cells] == [
            1 + numbers.index(float(cell.text)) if float(cell.text) in numbers[:2] else 0
            for cell in cells
        ]
    assert "marked among this project's rows only" in table.caption


def test_a_single_row_of_ours_is_no_best(tmp_path: Path) -> None:
    table = methods_table(METHODS[2], StudyResults(read_study(make_study(tmp_path, ("S1",), (0,)))))
    assert {cell.rank for line in table.lines for cell in line.cells} == {0}


def test_a_class_that_the_data_lack_is_a_hole(tmp_path: Path) -> None:
    folder = make_study(tmp_path, classes=("background", "RV", "LV"))
    table = methods_table(METHODS[2], StudyResults(read_study(folder)))
    assert table.groups[1].lines[0].cells[table.column("myo")].text == "—"


def test_other_data_have_no_comparison() -> None:
    assert methods_of("hippocampus") is None
    assert methods_of("ACDC") is METHODS[2]
    assert len(published_ablation()) == 9
    assert published_ablation()["S1"][0] == 79.57


def test_an_external_stands_beside_by_the_data_sets_published_name(tmp_path: Path) -> None:
    folder = as_external(make_study(tmp_path, ("S1", "nnUNet"), data="my-hearts"), "nnUNet")
    about = json.loads((folder / "ablation.json").read_text())
    (folder / "ablation.json").write_text(json.dumps({**about, "published": "acdc"}))
    measured = read_study(folder)
    methods = methods_of(measured.published)
    assert methods is METHODS[2]
    table = methods_table(methods, StudyResults(measured))
    own = table.groups[1].lines
    assert [line.cells[0].text for line in own] == [
        "S1: title of S1",
        "nnUNet (external): predicted by another program, scored by spsam",
    ]
    # Ranked among own rows only.
    assert [line.cells[table.column("mean")].rank for line in own] == [2, 1]
    assert not any(cell.rank for line in table.groups[0].lines for cell in line.cells)
    assert "nnUNet (external): predicted by another program" in table.caption

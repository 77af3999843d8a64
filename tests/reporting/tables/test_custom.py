from __future__ import annotations

from pathlib import Path

import pytest

from spsam.errors import InputError
from spsam.reporting.render.model import Table
from spsam.reporting.study_data import StudyData
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.custom import custom_table
from tests.reporting.store import make_study


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    return read_study(make_study(tmp_path_factory.mktemp("study")))


def table(text: str, measured: StudyData, folder: Path) -> Table:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return custom_table(file, measured)


def test_rows_columns_and_groups(measured: StudyData, tmp_path: Path) -> None:
    made = table(
        """
title: Mine
columns: [dice, "dice: LV", change]
groups:
  small: [S1]
  large: [S3]
""",
        measured,
        tmp_path,
    )
    assert made.name == "mine"
    assert [column.key for column in made.columns] == ["arm", "dice", "dice: LV", "change"]
    assert [(group.title, [line.key for line in group.lines]) for group in made.groups] == [
        ("small", ["S1"]),
        ("large", ["S3"]),
        ("", ["S2"]),
    ]
    assert made.caption.startswith("Mine. Dice in percent")


def test_filters_decide_what_counts(measured: StudyData, tmp_path: Path) -> None:
    made = table(
        """
title: Few
filters: {arm: [S3, S1], seed: [2], classes: [LV], case: [patient000_frame0]}
""",
        measured,
        tmp_path,
    )
    rows = measured.rows
    mine = rows[
        (rows["seed"] == 2) & (rows["class_name"] == "LV") & (rows["case"] == "patient000_frame0")
    ].set_index("arm")["value"]
    assert [line.key for line in made.lines] == ["S3", "S1"]
    assert list(made.frame()["dice"]) == pytest.approx([100 * mine["S3"], 100 * mine["S1"]])
    source = made.lines[0].cells[made.column("dice")].source
    assert source is not None
    assert source.runs == ("S3run002",)
    assert source.cases == ("patient000_frame0",)
    assert "mean over 1 case of 1 patient," in made.caption


@pytest.mark.parametrize("kind", ["seed", "case", "patient", "class"])
def test_rows_of_other_kinds_have_arms_as_columns(
    kind: str, measured: StudyData, tmp_path: Path
) -> None:
    made = table(f"title: x\nrows: {kind}\ncolumns: [S2, S1]\n", measured, tmp_path)
    column = "class_name" if kind == "class" else kind
    rows = measured.rows[(measured.rows["class_id"] > 0) & (measured.rows["arm"] == "S2")]
    means = 100 * rows.groupby(column, observed=True)["value"].mean()
    assert [column.key for column in made.columns] == [kind, "S2", "S1"]
    for line in made.lines:
        key = int(line.key) if kind == "seed" else line.key
        # Every class has as many cases here.
        assert line.cells[1].values["S2"] == pytest.approx(means[key])
        assert line.cells[1].rank == 1
        assert line.cells[1].source is not None


def test_every_mistake_at_once_with_its_line(measured: StudyData, tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        table("title: x\nfilters:\n  arm: [S1, S33]\n  classes: [VL]\n", measured, tmp_path)
    said = [str(problem) for problem in found.value.problems]
    assert said[0].endswith("mine.yaml:3: unknown arm 'S33'; did you mean 'S3'?")
    assert said[1].endswith("mine.yaml:4: unknown class 'VL'; known: LV, MYO, RV")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: arm\n", "title"),
        ("title: x\nrow: arm\n", "did you mean 'rows'"),
        ("title: x\nrows: arms\n", "'arm'"),
        ("title: x\nfilters: {seed: ['0']}\n", "whole number"),
        ("title: x\ngroups: {a: [S1], b: [S1]}\n", "two groups"),
        ("title: x\ncolumns: [dcie]\n", "unknown column 'dcie'"),
        ("title: x\nrows: case\ncolumns: [S4]\n", "unknown arm 'S4'"),
        ("title: x\ngroups: {a: [S4]}\n", "unknown row 'S4'"),
    ],
)
def test_mistakes(text: str, message: str, measured: StudyData, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        table(text, measured, tmp_path)

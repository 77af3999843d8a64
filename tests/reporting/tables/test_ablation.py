from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from spsam.reporting.render.html import to_html
from spsam.reporting.render.latex import to_latex
from spsam.reporting.render.model import Table
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.ablation import ablation_table
from spsam.reporting.tables.comparisons import comparisons_table
from spsam.reporting.tables.study import StudyResults
from tests.reporting.store import make_study

STATUS = {
    ("S3", 0): "failed",
    ("S3", 1): "failed",
    ("mine", 1): "failed",
    ("late", 0): "missing",
    ("late", 1): "running",
}
COST = {"cost": {"gflops": 12.34, "step_seconds": {"joint": 0.5}, "peak_memory_bytes": 2**30}}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    folder = tmp_path_factory.mktemp("study")
    arms = ("S1", "S2", "S3", "mine", "late")
    return StudyResults(
        read_study(make_study(folder, arms, (0, 1), cases=12, status=STATUS, extra=COST))
    )


@pytest.fixture(scope="module")
def table(study: StudyResults) -> Table:
    return ablation_table(study)


def texts(table: Table, key: str) -> list[str]:
    return [line.cells[table.column(key)].text for line in table.lines]


def test_order_state_and_holes(table: Table) -> None:
    values = table.frame()
    assert list(values["arm"]) == ["S1", "S2", "S3", "mine", "late"]
    assert list(values["state"]) == ["finished", "finished", "failed", "partial", "missing"]
    assert list(values["seeds"]) == [2, 2, 0, 1, 0]
    assert list(values["dice"].isna()) == [False, False, True, False, True]
    assert list(values["std"].isna()) == [False, False, True, True, True]
    assert texts(table, "dice")[2] == "failed"
    assert texts(table, "dice")[3].endswith("(n=1)")
    assert texts(table, "dice")[4] == "—"


def test_intervals_hold_their_means(table: Table) -> None:
    values = table.frame().dropna(subset="dice")
    assert (values["ci_low"] < values["dice"]).all()
    assert (values["dice"] < values["ci_high"]).all()


def test_change_is_against_the_parent_in_the_table(study: StudyResults) -> None:
    values = ablation_table(study).frame().set_index("arm")
    assert math.isnan(values.loc["S1", "change"])  # nothing above it
    difference = values.loc["S2", "dice"] - values.loc["S1", "dice"]
    assert values.loc["S2", "change"] == pytest.approx(difference)
    assert math.isnan(values.loc["mine", "change"])  # its parent failed
    assert values.loc["S2", "parent"] == "S1"
    change = texts(ablation_table(study), "change")
    assert change[0] == ""
    assert change[1].endswith("* (S1)")


def test_published_values_are_matched_by_name(study: StudyResults, table: Table) -> None:
    assert texts(table, "published") == ["79.57", "82.20", "90.08", "—", "—"]
    unknown = ablation_table(study, published={})
    assert "published" not in [column.key for column in unknown.columns]
    assert "Published" not in unknown.caption


def test_costs_are_means_of_finished_runs(table: Table) -> None:
    assert texts(table, "gflops") == ["12.3", "12.3", "—", "12.3", "—"]
    assert texts(table, "peak_memory")[0] == "1.00"
    assert texts(table, "step_time")[0] == "0.500"


def test_runs_without_costs_have_no_columns_of_costs(tmp_path: Path) -> None:
    table = ablation_table(StudyResults(read_study(make_study(tmp_path))))
    assert not {"gflops", "peak_memory", "step_time"} & {c.key for c in table.columns}


def test_hd95_stands_beside_dice_and_less_is_better(tmp_path: Path) -> None:
    folder = make_study(tmp_path, ("A", "B"), (0, 1))
    for run in (tmp_path / "runs").iterdir():
        text = (run / "rows.jsonl").read_text()
        value = "2.0" if run.name.startswith("A") else "4.0"
        lines = [line for line in text.splitlines() if '"class_id": 0' not in line]
        more = [line.replace('"dice"', '"hd95"').rpartition('"value": ')[0] for line in lines]
        more = [f'{line}"value": {value}}}' for line in more]
        (run / "rows.jsonl").write_text("\n".join([text.strip(), *more]) + "\n")
    study = StudyResults(read_study(folder))
    table = ablation_table(study)
    cells = [line.cells[table.column("hd95")] for line in table.lines]
    assert [(cell.text, cell.rank) for cell in cells] == [("2.00", 1), ("4.00", 2)]
    assert list(table.frame()["hd95_ci_low"]) == [2.0, 4.0]
    comparisons = comparisons_table(study, mixed=False)
    assert comparisons is not None
    assert [group.title for group in comparisons.groups] == ["Dice", "HD95 (mm)"]
    assert [line.key for line in comparisons.lines] == ["B", "B:hd95"]


def test_every_number_has_a_source(table: Table) -> None:
    for line in table.lines:
        for column, cell in zip(table.columns, line.cells, strict=True):
            numbers = [
                value
                for key, value in cell.values.items()
                if isinstance(value, float) and not np.isnan(value) and key != "seeds"
            ]
            assert not numbers or cell.source is not None, (line.key, column.key)
    change = table.lines[1].cells[table.column("change")].source
    assert change is not None
    assert change.runs == ("S2run000", "S2run001", "S1run000", "S1run001")
    assert len(change.cases) == 12


def test_caption_names_everything(table: Table) -> None:
    for value in ("acdc", "0123456789abcdef", "default", "fedcba9876543210", "12 cases", "nnunet"):
        assert value in table.caption
    for value in (
        "6 patients",
        "n=2 seeds",
        "cpu",
        "Holm-corrected over the 1 comparison",
        "sign-flip",
    ):
        assert value in table.caption


def test_one_seed_has_no_mark_and_the_caption_says_so(tmp_path: Path) -> None:
    table = ablation_table(StudyResults(read_study(make_study(tmp_path, seeds=(0,), cases=40))))
    assert all("*" not in text for text in texts(table, "change"))
    assert table.frame()["p_holm"].isna().all()
    assert "single seed is not tested" in table.caption
    assert "n=1 seed" in table.caption


def test_a_study_where_nothing_ran(tmp_path: Path) -> None:
    missing = {(arm, 0): "missing" for arm in ("S1", "S2")}
    study = StudyResults(read_study(make_study(tmp_path, ("S1", "S2"), (0,), status=missing)))
    assert texts(ablation_table(study), "dice") == ["—", "—"]
    assert comparisons_table(study) is None


def test_comparisons_tell_all_and_why_a_model_is_missing(
    study: StudyResults, tmp_path: Path
) -> None:
    table = comparisons_table(study)
    assert table is not None
    values = table.frame().set_index("arm").loc["S2"]
    assert values["against"] == "S1"
    assert values["patients"] == 6
    assert values["low"] < values["change"] < values["high"]
    assert values["p_permutation"] == values["p_holm"] == 2 / 2**6
    assert values["rank_biserial"] == 1
    single = comparisons_table(StudyResults(read_study(make_study(tmp_path, seeds=(0,)))))
    assert single is not None
    assert list(single.notes.values()) == ["No mixed-effects model: fewer than two seeds."]
    assert single.frame()["p_wilcoxon"].isna().all()


def test_a_papers_caption_names_the_columns_and_no_hash(tmp_path: Path) -> None:
    study = StudyResults(read_study(make_study(tmp_path)))
    table = study.identified(ablation_table(study))
    text = to_latex(table)
    caption = text[text.index("\\caption{") : text.index("\\label{")]
    for hashed in ("0123456789abcdef", "fedcba9876543210"):
        assert hashed not in caption
        assert hashed in next(line for line in text.splitlines() if line.startswith("% Data: "))
    assert "on acdc (split default, fold 0): mean over 6 cases" in caption
    assert "RV, MYO, LV: Dice of the class" in caption
    assert "trained (M): trained parameters in millions" in caption
    # A page has all of it, folded.
    assert "0123456789abcdef" in to_html(table)

"""Predictions made elsewhere in a study: scored once a content, paired, marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spsam.studies.execution.ablation
from spsam.config.table import Filters
from spsam.data.cases import DataSet
from spsam.data.preparation.store import PreparedStore
from spsam.engine.external_spec import ExternalSpec
from spsam.engine.run_spec import RunSpec
from spsam.reporting.page.facts import study_facts
from spsam.reporting.records.verify import verify_record
from spsam.reporting.records.write import write_record
from spsam.reporting.report import write_report
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.ablation import ablation_table
from spsam.reporting.tables.custom import select
from spsam.reporting.tables.study import StudyResults
from spsam.results.rows import Row, write_rows
from spsam.studies.execution.ablation import run_ablation
from tests.studies.conftest import Planner
from tests.studies.execution.test_ablation import Book
from tests.studies.fakes import FakeBackend, Recorder, read_json
from tests.studies.label_maps import write_map

SPLIT = {"train": [f"case{n}" for n in range(2)], "test": [f"case{n}" for n in range(2, 8)]}
"""Six test patients: enough for a test over patients."""


class Scoring(FakeBackend):
    """Gives label maps a Dice of their own, and runs one that differs between patients."""

    def __init__(self) -> None:
        super().__init__()
        self.scored: list[str] = []

    def score_external(
        self,
        spec: ExternalSpec,
        dataset: DataSet,
        store: PreparedStore,
        on_case: Callable[[int, int], None],
    ) -> None:
        self.scored.append(spec.name)
        on_case(len(spec.files), len(spec.files))
        rows = [
            Row(spec.folder.run_id, spec.seed, 0, case, case, k, name, "dice", "nnunet",
                0.9 - 0.01 * int(case[-1]))
            for case in spec.files
            for k, name in enumerate(spec.data.class_names)
        ]  # fmt: skip
        write_rows(spec.folder.rows, rows)

    def rows(self, run: RunSpec) -> list[Row]:
        return [
            Row(run.run_id, run.config.seed, 0, case, case, k, name, "dice", "nnunet",
                0.7 + 0.02 * run.config.seed)
            for case in run.split.test
            for k, name in enumerate(run.config.data.class_names)
        ]  # fmt: skip


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    kept = Book()
    monkeypatch.setattr(spsam.studies.execution.ablation, "Tracker", lambda *_: kept)
    return kept


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "six.json").write_text(json.dumps(SPLIT))
    for case in SPLIT["test"]:
        write_map(tmp_path / "maps", case)
    return {
        "split": str(tmp_path / "six.json"),
        "externals": {"nnUNet": tmp_path / "maps"},
        "seeds": [0, 1],
    }


def test_a_row_is_made_paired_and_marked(
    plan: Planner, book: Book, options: dict[str, Any]
) -> None:
    ablation, backend = plan("S9", "unet3d", **options), Scoring()
    outcome = run_ablation(ablation, Recorder(), backend)
    assert backend.scored == ["nnUNet"]
    assert len(backend.executed) == 4
    frame = outcome.table.frame().set_index("arm")
    line = frame.loc["nnUNet"]
    assert line["dice"] == pytest.approx(100 * (0.9 - 0.01 * 4.5))
    assert (line["seeds"], line["parent"], line["external"]) == (1, "S9", 1)
    assert line["p"] == pytest.approx(2 / 2**6)  # all six patients on one side
    assert outcome.table.lines[-1].cells[0].text == "nnUNet (external)"
    assert "*" not in outcome.table.lines[-1].cells[outcome.table.column("change")].text
    assert (
        "nnUNet (external): predicted by another program, scored by spsam" in outcome.table.caption
    )
    assert outcome.complete
    # In the record each file's hash, in MLflow the mark.
    (external,) = ablation.externals
    told = read_json(ablation.folder / "ablation.json")["arms"][-1]["external"]
    assert told["sha256"] == external.sha256
    run = external.runs[0].folder
    assert run.read()["external"]["sha256"] == external.sha256
    assert (
        book.runs[run.run_id]["tags"]["external"] == "predicted by another program, scored by spsam"
    )
    assert book.runs[run.run_id]["ending"] == "FINISHED"


def test_a_changed_folder_is_scored_again_and_nothing_is_trained(
    plan: Planner, book: Book, options: dict[str, Any]
) -> None:
    run_ablation(plan("S9", **options), Recorder(), Scoring())
    again = Scoring()
    run_ablation(plan("S9", **options), Recorder(), again)
    assert (again.scored, again.executed) == ([], [])
    write_map(options["externals"]["nnUNet"], "case4", ids=(2, 1))
    changed, watch = Scoring(), Recorder()
    ablation = plan("S9", **options)
    run_ablation(ablation, watch, changed)
    assert (changed.scored, changed.executed) == (["nnUNet"], [])
    assert any("1 of 6 label maps have changed" in text for text in watch.said)
    assert any("case4" in text for text in watch.said)
    assert read_study(ablation.folder).arms[-1].run_ids == (
        ablation.externals[0].runs[0].folder.run_id,
    )


def test_the_report_has_it_everywhere(
    plan: Planner, book: Book, options: dict[str, Any], tmp_path: Path
) -> None:
    ablation = plan("S9", "unet3d", reference="unet3d", **options)
    run_ablation(ablation, Recorder(), Scoring())
    report = write_report(
        ablation.folder, formats=["csv", "latex", "markdown"], pdf=False, figures=False
    )
    tables = {table.name: table for table in report.tables}
    (line,) = [each for each in tables["comparisons"].lines if each.key == "nnUNet"]
    assert [cell.text for cell in line.cells[:2]] == ["nnUNet (external)", "unet3d"]
    assert "predicted by another program" in tables["comparisons"].caption
    for ending in ("tex", "md"):
        assert "(external)" in (report.folder / f"ablation.{ending}").read_text()
    record = write_record(ablation.folder, tmp_path / "records" / "one")
    assert verify_record(record) == []
    # The ledger is of what was trained here.
    assert "3D U-Net" in tables["ledger"].caption
    measured = read_study(ablation.folder)
    facts = dict(study_facts(measured))
    assert facts["Arms"] == "S9, unet3d"
    assert facts["External"].startswith(
        "nnUNet: predicted by another program, scored by spsam; 6 label"
    )
    # A table of one's own may leave the external's seed out.
    second = select(measured, Filters(seed=(1,)))
    frame = ablation_table(StudyResults(second)).frame().set_index("arm")
    assert frame.loc["nnUNet", "state"] == "missing"

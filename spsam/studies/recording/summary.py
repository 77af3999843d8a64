"""The state and scores of an ablation, read from its runs' folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.checksums import to_sealed_json
from spsam.files import clear_drafts, write_text
from spsam.results.run_folder import RunFolder
from spsam.studies.planning.plan import Ablation
from spsam.tracking.study_summary import StudySummary, summary_of

if TYPE_CHECKING:
    from spsam.reporting.render.model import Table


@dataclass(frozen=True)
class Outcome:
    """The outcome of an ablation so far.

    Attributes:
        tables: The ablation's table, then the table of effects of a factorial study.
        files: The files of these tables.
        failed: The folders of failed runs.
        tracked: Whether MLflow has recorded everything.
    """

    tables: Sequence[Table]
    files: list[Path]
    failed: list[RunFolder]
    tracked: bool = False

    @property
    def table(self) -> Table:
        """The ablation's table."""
        return self.tables[0]

    @property
    def complete(self) -> bool:
        """Whether all runs of all arms are finished."""
        return bool((self.table.frame()["state"] == "finished").all())

    def scores(self) -> dict[str, dict[str, float]]:
        """Returns the mean Dice (0…1) over the finished runs of each arm that has any."""
        lines = self.table.frame().dropna(subset=["dice"])
        found = zip(lines["arm"], lines["dice"], strict=True)
        return {str(arm): {"dice/mean": dice / 100} for arm, dice in found}

    def summary(self, about: Mapping[str, Any]) -> StudySummary | None:
        """Returns the study's summary for MLflow; None while no arm has a score.

        Args:
            about: The content of the study's `ablation.json`.
        """
        lines = self.table.frame().to_dict("records")
        return summary_of([{str(key): line[key] for key in line} for line in lines], about)


def is_finished(folder: RunFolder) -> bool:
    """Whether a run is finished and has its scores, so that it can be skipped.

    Raises:
        SpsamError: If its record is damaged.
    """
    return folder.status == "finished" and folder.rows.is_file()


def write_plan(ablation: Ablation) -> None:
    """Writes the study's `ablation.json`, from which readers find its runs."""
    clear_drafts(ablation.folder)
    write_text(ablation.folder / "ablation.json", to_sealed_json(ablation.describe()))


def summarise(ablation: Ablation) -> Outcome:
    """Computes the tables of the finished runs and writes them into the study's folder."""
    from spsam.reporting.render.files import write_table
    from spsam.reporting.study_reader import read_study
    from spsam.reporting.tables.ablation import ablation_table
    from spsam.reporting.tables.effects import effects_table
    from spsam.reporting.tables.study import StudyResults

    write_plan(ablation)
    measured = read_study(ablation.folder)
    study = StudyResults(measured)
    effects = effects_table(study)
    made = [ablation_table(study, name="table"), *([] if effects is None else [effects])]
    tables = [study.identified(table) for table in made]
    files = [file for table in tables for file in write_table(table, ablation.folder)]
    states = dict(zip(measured.runs["run_id"], measured.runs["state"], strict=True))
    runs = [run.folder for arm in ablation.arms for run in arm.runs]
    failed = [folder for folder in runs if states[folder.run_id] == "failed"]
    return Outcome(tables, files, failed)

"""What an ablation has come to so far, read from its runs' folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.errors import SpsamError
from spsam.results.rows import Row, write_text
from spsam.results.run_folder import RunFolder
from spsam.studies.plan import Ablation, PlannedArm

if TYPE_CHECKING:
    import pandas as pd

    from spsam.reporting.ablation_table import ArmResult, Provenance


@dataclass(frozen=True)
class Outcome:
    """What an ablation came to.

    Attributes:
        table: Of `spsam.reporting.ablation_table`.
        caption: The sentence below it.
        files: The table's files.
        failed: The folders of failed runs.
    """

    table: pd.DataFrame
    caption: str
    files: list[Path]
    failed: list[RunFolder]


def is_finished(folder: RunFolder) -> bool:
    """Whether a run need not be run again.

    Raises:
        SpsamError: If its record is damaged.
    """
    return folder.status == "finished" and folder.rows.is_file()


def summarise(ablation: Ablation) -> Outcome:
    """Makes the table of what is there now, and writes it into the study's folder."""
    from spsam.reporting.ablation_table import ablation_table, caption
    from spsam.reporting.render import write_files

    failed: list[RunFolder] = []
    results = [_arm_result(arm, failed) for arm in ablation.arms]
    provenance = _provenance(ablation)
    table = ablation_table(results, ablation.dataset.class_names)
    below = caption(provenance)
    files = write_files(table, below, ablation.folder)
    plan = json.dumps(ablation.describe(), indent=2)
    write_text(ablation.folder / "ablation.json", plan + "\n")
    return Outcome(table, below, files, failed)


def _arm_result(arm: PlannedArm, failed: list[RunFolder]) -> ArmResult:
    from spsam.reporting.ablation_table import ArmResult, SeedResult

    runs = []
    for run in arm.runs:
        status, rows = _scores(run.folder)
        if status == "failed":
            failed.append(run.folder)
        runs.append(SeedResult(run.config.seed, status, rows))
    return ArmResult(arm.arm.name, arm.arm.title, arm.parent, arm.size.trained, runs)


def _scores(folder: RunFolder) -> tuple[str, list[Row]]:
    """A run's status and rows; what is damaged counts as failed."""
    try:
        if is_finished(folder):
            return "finished", folder.read_rows()
        status = folder.status
    except SpsamError:
        return "failed", []
    return "planned" if status == "finished" else status, []


def _provenance(ablation: Ablation) -> Provenance:
    from spsam.reporting.ablation_table import Provenance

    data = ablation.arms[0].runs[0].config.data
    # Arms may differ in it; the reader must see that they do.
    conventions = dict.fromkeys(arm.arm.evaluation.convention for arm in ablation.arms)
    return Provenance(
        data=data.name,
        fingerprint=data.fingerprint,
        split=data.split_name,
        split_hash=data.split_hash,
        fold=data.fold,
        cases=len(ablation.split.test),
        seeds=ablation.request.seeds,
        preset=ablation.preset,
        convention=", ".join(conventions),
    )

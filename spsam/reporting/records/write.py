"""Creates a result of record from a study."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spsam.checksums import sha256
from spsam.errors import InputError, Problem
from spsam.files import clear_drafts, draft_of
from spsam.reporting.prompts.stored import (
    cell_runs,
    find_prompt_studies,
    prompt_tables,
    read_prompt_study,
)
from spsam.reporting.records.format import (
    CONFIGS,
    MANIFEST,
    ROWS,
    RUNS,
    STUDY,
    TABLES,
    clean_record,
    rows_to_bytes,
    to_json,
    without_paths,
)
from spsam.reporting.render.files import write_provenance, write_table
from spsam.reporting.render.model import Table
from spsam.reporting.report import ablation_tables
from spsam.reporting.study_data import StudyData
from spsam.reporting.study_description import find_studies
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.study import StudyResults
from spsam.results.run_folder import RunFolder

LARGEST = 2_000_000
_FORMATS = ("markdown", "csv")


def write_record(study: Path, target: Path, *, replace: bool = False) -> Path:
    """Writes a result of record and returns its folder.

    Args:
        study: The folder of an ablation or a prompt study.
        target: The record's folder, e.g. `reports/results/acdc-arms-1500-steps`.
        replace: Overwrite a record of the same name.

    Raises:
        InputError: If the folder is not a study, has no finished run, is too large for a record, or
            if the target exists.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", target.name):
        raise InputError(f"--name {target.name}: expected letters, digits, '.', '_' and '-'")
    if target.exists() and not replace:
        raise InputError(
            Problem("already exists; choose another --name, or --replace to overwrite it", target)
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_drafts(target.parent)
    draft = draft_of(target)
    try:
        draft.mkdir()
        if find_studies(study):
            _write_ablation(read_study(study), draft)
        elif find_prompt_studies(study):
            _write_prompts(study, draft)
        else:
            raise InputError(
                Problem("is not a study: expected a folder with ablation.json or study.json", study)
            )
        _finish(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return target


def record_tables(measured: StudyData) -> tuple[list[Table], Mapping[str, Any]]:
    """The tables of an ablation's record, and the provenance of its runs.

    Mixed-effects models are omitted: their last digits depend on the machine.
    """
    study = StudyResults(measured)
    return ablation_tables(study, mixed=False), study.runs()


def write_tables(tables: Sequence[Table], runs: Mapping[str, Any], folder: Path) -> None:
    """Writes a record's tables in the form in which they are compared."""
    for table in tables:
        write_table(table, folder, _FORMATS)
        write_provenance(table, runs, folder)


def _write_ablation(measured: StudyData, folder: Path) -> None:
    if measured.rows.empty:
        raise InputError(Problem("has no finished run; run it first", measured.folder))
    home = measured.folder.resolve().parents[1]
    runs = []
    (folder / CONFIGS).mkdir()
    # A run shared by two arms has two lines, but its files are stored once.
    for line in measured.runs.drop(columns=["folder"]).to_dict("records"):
        run = RunFolder(home, str(line["run_id"]))
        told = {str(k): None if _is_nan(v) else v for k, v in line.items()}
        record = clean_record(run.read()) if line["state"] == "finished" else {}
        runs.append({**told, "record": record})
        if run.config.is_file():
            text = without_paths(run.config.read_text(encoding="utf-8"))
            (folder / CONFIGS / f"{run.run_id}.yaml").write_text(text, encoding="utf-8")
    (folder / STUDY).write_text(to_json(without_paths(dict(measured.about))), encoding="utf-8")
    (folder / RUNS).write_text(to_json(runs), encoding="utf-8")
    (folder / ROWS).write_bytes(rows_to_bytes(measured.rows))
    tables, known = record_tables(measured)
    write_tables(tables, known, folder / TABLES)


def _write_prompts(study: Path, folder: Path) -> None:
    about, rows = read_prompt_study(study)
    if not rows:
        raise InputError(Problem("has no results yet; run it first", study))
    about = without_paths(about)
    (folder / STUDY).write_text(to_json(about), encoding="utf-8")
    (folder / ROWS).write_bytes(rows_to_bytes(pd.DataFrame(rows)))
    write_tables(prompt_tables(about, rows), cell_runs(about), folder / TABLES)


def _finish(draft: Path, target: Path) -> None:
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if size > LARGEST:
        raise InputError(
            f"{target}: would require {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f} MB: "
            "record a study with fewer runs"
        )
    sums = {path.relative_to(draft).as_posix(): sha256(path.read_bytes()) for path in files}
    (draft / MANIFEST).write_text(to_json(sums), encoding="utf-8")
    before = draft_of(target.with_name(f"before-{target.name}"))
    if target.exists():
        os.replace(target, before)
    os.replace(draft, target)
    shutil.rmtree(before, ignore_errors=True)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)

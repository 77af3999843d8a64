"""The report of a study: tables with the provenance of their numbers, figures, and one PDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem, SpsamError
from spsam.files import clear_drafts, write_text
from spsam.reporting.figures.draw import ReportFigure, draw_figures
from spsam.reporting.page.build import write_prompts_page, write_study_page
from spsam.reporting.prompts.stored import (
    cell_runs,
    find_prompt_studies,
    prompt_tables,
    read_prompt_study,
)
from spsam.reporting.render.files import write_provenance, write_table
from spsam.reporting.render.latex import compile_pdf, has_latex, to_document
from spsam.reporting.render.model import Table
from spsam.reporting.study_data import ArmData, StudyData, folds_of
from spsam.reporting.study_description import find_studies
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.ablation import ablation_table
from spsam.reporting.tables.comparisons import comparisons_table
from spsam.reporting.tables.custom import custom_table
from spsam.reporting.tables.effects import effects_table
from spsam.reporting.tables.ledger import ledger_of_file
from spsam.reporting.tables.methods import methods_of, methods_table
from spsam.reporting.tables.study import StudyResults
from spsam.reporting.tables.time import time_table
from spsam.reporting.tables.tuning import tuned_settings
from spsam.results.run_folder import RunFolder

FOLDER = "report"
_DOCUMENT = "tables.tex"


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        study: The study's folder.
        folder: The report's folder.
        tables: The tables.
        files: All files that were written.
        figures: The figures that were drawn, and those that were omitted.
        holes: Failed or missing runs.
        warnings: Files that could not be created, and why.
    """

    study: Path
    folder: Path
    tables: Sequence[Table]
    files: Sequence[Path]
    holes: Sequence[str] = field(default_factory=tuple)
    figures: Sequence[ReportFigure] = field(default_factory=tuple)
    warnings: Sequence[str] = field(default_factory=tuple)


def all_studies(root: Path) -> list[Path]:
    """Finds the folders of ablations and prompt studies in a folder of results.

    Raises:
        InputError: If there is none; the message suggests commands to run.
    """
    found = [*find_studies(root), *find_prompt_studies(root)]
    if not found:
        raise InputError(
            Problem(
                "contains no study; run `spsam ablate S1..S9` or `spsam prompts` first, or specify "
                "their folder with --out",
                root,
            )
        )
    return found


def write_report(
    study: Path,
    output: Path | None = None,
    *,
    formats: Sequence[str],
    own_tables: Sequence[Path] = (),
    plugins: Sequence[Path] = (),
    pdf: bool = True,
    figures: bool = True,
) -> Report:
    """Writes the report of one study; missing runs are gaps in the tables.

    The page `index.html` contains the whole report.

    Args:
        study: The folder of an ablation or a prompt study.
        output: Output folder; None: `report/` in the study's folder.
        formats: Keys of `spsam.reporting.render.files.FORMATS`.
        own_tables: YAML files of custom tables; for ablations only.
        plugins: Folders with additional components, whose settings are explained in the ledger.
        pdf: Compile all tables into one PDF if LaTeX is installed.
        figures: Draw the figures and write the page; a prompt study has drawn its figures already.

    Raises:
        InputError: If the study or a custom table is invalid; nothing is written then.
    """
    folder = output or study / FOLDER
    clear_drafts(folder, below=True)
    if find_studies(study):
        return _report_ablation(
            study, folder, formats, own_tables, plugins, pdf=pdf, figures=figures
        )
    about, rows = read_prompt_study(study)
    tables = prompt_tables(about, rows)
    files = _write_tables(tables, cell_runs(about), folder, formats, study.name)
    warnings = _compile(folder, files) if pdf else []
    if figures:
        files.append(write_prompts_page(about, study, tables, folder))
    return Report(study, folder, tables, files, warnings=warnings)


def _report_ablation(
    folder_of_study: Path,
    folder: Path,
    formats: Sequence[str],
    own_tables: Sequence[Path],
    plugins: Sequence[Path],
    *,
    pdf: bool,
    figures: bool,
) -> Report:
    measured = read_study(folder_of_study)
    study = StudyResults(measured)
    tables, runs = _of_ablation(study, own_tables, plugins)
    lines = measured.runs[measured.runs["state"] != "finished"]
    several = len(folds_of(measured.about)) > 1
    holes = [
        f"{arm} seed {seed}{f' fold {fold}' if several else ''}: {measured.reasons.get(run, state)}"
        for run, arm, seed, fold, state in zip(
            *(lines[name] for name in ("run_id", "arm", "seed", "fold", "state")), strict=True
        )
    ]
    files = _write_tables(tables, runs, folder, formats, folder_of_study.name)
    warnings = _compile(folder, files) if pdf else []
    drawn = draw_figures(study, folder / "figures") if figures else []
    files += [file for figure in drawn for file in figure.files]
    if figures:
        files.append(write_study_page(study, tables, drawn, folder))
    return Report(folder_of_study, folder, tables, files, holes, drawn, warnings)


def _write_tables(
    tables: Sequence[Table],
    runs: Mapping[str, Any],
    folder: Path,
    formats: Sequence[str],
    title: str,
) -> list[Path]:
    files = [path for table in tables for path in write_table(table, folder, formats)]
    files += [write_provenance(table, runs, folder) for table in tables if _has_sources(table)]
    write_text(folder / _DOCUMENT, to_document(tables, title))
    return [*files, folder / _DOCUMENT]


def _compile(folder: Path, files: list[Path]) -> list[str]:
    """Compiles the PDF and adds it to the files; if LaTeX fails, only the PDF is missing.

    Returns:
        Why there is no PDF; empty on success.
    """
    if not has_latex():
        return []
    path = folder / "tables.pdf"
    try:
        compile_pdf((folder / _DOCUMENT).read_text(encoding="utf-8"), path)
    except SpsamError as error:
        return [str(error)]
    files.append(path)
    return []


def ablation_tables(study: StudyResults, *, mixed: bool = True) -> list[Table]:
    """The tables based on rows only: ablation, effects, time, comparisons, methods.

    Args:
        study: The study.
        mixed: Fit mixed-effects models.
    """
    tables = [
        ablation_table(study),
        effects_table(study),
        time_table(study),
        comparisons_table(study, mixed=mixed),
    ]
    methods = methods_of(study.measured.published)
    if methods is not None:
        tables.append(methods_table(methods, study))
    return [table for table in tables if table is not None]


def _of_ablation(
    study: StudyResults, own_tables: Sequence[Path], plugins: Sequence[Path]
) -> tuple[list[Table], Mapping[str, Any]]:
    # Validated first, before anything is written.
    measured = study.measured
    own = [custom_table(path, measured) for path in own_tables]
    tables = ablation_tables(study)
    last = _last_config(measured)
    if last is not None:
        arm, config = last
        tables.append(ledger_of_file(config, plugins, tuned_settings(arm.tuned)))
    names = [table.name for table in tables]
    taken = [path for path, table in zip(own_tables, own, strict=True) if table.name in names]
    if taken:
        raise InputError(
            [Problem(f"the report has a table '{path.stem}': rename it", path) for path in taken]
        )
    return [study.identified(table) for table in (*tables, *own)], study.runs()


def _last_config(measured: StudyData) -> tuple[ArmData, Path] | None:
    """The last arm with a configuration, and that file; in an ablation, the full model."""
    home = measured.folder.resolve().parents[1]
    for arm in reversed([arm for arm in measured.arms if not arm.external]):
        for run_id in arm.run_ids:
            run = RunFolder(home, run_id)
            if run.config.is_file() and run_id not in measured.reasons:
                with suppress(SpsamError):
                    run.verify(run.config)
                    return arm, run.config
    return None


def _has_sources(table: Table) -> bool:
    return any(cell.source for line in table.lines for cell in line.cells)

"""The results of a prompt study, read from the rows of its cells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.files import write_text
from spsam.results.cell_rows import CellRows
from spsam.results.rows import write_rows
from spsam.studies.prompts.plan_prompts import PromptStudy

if TYPE_CHECKING:
    import pandas as pd

    from spsam.reporting.prompts.table import CellResult
    from spsam.reporting.render.model import Table


@dataclass
class PromptOutcome:
    """The outcome of a prompt study.

    Attributes:
        results: The results of each cell.
        table: One row per cell, from `spsam.reporting.prompts.table`.
        caption: The caption of the table.
        files: Tables and figures.
        more: Further results as plain values, by name.
        screens: Tables for the terminal.
    """

    results: Sequence[CellResult]
    table: pd.DataFrame
    caption: str
    files: list[Path] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    screens: list[Table] = field(default_factory=list)


def summarise(study: PromptStudy) -> PromptOutcome:
    """Computes the tables of the available results, and writes them into the study's folder."""
    from spsam.reporting.prompts.table import cells_table, overview, overview_table, prompt_table
    from spsam.reporting.render.files import write_table

    names = study.subject.config.data.class_names
    found = results(study)
    table = prompt_table(found, names, study.metric)
    below = caption(study)
    outcome = PromptOutcome(found, table, below)
    folder, wide = study.folder, overview_table(overview(table), below)
    outcome.files += write_table(cells_table(table, below), folder)
    outcome.files += write_table(wide, folder)
    outcome.screens.append(wide)
    write_rows(folder / "rows.jsonl", [row for r in found for rows in r.seeds for row in rows])
    write_text(
        folder / "study.json", json.dumps({**study.describe(), "caption": below}, indent=2) + "\n"
    )
    return outcome


def results(study: PromptStudy) -> list[CellResult]:
    """Returns every cell with its rows."""
    from spsam.reporting.prompts.table import CellResult

    home = study.request.home
    return [
        CellResult(
            prompts=cell.prompts,
            point=cell.point,
            mask=cell.mask,
            source=cell.source.kind,
            disturbance=cell.source.disturbance.name if cell.source.disturbance else None,
            seeds=[
                CellRows(home, study.key(cell, seed)).read(study.cases)
                for seed in study.seeds(cell)
            ],
        )
        for cell in study.cells
    ]


def caption(study: PromptStudy) -> str:
    """Returns the caption of the tables."""
    subject, data = study.subject, study.subject.config.data
    scored = (
        "Dice of each class's binary mask (positive logits) in the slices whose reference contains "
        "the class, mean over slices, then cases, then classes"
        if study.metric == "mask"
        else "Dice of the mask head's label map in the prepared volume, mean over cases, then "
        f"classes; empty classes follow the convention {subject.config.arm.evaluation.convention}"
    )
    seeds = len(study.config.seed_numbers)
    spread = f"; ± over {seeds} seeds of random prompts" if seeds > 1 else ""
    return (
        f"{study.config.title}: {subject.label} on {len(study.cases)} test "
        f"case{'s' if len(study.cases) != 1 else ''} of {data.name} (fingerprint "
        f"{data.fingerprint}; split {data.split_name}, fold {data.fold}). {scored}, in "
        f"percent{spread}. The same slices in every cell. SAM's weights: {subject.weights}."
    )

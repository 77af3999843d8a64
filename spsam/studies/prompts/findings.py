"""Further results of a prompt study: error attribution, and agreement of adjacent slices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spsam.results.cell_rows import CellRows
from spsam.studies.prompts.plan_prompts import PromptStudy
from spsam.studies.prompts.session import quality_of
from spsam.studies.prompts.summary import PromptOutcome
from spsam.studies.runs.listing import read_config
from spsam.studies.runs.reference import find_run

if TYPE_CHECKING:
    import pandas as pd

    from spsam.reporting.render.model import Table

_SLICES = 6


def attribute(study: PromptStudy, outcome: PromptOutcome) -> None:
    """Writes the error attribution of the run; skipped for plain SAM."""
    from spsam.reporting.prompts.attribution import (
        attribution_caption,
        attribution_table,
        to_table,
    )

    quality = quality_of(study)
    if quality is None or study.own is None:
        return
    home, cases = study.request.home, study.cases
    own, oracle = (CellRows(home, study.first_key(cell)).read(cases) for cell in study.own)
    names = study.subject.config.data.class_names
    table = attribution_table(quality.read(cases), own, oracle, names)
    caption = attribution_caption(study.subject.label, len(cases), "; distances in pixels")
    _keep(outcome, study.folder, table, to_table(table, caption))


def compare_neighbours(study: PromptStudy, outcome: PromptOutcome) -> None:
    """Writes the agreement of adjacent slices in the reference, plain SAM and runs."""
    from spsam.data.labels import without_ignored
    from spsam.engine.evaluate import read_labels
    from spsam.metrics.continuity import neighbour_dice
    from spsam.metrics.dice import IGNORED
    from spsam.reporting.prompts.neighbours import neighbours_table, to_table

    folders = _label_maps(study)
    # All rows must use the same cases; runs of another split or fold predicted other ones.
    cases = [
        case
        for case in study.cases
        if all((folder / f"{case}.nii.gz").is_file() for folder in folders.values())
    ]
    if not folders or not cases:
        return
    names, axis = study.subject.config.data.class_names, study.subject.plan.depth_axis
    scores: dict[str, list[NDArray[np.float64]]] = {title: [] for title in ("reference", *folders)}
    first: dict[str, NDArray[np.integer]] = {}
    for case in cases:
        maps = {"reference": _reference(study, case)} | {
            title: read_labels(folder / f"{case}.nii.gz", study.subject.dataset.raw_ids)
            for title, folder in folders.items()
        }
        # Exclude the voxels that the reference ignores from every map.
        ignored = maps["reference"] == IGNORED
        if ignored.any():
            maps = {title: np.where(ignored, IGNORED, labels) for title, labels in maps.items()}
        maps = {title: np.moveaxis(labels, axis, 0) for title, labels in maps.items()}
        first = first or {title: without_ignored(labels) for title, labels in maps.items()}
        for title, labels in maps.items():
            scores[title].append(neighbour_dice(labels, len(names)))
    table = neighbours_table(scores, names)
    plain = (
        " Plain SAM is evaluated slice by slice with prompts from the ground truth; a pixel's "
        "label is the class of the largest positive logit."
        if study.mapped
        else ""
    )
    caption = (
        "Dice between each slice and the next, in percent, mean over the pairs of slices that "
        f"contain the class, then over {len(cases)} case{'s' if len(cases) != 1 else ''}, in the "
        f"original grid.{plain} Values below the reference's indicate disagreement between slices."
    )
    _keep(outcome, study.folder, table, to_table(table, caption))
    _picture(study, cases[0], first)


def _label_maps(study: PromptStudy) -> dict[str, Path]:
    """Returns title -> folder of label maps in the original grid."""
    home = study.request.home
    found: dict[str, Path] = {}
    for cell in study.mapped:
        how = ", ".join(part for part in (cell.point, cell.mask) if part)
        title = f"plain SAM, {cell.prompts}{f' ({how})' if how else ''}"
        found[title] = CellRows(home, study.first_key(cell)).maps
    runs = [study.subject.run] if study.subject.run is not None else []
    runs += [find_run(named, home, "--compare ") for named in study.request.compare]
    for run in runs:
        config = read_config(run)
        title = f"{config.arm.name} seed {config.seed}"
        found[f"{title} ({run.run_id})" if title in found else title] = run.predictions
    return found


def _picture(study: PromptStudy, case: str, maps: dict[str, NDArray[np.integer]]) -> None:
    """Draws some slices of a case; of plain SAM, cells with one kind and with the most kinds."""
    from spsam.engine.prompting.draw import draw_neighbours

    axis = study.subject.plan.depth_axis
    volume = study.subject.dataset.case(case).load()
    filled = np.flatnonzero(maps["reference"].any(axis=(1, 2)))
    first = int(filled[0]) if filled.size else 0
    here = slice(first, first + _SLICES)
    image = np.moveaxis(volume.image[0], axis, 0)[here]
    spacing = [s for i, s in enumerate(volume.spacing) if i != axis]
    most = max((len(cell.use) for cell in study.mapped), default=0)
    hidden = [len(cell.use) not in (1, most) for cell in study.mapped]
    # Rows: the reference, plain SAM in the order of its cells, then runs.
    hide = [False, *hidden, *[False] * (len(maps) - 1 - len(hidden))]
    rows = {
        # Titles on several lines, so that they do not overlap the next row.
        title.replace(", ", "\n", 1).replace(" (", "\n(", 1): labels[here]
        for (title, labels), hides in zip(maps.items(), hide, strict=True)
        if not hides
    }
    names = study.subject.config.data.class_names
    draw_neighbours(study.folder / "neighbours.png", rows, image, spacing[0] / spacing[1], names)


def _reference(study: PromptStudy, case: str) -> NDArray[np.integer]:
    label = study.subject.dataset.case(case).load().label
    assert label is not None
    return label


def _keep(outcome: PromptOutcome, folder: Path, values: pd.DataFrame, table: Table) -> None:
    from spsam.reporting.render.files import write_table

    outcome.files += write_table(table, folder)
    records: list[dict[str, Any]] = json.loads(values.to_json(orient="records"))
    outcome.more[table.name] = records
    outcome.screens.append(table)

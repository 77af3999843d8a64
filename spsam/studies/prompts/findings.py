"""What a study of a trained run tells beyond its cells: where it loses, how slices agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spsam.results.cell_rows import CellRows
from spsam.results.run_folder import RunFolder
from spsam.studies.prompts.plan import PromptStudy
from spsam.studies.prompts.run import quality_of
from spsam.studies.prompts.subject import find_run, read_config
from spsam.studies.prompts.summary import PromptOutcome

if TYPE_CHECKING:
    import pandas as pd

    from spsam.reporting.render.model import Table

_SLICES = 6


def attribute(study: PromptStudy, outcome: PromptOutcome) -> None:
    """Writes the run's error attribution; plain SAM has none."""
    from spsam.reporting.prompts.attribution import (
        attribution_caption,
        attribution_table,
        to_table,
    )

    quality = quality_of(study)
    if quality is None or study.own is None:
        return
    home, cases = study.request.home, study.cases
    own, oracle = (CellRows(home, study.key(cell, 0)).read(cases) for cell in study.own)
    names = study.subject.config.data.class_names
    table = attribution_table(quality.read(cases), own, oracle, names)
    caption = attribution_caption(study.subject.label, len(cases), "; distances in pixels")
    _keep(outcome, study.folder, table, to_table(table, caption))


def compare_neighbours(study: PromptStudy, outcome: PromptOutcome) -> None:
    """Writes how much neighbouring slices agree in the predictions of the run and of others."""
    from spsam.reporting.prompts.neighbours import neighbours_table, to_table

    if study.subject.run is None:
        return
    runs = [study.subject.run, *(find_run(r, study.request.home) for r in study.request.compare)]
    names = study.subject.config.data.class_names
    axis = study.subject.plan.depth_axis
    references = {case: _reference(study, case, axis) for case in study.cases}
    scores = {"reference": _scores(references, len(names))}
    pictures = {"reference": references}
    for run in runs:
        config = read_config(run)
        maps = {case: _prediction(study, run, case, axis) for case in study.cases}
        label = f"{config.arm.name} seed {config.seed}"
        if label in scores:
            label += f" ({run.run_id})"
        known = {case: found for case, found in maps.items() if found is not None}
        scores[label] = _scores(known, len(names))
        pictures[label] = known
    table = neighbours_table(scores, names)
    caption = (
        "Dice between each slice and the next, in percent, mean over the pairs of slices that have "
        f"the class, then over {len(study.cases)} cases; predictions of the runs in the original "
        "grid. What lies below the reference's own is disagreement between slices."
    )
    _keep(outcome, study.folder, table, to_table(table, caption))
    _picture(study, pictures, axis)


def _picture(
    study: PromptStudy, pictures: dict[str, dict[str, NDArray[np.integer]]], axis: int
) -> None:
    from spsam.engine.prompting.draw import draw_neighbours

    shared = [c for c in study.cases if all(c in maps for maps in pictures.values())]
    if not shared:  # a run of another fold predicted other cases
        return
    case = shared[0]
    volume = study.subject.dataset.case(case).load()
    filled = np.flatnonzero(pictures["reference"][case].any(axis=(1, 2)))
    first = int(filled[0]) if filled.size else 0
    here = slice(first, first + _SLICES)
    image = np.moveaxis(volume.image[0], axis, 0)[here]
    spacing = [s for i, s in enumerate(volume.spacing) if i != axis]
    rows = {title: maps[case][here] for title, maps in pictures.items()}
    draw_neighbours(study.folder / "neighbours.png", rows, image, spacing[0] / spacing[1])


def _scores(maps: dict[str, NDArray[np.integer]], classes: int) -> list[NDArray[np.float64]]:
    from spsam.metrics.continuity import neighbour_dice

    return [neighbour_dice(labels, classes) for labels in maps.values()]


def _reference(study: PromptStudy, case: str, axis: int) -> NDArray[np.integer]:
    label = study.subject.dataset.case(case).load().label
    assert label is not None
    return np.moveaxis(label, axis, 0)


def _prediction(
    study: PromptStudy, run: RunFolder, case: str, axis: int
) -> NDArray[np.integer] | None:
    from spsam.engine.evaluate import read_labels

    path = run.predictions / f"{case}.nii.gz"
    if not path.is_file():
        return None
    return np.moveaxis(read_labels(path, study.subject.dataset.raw_ids), axis, 0)


def _keep(outcome: PromptOutcome, folder: Path, values: pd.DataFrame, table: Table) -> None:
    from spsam.reporting.render.files import write_table

    outcome.files += write_table(table, folder)
    records: list[dict[str, Any]] = json.loads(values.to_json(orient="records"))
    outcome.more[table.name] = records
    outcome.screens.append(table)

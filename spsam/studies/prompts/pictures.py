"""Selection and drawing of the figures of a prompt study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spsam.studies.prompts.cells import PromptCell, with_one_point
from spsam.studies.prompts.session import Session
from spsam.studies.prompts.summary import PromptOutcome

if TYPE_CHECKING:
    from spsam.engine.prompting.scenes import PromptScene

_ROWS = 2

LAST_PICTURE = "logits.png"
"""Drawn last: if this file exists, all figures exist."""


def draw_pictures(session: Session, outcome: PromptOutcome) -> None:
    """Draws all figures that the study's cells allow into the study's folder."""
    from spsam.reporting.figures.style import save, styled
    from spsam.reporting.prompts.heat_map import heat_map
    from spsam.reporting.prompts.table import overview

    study = session.study
    folder = study.folder
    title = f"Mean Dice, {study.subject.label}"
    with styled():
        save(heat_map(overview(outcome.table), title), folder, "heat_map")
    shown = study.cases[:: max(1, len(study.cases) // _ROWS)][:_ROWS]
    for kind in ("ground_truth", "auxiliary"):
        cells = [cell for cell in study.cells if cell.source.kind == kind]
        end = "" if kind == "ground_truth" else f"_{kind}"
        grids = {
            f"subsets{end}.png": {cell.prompts: cell for cell in with_one_point(cells)},
            f"points{end}.png": {str(cell.point): cell for cell in cells if cell.use == ("point",)},
            f"points_with_box{end}.png": {
                str(cell.point): cell for cell in cells if cell.use == ("point", "box")
            },
            f"masks{end}.png": _by_form([cell for cell in cells if cell.use == ("mask",)]),
        }
        for name, columns in grids.items():
            if columns:
                _grid(session, folder / name, columns, {case: case for case in shown})
    _cases(session, outcome, folder / "cases.png")
    _logits(session, folder / LAST_PICTURE, shown[0])


def _by_form(cells: Sequence[PromptCell]) -> dict[str, PromptCell]:
    """Returns the cells by mask form, if there are several forms to compare."""
    by_form = {cell.mask: cell for cell in cells if cell.mask}
    return by_form if len(by_form) > 1 else {}


def _grid(
    session: Session, path: Path, columns: Mapping[str, PromptCell], rows: Mapping[str, str]
) -> None:
    from spsam.engine.prompting.draw import draw_grid

    names = session.study.subject.config.data.class_names
    pictures = {title: _scenes(session, case, columns) for title, case in rows.items()}
    draw_grid(path, pictures, names)


def _scenes(
    session: Session, case: str, columns: Mapping[str, PromptCell]
) -> dict[str, PromptScene]:
    from spsam.engine.prompting.scenes import scenes

    # The engine expects cells that share label maps to be adjacent.
    ordered = sorted(columns.items(), key=lambda item: item[1].source.label)
    questions = [session.question(cell, 0) for _, cell in ordered]
    found = scenes(session.examiner, session.store.case(case), questions)
    by_name = {name: scene for (name, _), scene in zip(ordered, found, strict=True)}
    return {name: by_name[name] for name in columns}


def _cases(session: Session, outcome: PromptOutcome, path: Path) -> None:
    """Draws the best cell's best, median and worst case, beside the worst cell's results."""
    from spsam.engine.preview import choose
    from spsam.reporting.means import mean_dice

    study = session.study
    dice = outcome.table["dice"].to_numpy(dtype=float)
    best, worst = int(np.nanargmax(dice)), int(np.nanargmin(dice))
    count = study.subject.config.data.num_classes
    rows = outcome.results[best].seeds[0]
    scores = [
        mean_dice([row for row in rows if row.case == case], count, study.metric)
        for case in study.cases
    ]
    titles = {
        f"{name}: {study.cases[i]}\n{100 * scores[i]:.1f} (case)": study.cases[i]
        for name, i in choose(scores)
    }
    columns = {
        f"{name}: {_short(study.cells[i])}": study.cells[i]
        for name, i in (("best cell", best), ("worst cell", worst))
    }
    _grid(session, path, columns, titles)


def _short(cell: PromptCell) -> str:
    how = ", ".join(part for part in (cell.point, cell.mask) if part)
    return f"{cell.prompts}{f' ({how})' if how else ''}\n{cell.source.label}"


def _logits(session: Session, path: Path, case: str) -> None:
    from spsam.engine.prompting.draw import draw_logits
    from spsam.engine.prompting.scenes import scenes

    study = session.study
    own = study.own
    cell = own[0] if own else max(study.cells, key=lambda cell: len(cell.use))
    config = study.subject.config
    (scene,) = scenes(session.head_examiner, session.store.case(case), [session.question(cell, 0)])
    draw_logits(path, scene, config.arm.blocks.mask_head.name, config.data.class_names)

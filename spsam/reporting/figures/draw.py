"""All figures of a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spsam.reporting.figures import (
    calibration,
    classes,
    curves,
    depth,
    interactions,
    panels,
    pareto,
    waterfall,
)
from spsam.reporting.figures.style import Drawing, NothingToDrawError, save, styled, to_svg
from spsam.reporting.tables.study import StudyResults

FIGURES: Mapping[str, tuple[str, Callable[[StudyResults], Drawing]]] = {
    "waterfall": ("What each change does", waterfall.draw),
    "interactions": ("How factors act together", interactions.draw),
    "classes": ("Dice by class", classes.draw),
    "panels": ("Best, median and worst case", panels.draw),
    "curves": ("Training", curves.draw),
    "pareto": ("Dice and its cost", pareto.draw),
    "calibration": ("Calibration", calibration.draw),
    "depth": ("Slices along the organs", depth.draw),
}
"""Name -> title and function, in the order of the page."""

FACTORIAL = ("interactions",)
"""Figures of factorial studies alone."""

MOST_ARMS = 40
"""In one figure: beyond it nobody can read the names."""

LARGEST_SVG = 1_000_000
"""Bytes of an SVG in a page: outlines of a network's noise are larger, and a PNG shows as much."""


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a report.

    Attributes:
        name: The stem of its files.
        title: Above it.
        caption: Below it; of a figure that was left out, why.
        files: PDF, SVG and PNG; empty where it was left out.
        narrow: An SVG of the same for a phone; empty where it was left out or drawn elsewhere.
    """

    name: str
    title: str
    caption: str
    files: tuple[Path, ...] = ()
    narrow: str = ""

    @property
    def picture(self) -> Path | None:
        """The picture for a page: what keeps sharp at every size, unless that is too large."""
        by_ending = {file.suffix: file for file in self.files}
        sharp = by_ending.get(".svg")
        if sharp is not None and sharp.stat().st_size <= LARGEST_SVG:
            return sharp
        return by_ending.get(".png", sharp)


def draw_figures(study: StudyResults, folder: Path) -> list[ReportFigure]:
    """Draws and saves what the study has the data for; the rest says what it lacks.

    Of a study with more arms than `MOST_ARMS` the best are drawn.

    Args:
        study: The study.
        folder: Where the files go.
    """
    study, left_out = _readable(study)
    return [
        _drawn(study, name, folder, left_out)
        for name in FIGURES
        # Of another shape nothing is missing.
        if name not in FACTORIAL or study.measured.factors
    ]


def _drawn(study: StudyResults, name: str, folder: Path, left_out: str) -> ReportFigure:
    title, draw = FIGURES[name]
    try:
        with styled():
            drawing = draw(study)
            files = save(drawing.figure, folder, name)
        with styled(narrow=True):
            narrow = to_svg(draw(study).figure)
    except NothingToDrawError as error:
        # Of an earlier report, whose runs may be gone.
        for ending in ("pdf", "svg", "png"):
            (folder / f"{name}.{ending}").unlink(missing_ok=True)
        return ReportFigure(name, title, str(error))
    return ReportFigure(name, title, drawing.caption + left_out, tuple(files), narrow)


def _readable(study: StudyResults) -> tuple[StudyResults, str]:
    """The arms that fit in a figure, and what its caption says of the others."""
    arms = study.measured.arms
    if len(arms) <= MOST_ARMS:
        return study, ""
    scores = study.scores("dice")
    means = np.nan_to_num([float(scores[arm.name].mean()) for arm in arms], nan=-1)
    best = np.argsort(-means, kind="stable")[:MOST_ARMS]
    part = study.measured.part({arms[index].name for index in best})
    return StudyResults(
        part
    ), f" Of {len(arms)} arms the {MOST_ARMS} with the highest mean Dice are shown."

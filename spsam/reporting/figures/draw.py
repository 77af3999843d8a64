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
    time,
    waterfall,
)
from spsam.reporting.figures.style import Drawing, NothingToDrawError, save, styled, to_svg
from spsam.reporting.study_data import StudyData
from spsam.reporting.tables.study import StudyResults

FIGURES: Mapping[str, tuple[str, Callable[[StudyResults], Drawing]]] = {
    "waterfall": ("Effect of each change", waterfall.draw),
    "interactions": ("Interactions of factors", interactions.draw),
    "classes": ("Dice by class", classes.draw),
    "panels": ("Best, median and worst case", panels.draw),
    "curves": ("Training", curves.draw),
    "pareto": ("Dice and cost", pareto.draw),
    "time": ("Dice and training time", time.draw),
    "calibration": ("Calibration", calibration.draw),
    "depth": ("Dice along the organs", depth.draw),
}
"""Name -> title and function, in the order of the page."""

OF_SOME: Mapping[str, Callable[[StudyData], bool]] = {
    "interactions": lambda study: bool(study.factors),
    "time": lambda study: bool(study.schedules),
}
"""Figures of some studies only -> whether a study is one of them; others do not lack the figure."""

MOST_ARMS = 40
"""Maximum number of arms in a figure: names of more arms would be illegible."""

LARGEST_SVG = 1_000_000
"""Maximum size in bytes of an SVG in a page; larger figures are embedded as PNG."""


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a report.

    Attributes:
        name: Stem of its files.
        title: Title of the figure.
        caption: Caption below the figure; if the figure is omitted, the reason.
        files: PDF, SVG and PNG; empty if the figure is omitted.
        narrow: An SVG for narrow screens; empty if the figure is omitted or drawn elsewhere.
    """

    name: str
    title: str
    caption: str
    files: tuple[Path, ...] = ()
    narrow: str = ""

    @property
    def picture(self) -> Path | None:
        """The file to embed in a page: SVG, or PNG if the SVG is too large."""
        by_ending = {file.suffix: file for file in self.files}
        sharp = by_ending.get(".svg")
        if sharp is not None and sharp.stat().st_size <= LARGEST_SVG:
            return sharp
        return by_ending.get(".png", sharp)


def draw_figures(study: StudyResults, folder: Path) -> list[ReportFigure]:
    """Draws and saves all figures for which the study has data; others are omitted with a reason.

    If the study has more than `MOST_ARMS` arms, only the best are drawn.

    Args:
        study: The study.
        folder: Output folder.
    """
    study, left_out = _readable(study)
    return [
        _drawn(study, name, folder, left_out)
        for name in FIGURES
        if name not in OF_SOME or OF_SOME[name](study.measured)
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
        # Remove files of an earlier report, whose runs may no longer exist.
        for ending in ("pdf", "svg", "png"):
            (folder / f"{name}.{ending}").unlink(missing_ok=True)
        return ReportFigure(name, title, str(error))
    return ReportFigure(name, title, drawing.caption + left_out, tuple(files), narrow)


def _readable(study: StudyResults) -> tuple[StudyResults, str]:
    """The study with the arms that fit into a figure, and a note for the caption on the rest."""
    arms = study.measured.arms
    if len(arms) <= MOST_ARMS:
        return study, ""
    scores = study.scores("dice")
    means = np.nan_to_num([float(scores[arm.name].mean()) for arm in arms], nan=-1)
    best = np.argsort(-means, kind="stable")[:MOST_ARMS]
    part = study.measured.part({arms[index].name for index in best})
    return StudyResults(
        part
    ), f" Only the {MOST_ARMS} arms with the highest mean Dice, of {len(arms)}, are shown."

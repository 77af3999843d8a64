"""Figures of a study with predictions made elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from spsam.reporting.figures import curves, pareto, waterfall
from spsam.reporting.figures.style import NothingToDrawError, styled
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.study import StudyResults
from tests.reporting.store import as_external, make_study


def test_an_external_is_marked_and_has_no_cost(tmp_path: Path) -> None:
    folder = as_external(make_study(tmp_path, ("S1", "S2", "nnUNet")), "nnUNet")
    study = StudyResults(read_study(folder))
    with styled():
        labels = [
            text.get_text() for text in waterfall.draw(study).figure.axes[0].get_yticklabels()
        ]
        assert labels[2].startswith("nnUNet (external)")
        drawn = {text.get_text() for axis in pareto.draw(study).figure.axes for text in axis.texts}
    assert drawn == {"S1", "S2"}


def test_an_external_alone_is_no_training(tmp_path: Path) -> None:
    holes = {("S1", 0): "missing"}
    folder = as_external(make_study(tmp_path, ("S1", "nnUNet"), (0,), status=holes), "nnUNet")
    study = StudyResults(read_study(folder))
    for figure in (pareto, curves):
        with styled(), pytest.raises(NothingToDrawError):
            figure.draw(study)

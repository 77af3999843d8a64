"""What is told of the data between their preparation and the first run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spsam.errors import InputError
from spsam.studies.backend import Backend
from spsam.studies.execution.ablation import prepare
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request
from spsam.studies.progress_events import ProgressListener
from tests.data.layouts import SHAPE, SPACING, blocks, random_image, write_image, write_msd


class Warned(ProgressListener):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six cases, of which the first three train."""
    folder = write_msd(tmp_path / "organs", 6)
    names = [f"organ_{number:03d}" for number in range(6)]
    parts = {"train": names[:3], "val": names[3:4], "test": names[4:]}
    (folder / "split.json").write_text(json.dumps(parts))
    return folder


def warnings(data: Path) -> list[str]:
    """Of a training that would begin; the data lie where results do."""
    request = Request(home=data.parent / "out", data=str(data), arms=["S1"], preset="smoke")
    heard: list[list[str]] = []
    for _ in range(2):
        watch = Warned()
        prepare(plan_ablation(request), watch, Backend())
        heard.append(watch.warnings)
    # What was prepared before is told again.
    assert heard[0] == heard[1]
    return heard[0]


def label(data: Path, number: int) -> Path:
    return data / "labelsTr" / f"organ_{number:03d}.nii.gz"


def test_sound_data_are_no_news(data: Path) -> None:
    assert warnings(data) == []


def test_labels_that_lie_elsewhere_are_named(data: Path) -> None:
    write_image(label(data, 1), blocks(values=(1, 2)), origin=(50.0, 0.0, 0.0))
    (warning,) = warnings(data)
    assert warning.startswith(f"{label(data, 1)}: the label's origin (50, 0, 0) mm is not that of")


def test_a_far_spacing_is_named(data: Path) -> None:
    image = data / "imagesTr" / "organ_005.nii.gz"
    spacing = tuple(8 * each for each in SPACING)
    write_image(image, random_image(5), spacing=spacing)
    write_image(label(data, 5), blocks(values=(1, 2)), spacing=spacing)
    (warning,) = warnings(data)
    assert warning.startswith(f"{image}: its spacing 64 × 12 × 12 mm is far from that of the")


def test_a_class_that_no_training_case_has_is_named(data: Path) -> None:
    for number in range(3):
        write_image(label(data, number), blocks(values=(2,)))
    (warning,) = warnings(data)
    assert warning == "no training case of split 'file' has class 'liver': it cannot be learnt"


def test_references_that_are_all_background_are_refused(data: Path) -> None:
    for number in range(3):
        write_image(label(data, number), np.zeros(SHAPE, np.uint8))
    with pytest.raises(
        InputError, match="no training case of split 'file' contains any foreground"
    ):
        warnings(data)

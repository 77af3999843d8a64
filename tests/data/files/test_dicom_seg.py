from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spsam.data.files.dicom_seg import write_segmentation
from tests.data.layouts import write_dicom


def test_segments_from_256_on_are_those_of_their_classes(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    pixels = np.random.default_rng(0).integers(0, 500, (3, 20, 24)).astype(np.int16)
    series = write_dicom(tmp_path / "scan", pixels)
    labels = np.zeros((3, 20, 24), np.int16)
    for place, k in enumerate((1, 44, 255, 256, 257, 300)):
        labels[1, 3 * place : 3 * place + 2] = k
    names = ["background", *(f"region {k}" for k in range(1, 301))]
    write_segmentation(tmp_path / "scan.dcm", labels, series, names, 3.0)
    made = highdicom.seg.segread(tmp_path / "scan.dcm")
    assert made.number_of_segments == 300
    volume = made.get_volume(combine_segments=True).array
    assert np.unique(volume).tolist() == [0, 1, 44, 255, 256, 257, 300]
    for k in (1, 44, 255, 256, 257, 300):
        assert (volume == k).sum() == (labels == k).sum()
        assert made.get_segment_description(k).segment_label == names[k]

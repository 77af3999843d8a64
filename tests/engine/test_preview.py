"""Which cases are drawn, and that the picture shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from spsam.engine.preview import Example, choose, draw_preview


def test_best_median_and_worst_each_once() -> None:
    assert choose([0.5, 0.9, 0.1, 0.7, 0.6]) == [("best", 1), ("median", 4), ("worst", 2)]
    assert choose([0.3]) == [("best", 0)]
    assert choose([0.3, float("nan")]) == [("best", 0), ("worst", 1)]


def test_the_picture_shows_prediction_and_reference(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(4, 32, 32)).astype(np.float32)
    reference = np.zeros((4, 32, 32), np.int16)
    reference[1:3, 8:24, 8:24] = 1
    names = ("background", "organ", "other")
    pictures = []
    for number, prediction in enumerate((reference, reference * 0, reference * 2)):
        path = tmp_path / f"{number}.png"
        draw_preview(path, [Example("a case", image, reference, prediction)], names)
        pictures.append(imread(path))
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    draw_preview(tmp_path / "again.png", [Example("a case", image, reference, reference)], names)
    assert np.array_equal(pictures[0], imread(tmp_path / "again.png"))

from __future__ import annotations

import numpy as np
import pytest

from spsam.metrics.continuity import neighbour_dice


def test_neighbours() -> None:
    labels = np.zeros((3, 4, 4), dtype=int)
    labels[0, 0, :2] = labels[1, 0, :2] = 1
    labels[1, 3, :] = 2
    scores = neighbour_dice(labels, 4)
    # Class 1: equal, then gone. Class 2: in one slice alone. Class 3: nowhere.
    assert scores[1] == pytest.approx(0.5)
    assert scores[2] == 0
    assert np.isnan(scores[3])
    assert np.isnan(neighbour_dice(labels[:1], 4)).all()

"""Label maps with everything that makes prompts hard."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

CLASSES = 4


@st.composite
def label_maps(draw: st.DrawFn) -> NDArray[np.int64]:
    """`(N, H, W)`: speckle, constants, and objects (rings, bars, single pixels) on top."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 14)))
    classes = st.integers(0, CLASSES - 1)
    if draw(st.booleans()):
        return draw(arrays.arrays(np.int64, shape, elements=classes))
    labels = np.full(shape, draw(classes), dtype=np.int64)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    for _ in range(draw(st.integers(0, 4))):
        n, y, x = (draw(st.integers(0, size - 1)) for size in shape)
        outer, inner = draw(st.integers(0, 6)), draw(st.integers(-1, 4))
        if draw(st.booleans()):
            distance = np.hypot(rows - y, columns - x)
        else:
            distance = np.maximum(abs(rows - y), abs(columns - x))
        labels[n][(distance <= outer) & (distance > inner)] = draw(classes)
    return labels

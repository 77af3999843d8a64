"""Pixel counts per slice and confidences of a run, in one small file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spsam.errors import SpsamError
from spsam.results.arrays import read_arrays, write_arrays

BINS = 15
"""Number of bins of equal width for confidences in 0…1."""

MARGIN = 10.0
"""Margin in mm around the reference's foreground within which confidences are counted."""


@dataclass(frozen=True)
class Measures:
    """Counts over the test cases of one run.

    Slices follow the plan's depth axis, on the grid of the acquired volume. The confidence of a
    voxel is that of its predicted class. Confidences are counted in the box around the reference's
    foreground plus `MARGIN` mm, because voxels far away are certain background.

    Attributes:
        cases: Ids of the N cases.
        case: `(S,)` index of each slice's case.
        slice: `(S,)` index of each slice in its volume.
        counts: `(S, K, 3)` pixels of each class (or of the background and each region): in both
            maps, in the prediction, in the reference.
        voxels: `(N, BINS)` number of voxels per case and bin of confidence.
        confidence: `(N, BINS)` sum of the confidences of these voxels.
        correct: `(N, BINS)` number of these voxels that have the reference's class.
        activation: `softmax`: a confidence is the probability of the predicted class. `sigmoid`: it
            is the sigmoid of the predicted class's logit. If background is predicted because no
            class exceeds its threshold, it is one minus the largest sigmoid of the other classes.
    """

    cases: tuple[str, ...]
    case: NDArray[np.int32]
    slice: NDArray[np.int32]
    counts: NDArray[np.int64]
    voxels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.int64]
    activation: str


def write_measures(path: Path, measures: Measures) -> None:
    """Write the measures to an `.npz` file atomically."""
    write_arrays(
        path,
        {
            "cases": np.array(measures.cases, dtype=np.str_),
            "case": measures.case,
            "slice": measures.slice,
            "counts": measures.counts.astype(np.uint32),
            "voxels": measures.voxels,
            "confidence": measures.confidence,
            "correct": measures.correct,
            "activation": np.array(measures.activation),
        },
    )


def read_measures(path: Path) -> Measures:
    """Read a file of `write_measures`.

    Raises:
        SpsamError: If the file is missing or damaged.
    """
    arrays = read_arrays(path)
    try:
        return Measures(
            cases=tuple(str(case) for case in arrays["cases"]),
            case=arrays["case"],
            slice=arrays["slice"],
            counts=arrays["counts"].astype(np.int64),
            voxels=arrays["voxels"],
            confidence=arrays["confidence"],
            correct=arrays["correct"],
            activation=str(arrays["activation"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise SpsamError(f"{path}: is damaged: {error}") from error

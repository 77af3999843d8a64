"""What a run counted by slice and by confidence, in one small file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spsam.errors import SpsamError
from spsam.results.arrays import read_arrays, write_arrays

BINS = 15
"""Bins of equal width that confidences in 0…1 are counted in."""

MARGIN = 10.0
"""mm around the reference's foreground within which confidences are counted."""


@dataclass(frozen=True)
class Measures:
    """Counts over the test cases of one run.

    Slices are those of the plan's depth axis, in the grid that the volume was acquired on. The
    confidences are those of the named class, in the box around the reference's foreground and
    `MARGIN` mm more: far away from it everything is background, which everyone is sure of.

    Attributes:
        cases: The N cases' ids.
        case: `(S,)`, of each slice the index of its case.
        slice: `(S,)`, its index in the volume.
        counts: `(S, K, 3)` pixels of each class, or of the background and each region, in both, in
            the prediction, in the reference.
        voxels: `(N, BINS)`, how many voxels of each case have a confidence in each bin.
        confidence: `(N, BINS)`, the sum of their confidences.
        correct: `(N, BINS)`, how many of them have the reference's class.
        activation: `softmax`: a confidence is the named class's probability. `sigmoid`: it is the
            sigmoid of the named class's logit; where no class says yes and background is named
            for that, one minus the largest sigmoid of the others.
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
    """Writes them at once, `.npz`."""
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
    """Reads what `write_measures` wrote.

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

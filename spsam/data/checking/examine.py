"""Examination of a data set before training: each case, then all cases compared."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spsam.data.cases import Case, DataSet
from spsam.data.check import load_checked
from spsam.data.checking.compare import compare
from spsam.data.checking.facts import DataReport, Facts
from spsam.data.files.nifti import nifti_oddities
from spsam.data.labels import IGNORED
from spsam.data.split import split_cases
from spsam.data.workers import Progress, run_all
from spsam.errors import InputError, Problem

# Number of foreground voxels per case from which the median intensity is computed.
SAMPLES = 100_000


def examine(
    dataset: DataSet,
    *,
    split: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> DataReport:
    """Examine every case on its own and compared with the others; no file is written.

    Args:
        dataset: The data set; without references, only the images are examined.
        split: As in `split_cases`.
        workers: Number of processes; default: the number of cores, at most 8.
        progress: Called with the numbers of finished cases and all cases.

    Returns:
        The facts about all cases, with errors and warnings.
    """
    jobs = [(case, dataset.in_channels, dataset.num_classes) for case in dataset.cases]
    report = DataReport(dataset, run_all(_examine_case, jobs, workers, progress))
    for each in report.facts:
        report.errors += each.errors
        report.warnings += each.warnings
    if dataset.num_classes > 1:
        try:
            report.split = split_cases(dataset, split)
        except InputError as error:
            report.errors += error.problems
    compare(report, split)
    return report


def _examine_case(case: Case, channels: int, classes: int) -> Facts:
    try:
        volume = load_checked(case, channels)
    except InputError as error:
        return Facts(case.id, case.patient, errors=error.problems)
    files = [file for file in case.files if file.is_file()]
    warnings = [*volume.notes, *(each for file in files for each in nifti_oddities(file))]
    voxels: tuple[int, ...] = ()
    inside = None
    if volume.label is not None:
        annotated = volume.label[volume.label != IGNORED]
        counts = np.bincount(annotated, minlength=classes)
        voxels = tuple(int(count) for count in counts)
        if not any(voxels[1:]):
            warnings.append(Problem(f"{case.id}: the label is all background", _last(files)))
        else:
            inside = _median(volume.image[0][volume.label > 0])
    pixels = np.ascontiguousarray(volume.image)
    return Facts(
        case.id,
        case.patient,
        warnings=tuple(warnings),
        geometry=volume.geometry,
        voxels=voxels,
        ignored=0.0 if volume.label is None else float((volume.label == IGNORED).mean()),
        digest=hashlib.sha256(pixels.tobytes()).hexdigest(),
        low=float(pixels[0].min()),
        inside=inside,
        zeros=1 - np.count_nonzero(pixels.any(axis=0)) / pixels[0].size,
    )


def _median(values: npt.NDArray[np.float32]) -> float:
    """Compute the median of at most about `SAMPLES` values, evenly spread."""
    return float(np.median(values[:: max(1, len(values) // SAMPLES)]))


def _last(files: list[Path]) -> Path | None:
    return files[-1] if files else None

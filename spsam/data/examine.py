"""Everything that can be said about a data set before training: each case, and all together."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from spsam.data.cases import Case, DataSet
from spsam.data.check import load_checked
from spsam.data.files.image import read_geometry
from spsam.data.files.nifti import nifti_oddities
from spsam.data.geometry import Geometry, orientation
from spsam.data.split import PARTS, Split, split_cases
from spsam.data.volume import GEOMETRY_TOLERANCE
from spsam.data.workers import Progress, run_all
from spsam.errors import InputError, Problem

# A spacing this many times off the median is more often a wrong header than a scanner.
OUTLIER = 3.0


@dataclass(frozen=True)
class Facts:
    """What one case is; of an unreadable one only the problems.

    Attributes:
        id: The case.
        patient: Whose.
        errors: Training would break on them.
        warnings: Training would run, but perhaps not on what was meant.
        geometry: Of the image.
        voxels: For each class its number of voxels; empty without a reference.
        digest: Of the image's voxels.
        low: Smallest intensity.
    """

    id: str
    patient: str
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    geometry: Geometry | None = None
    voxels: tuple[int, ...] = ()
    digest: str = ""
    low: float = 0.0


@dataclass
class Report:
    """What `examine` found.

    Attributes:
        dataset: What was examined.
        facts: One a case, in the data set's order.
        split: The one that training would take; None if there is none.
        errors: Where training would break.
        warnings: What the user should look at.
    """

    dataset: DataSet
    facts: list[Facts]
    split: Split | None = None
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def orientations(self) -> Mapping[str, int]:
        """Code -> number of cases, the commonest first."""
        found = (orientation(each.geometry) for each in self.facts if each.geometry)
        return dict(Counter(found).most_common())

    @property
    def cases_of_class(self) -> Mapping[str, int]:
        """In how many readable cases a class has a voxel."""
        return {
            name: sum(bool(each.voxels and each.voxels[index]) for each in self.facts)
            for index, name in enumerate(self.dataset.class_names)
            if index
        }


def examine(
    dataset: DataSet,
    *,
    split: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Reads every case, each on its own and then compared; writes nothing.

    Args:
        dataset: The data set; of volumes without a reference only the images are looked at.
        split: As of `split_cases`.
        workers: Processes; None takes the cores, at most 8.
        progress: Called with (cases done, cases in all).
    """
    jobs = [(case, dataset.in_channels, dataset.num_classes) for case in dataset.cases]
    report = Report(dataset, run_all(_examine_case, jobs, workers, progress))
    for each in report.facts:
        report.errors += each.errors
        report.warnings += each.warnings
    if dataset.num_classes > 1:
        try:
            report.split = split_cases(dataset, split)
        except InputError as error:
            report.errors += error.problems
    report.warnings += [*_spacings(report), *_orientations(report), *_classes(report)]
    report.warnings += _intensities(report)
    _duplicates(report)
    return report


def _examine_case(case: Case, channels: int, classes: int) -> Facts:
    try:
        volume = load_checked(case, channels)
    except InputError as error:
        return Facts(case.id, case.patient, errors=error.problems)
    files = [file for file in case.files if file.is_file()]
    warnings = [problem for file in files for problem in nifti_oddities(file)]
    voxels: tuple[int, ...] = ()
    if volume.label is not None:
        counts = np.bincount(volume.label.ravel(), minlength=classes)
        voxels = tuple(int(count) for count in counts)
        if not any(voxels[1:]):
            warnings.append(Problem(f"{case.id}: the label is all background", _last(files)))
        warnings += _displaced(volume.geometry, case)
    pixels = np.ascontiguousarray(volume.image)
    return Facts(
        case.id,
        case.patient,
        warnings=tuple(warnings),
        geometry=volume.geometry,
        voxels=voxels,
        digest=hashlib.sha256(pixels.tobytes()).hexdigest(),
        low=float(pixels.min()),
    )


def _last(files: list[Path]) -> Path | None:
    return files[-1] if files else None


def _displaced(image: Geometry, case: Case) -> list[Problem]:
    """Whether the label says that it lies elsewhere; training goes by voxels all the same."""
    if len(case.files) < 2 or len({file.suffix for file in case.files}) > 1:
        return []
    try:
        label = read_geometry(case.files[-1])
    except InputError:
        # Arrays in other containers have no geometry.
        return []
    turned = not np.allclose(image.direction, label.direction, atol=GEOMETRY_TOLERANCE)
    moved = not np.allclose(image.origin, label.origin, atol=0.1 * min(image.spacing))
    if not turned and not moved:
        return []
    what = " and ".join([*(["direction"] if turned else []), *(["origin"] if moved else [])])
    message = f"the label's {what} is not that of its image; voxel is taken for voxel"
    return [Problem(message, case.files[-1])]


def _spacings(report: Report) -> Iterable[Problem]:
    known = [each for each in report.facts if each.geometry]
    if not known:
        return
    spacings = np.array([each.geometry.spacing for each in known if each.geometry])
    median = np.median(spacings, axis=0)
    for each, spacing in zip(known, spacings, strict=True):
        if max(np.max(spacing / median), np.max(median / spacing)) > OUTLIER:
            shown, usual = (" × ".join(f"{v:.4g}" for v in one) for one in (spacing, median))
            yield Problem(f"{each.id}: spacing {shown} mm is far from the median, {usual} mm")


def _orientations(report: Report) -> Iterable[Problem]:
    counts = report.orientations
    if len(counts) > 1:
        shown = ", ".join(f"{code} {count}" for code, count in counts.items())
        yield Problem(
            f"cases differ in orientation ({shown}); preparation turns them to the commonest of "
            "the training cases"
        )


def _classes(report: Report) -> Iterable[Problem]:
    if not any(each.voxels for each in report.facts):
        return
    for name, count in report.cases_of_class.items():
        if count == 0:
            yield Problem(f"no case has class '{name}'")


def _intensities(report: Report) -> Iterable[Problem]:
    readable = [each for each in report.facts if each.digest]
    if report.dataset.modality == "CT" and readable and min(each.low for each in readable) >= 0:
        yield Problem("no CT value is below zero: these are not Hounsfield units, or were scaled")


def _duplicates(report: Report) -> None:
    """The same voxels under two names: an error where training and scoring would share them."""
    same = defaultdict(list)
    for each in report.facts:
        if each.digest:
            same[each.digest].append(each)
    part_of: dict[str, str] = {}
    if report.split is not None:
        part_of = {case: part for part in PARTS for case in getattr(report.split, part)}
    for group in same.values():
        if len(group) < 2:
            continue
        names = ", ".join(each.id for each in group)
        parts: set[Literal["train", "val", "test"] | str] = {
            part_of[each.id] for each in group if each.id in part_of
        }
        if len(parts) > 1:
            shown = " and ".join(part for part in PARTS if part in parts)
            message = f"{names} are the same image, in {shown} of split '{_name(report)}'"
            report.errors.append(Problem(message))
        else:
            report.warnings.append(Problem(f"{names} are the same image"))


def _name(report: Report) -> str:
    return report.split.name if report.split else ""

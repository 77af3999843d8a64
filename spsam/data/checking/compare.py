"""Comparison of a data set's cases, which detects errors that no single case shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spsam.data.cases import Case
from spsam.data.checking.facts import DataReport, Facts
from spsam.data.geometry import orientation, turn_to
from spsam.data.plan import CROPPED
from spsam.data.preparation.bounds import ABSURD, FAR, LARGE, far
from spsam.data.split import split_cases, title, unlearnable
from spsam.data.split_lists import PARTS
from spsam.errors import InputError, Problem

# Many programs store CT without its intercept, so that air is 0 or 24 instead of -1000.
OFFSET = 1024


def compare(report: DataReport, split: str | Path | None) -> None:
    """Compare the cases and add the resulting errors and warnings to a report.

    Args:
        report: A report with its facts and its split, which is extended.
        split: As in `split_cases`.
    """
    _spacings(report)
    report.warnings += [*_orientations(report), *_classes(report)]
    _learnable(report, split)
    ct = report.dataset.modality == "CT"
    report.warnings += _hounsfield(report) if ct else _borders(report)
    _duplicates(report)


def _spacings(report: DataReport) -> None:
    """Report spacings far from the others: a warning, or an error if preparation rejects them."""
    known = [each for each in report.facts if each.geometry]
    if not known:
        return
    spacings = [_upright(each, known[0]) for each in known]
    # Computed as factors, because with two cases neither is the typical one.
    usual = np.exp(np.median(np.log(spacings), axis=0)).tolist()
    if max(usual) > LARGE:
        message = f"spacings are as large as {max(usual):.4g} mm: is the headers' unit correct?"
        report.warnings.append(Problem(message))
    for each, spacing in zip(known, spacings, strict=True):
        times = far(spacing, usual)
        if times > FAR:
            shown, middle = (" × ".join(f"{v:.4g}" for v in one) for one in (spacing, usual))
            message = f"{each.id}: spacing {shown} mm is far from the median, {middle} mm"
            refused = times > ABSURD and report.dataset.num_classes > 1
            where = report.errors if refused else report.warnings
            where.append(Problem(f"{message}: is the header's unit correct?"))


def _upright(each: Facts, first: Facts) -> tuple[float, ...]:
    """Return a case's spacing along the axes (z, y, x) of the first case's array."""
    assert each.geometry is not None
    assert first.geometry is not None
    turn = turn_to(orientation(first.geometry), each.geometry)
    return tuple(each.geometry.spacing[axis] for axis in turn.axes)


def _orientations(report: DataReport) -> Iterable[Problem]:
    counts = report.orientations
    if len(counts) > 1:
        shown = ", ".join(f"{code} {count}" for code, count in counts.items())
        yield Problem(
            f"cases differ in orientation ({shown}); preparation turns them to the most frequent "
            "one of the training cases"
        )


def _classes(report: DataReport) -> Iterable[Problem]:
    if not any(each.voxels for each in report.facts):
        return
    for name, count in report.cases_of_class.items():
        if count == 0:
            yield Problem(f"no case has class '{name}'")


def _learnable(report: DataReport, name: str | Path | None) -> None:
    """Check that the training cases of every fold contain every class."""
    if report.split is None:
        return
    dataset = report.dataset
    classes = {
        each.id: [k for k, count in enumerate(each.voxels) if count]
        for each in report.facts
        if each.voxels
    }
    lacking: dict[str, list[str]] = {}
    for fold in range(report.split.folds):
        split = split_cases(dataset, name, fold)
        try:
            for each in unlearnable(split, fold, dataset.class_names, classes):
                lacking.setdefault(each, []).append(title(split, fold))
        except InputError as error:
            report.errors += error.problems
    for each, where in lacking.items():
        # A class in no case at all is reported elsewhere.
        if report.cases_of_class[each]:
            message = f"no training case of {', '.join(where)} has class '{each}': it is not learnt"
            report.warnings.append(Problem(message))


def _hounsfield(report: DataReport) -> Iterable[Problem]:
    """Report CT values that are not Hounsfield units, in all or in some cases."""
    known = [each for each in report.facts if each.digest]
    if not known:
        return
    if min(each.low for each in known) >= 0:
        yield Problem("no CT value is below zero: these are not Hounsfield units, or were scaled")
        return
    inside = [each.inside for each in known if each.inside is not None]
    usual = float(np.median(inside)) if inside else 0.0
    lowest = float(np.median([each.low for each in known]))
    for each in known:
        off = 0.0 if each.inside is None else each.inside - usual
        if abs(off) >= OFFSET / 2:
            said = (
                f"its foreground has a median of {each.inside:.0f}, of the other cases {usual:.0f}"
            )
        elif each.low >= 0 and lowest < -OFFSET / 4:
            said = f"no value is below zero, but the usual minimum is {lowest:.0f}"
        else:
            continue
        yield Problem(
            f"{each.id}: its intensities are not those of the other cases ({said}): is it in "
            f"Hounsfield units? Some programs store CT {OFFSET} higher",
            _first(report.dataset.case(each.id)),
        )


def _borders(report: DataReport) -> Iterable[Problem]:
    """Report MR without the zero borders of the other cases, which preparation relies on."""
    known = [each for each in report.facts if each.digest]
    if known and float(np.median([each.zeros for each in known])) > 1 - CROPPED:
        for each in known:
            if each.zeros < 0.01:
                message = (
                    f"{each.id}: almost no voxel is zero, but the background of the other cases "
                    "is: were its intensities shifted?"
                )
                yield Problem(message, _first(report.dataset.case(each.id)))


def _first(case: Case) -> Path | None:
    return case.files[0] if case.files else None


def _duplicates(report: DataReport) -> None:
    """Report identical images: an error if they are in different parts of the split."""
    same = defaultdict(list)
    for each in report.facts:
        if each.digest:
            same[each.digest].append(each)
    part_of: dict[str, str] = {}
    name = ""
    if report.split is not None:
        name = report.split.name
        part_of = {case: part for part in PARTS for case in getattr(report.split, part)}
    for group in same.values():
        if len(group) < 2:
            continue
        names = ", ".join(each.id for each in group)
        parts = {part_of[each.id] for each in group if each.id in part_of}
        if len(parts) > 1:
            shown = " and ".join(part for part in PARTS if part in parts)
            message = f"{names} are the same image, in {shown} of split '{name}'"
            report.errors.append(Problem(message))
        else:
            report.warnings.append(Problem(f"{names} are the same image"))

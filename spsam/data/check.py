"""Loading of cases with all checks."""

from __future__ import annotations

import re

from spsam.data.cases import Case, DataSet
from spsam.data.labels import IGNORED
from spsam.data.volume import Volume, check_image
from spsam.data.workers import Progress, run_all
from spsam.errors import InputError, Problem


def load_checked(case: Case, channels: int) -> Volume:
    """Load the volume of a case and check it; built-in volumes pass the same checks as files.

    Args:
        case: The case.
        channels: The expected number of image channels.

    Returns:
        The volume, whose image has that number of channels.

    Raises:
        InputError: With every problem found.
    """
    volume = case.load()
    image = case.files[0] if case.files else None
    problems = [] if case.files else check_image(volume.image, image)
    if volume.image.shape[0] != channels:
        message = f"expected {channels} channels, the image has {len(volume.image)}"
        if len(case.files) == 1 and re.search(r"_\d{4}\.", case.files[0].name):
            message += "; files NAME_0000, NAME_0001, … are the channels of one scan"
        problems.append(Problem(message, image))
    if volume.label is not None and (volume.label == IGNORED).all():
        message = "every voxel has the ignore label: remove the case, or annotate a part of it"
        problems.append(Problem(message, case.files[-1] if case.files else None))
    if problems:
        raise InputError(problems)
    return volume


def check(
    dataset: DataSet, *, workers: int | None = None, progress: Progress | None = None
) -> list[Problem]:
    """Read every volume and return all problems found; no file is written."""
    jobs = [(case, dataset.in_channels) for case in dataset.cases]
    results = run_all(_check_case, jobs, workers, progress)
    return [problem for found in results for problem in found]


def _check_case(case: Case, channels: int) -> tuple[Problem, ...]:
    try:
        load_checked(case, channels)
    except InputError as error:
        return error.problems
    return ()

"""What finished runs recorded beside their scores, by arm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from spsam.errors import SpsamError
from spsam.reporting.figures.style import NothingToDrawError, listed
from spsam.reporting.study_data import FINISHED
from spsam.reporting.tables.study import StudyResults
from spsam.results.run_folder import RunFolder

T = TypeVar("T")


def recorded(
    study: StudyResults, file: str, read: Callable[[Path], T], *, first: bool = False
) -> tuple[dict[str, list[T]], str]:
    """The files of an arm's finished runs.

    Args:
        study: The study.
        file: Its name in a run's folder.
        read: Reads it.
        first: Only the first that is there, of each arm.

    Returns:
        By arm, those without left out; and a sentence on what is missing, empty if nothing is.

    Raises:
        NothingToDrawError: If no run has it.
    """
    runs = study.measured.runs
    runs = runs[runs["state"] == FINISHED]
    found: dict[str, list[T]] = {}
    missing: list[str] = []
    for arm, seed, folder in zip(runs["arm"], runs["seed"], runs["folder"], strict=True):
        if first and arm in found:
            continue
        path = Path(folder)
        try:
            RunFolder(path.parents[1], path.name).verify(path / file)
            found.setdefault(arm, []).append(read(path / file))
        except SpsamError:
            missing.append(f"{arm} seed {seed}")
    found = {arm: some for arm, some in found.items() if some}
    if not found:
        raise NothingToDrawError(
            f"No finished run has recorded {file}: those of earlier versions have none."
            if len(runs)
            else "No run is finished yet."
        )
    return found, f" Without a record: {listed(missing)}." if missing and not first else ""

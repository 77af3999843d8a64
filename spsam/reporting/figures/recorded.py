"""Additional records of finished runs, by arm."""

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
    """Reads a file from every finished run of a study.

    Args:
        study: The study.
        file: Name of the file in a run's folder.
        read: Function that reads the file.
        first: Read only the first available file of each arm.

    Returns:
        The content by arm, without arms that lack it; and a sentence about missing files, empty if
        nothing is missing.

    Raises:
        NothingToDrawError: If no run has the file.
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
            f"No finished run has recorded {file}; runs of earlier versions do not contain it."
            if len(runs)
            else "No run is finished yet."
        )
    return found, f" Not recorded: {listed(missing)}." if missing and not first else ""

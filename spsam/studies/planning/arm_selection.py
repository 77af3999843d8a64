"""From what was asked for to arms: by their names, or by a study's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spsam.config.study import Study, StudyFile, load_study
from spsam.errors import InputError, Problem
from spsam.registry.arms import ArmLoader
from spsam.registry.files import study_path
from spsam.studies.planning.plan import PlannedArm
from spsam.studies.planning.request import Request
from spsam.studies.planning.shapes import MadeArm, listed_arms, study_arms


def requested_study(request: Request) -> StudyFile | None:
    """The study that a request is about.

    Raises:
        InputError: If it is named among others, or its file is wrong.
    """
    paths = {word: path for word in request.arms if (path := study_path(word)) is not None}
    if paths and len(request.arms) > 1:
        raise InputError(f"{next(iter(paths))} is a study: name it alone, or list arms in it")
    return load_study(next(iter(paths.values()))) if paths else None


def arm_loader(request: Request, preset: str, protocol: Path | None = None) -> ArmLoader:
    """What resolves the arms of a request.

    Args:
        request: Completed.
        preset: Name or path.
        protocol: The file of what the preset sets for the data set.
    """
    overrides = dict(request.overrides)
    if request.checkpoint:
        # Naming a file means using it, unless the user said otherwise.
        overrides.setdefault("backbone.weights", "checkpoint")
    return ArmLoader(overrides, preset=preset, protocol=protocol, plugins=request.plugins)


def select_arms(request: Request, study: StudyFile | None, loader: ArmLoader) -> list[MadeArm]:
    """The arms that a request names, or that its study's shape makes.

    Raises:
        InputError: With every mistake in them.
    """
    return listed_arms(request.arms, loader) if study is None else study_arms(study, loader)


def without_duplicates(
    arms: Sequence[PlannedArm], study: Study
) -> tuple[list[PlannedArm], list[str]]:
    """The arms of a study without those that are equal to one before, and what was left out.

    Raises:
        InputError: If two cells of a product are equal: its effects would have no meaning.
    """
    first: dict[str, str] = {}
    kept, dropped = [], []
    for planned in arms:
        twin = first.setdefault(planned.runs[0].folder.run_id, planned.arm.name)
        if twin == planned.arm.name:
            kept.append(planned)
        else:
            dropped.append(f"{planned.arm.name} is equal to {twin} and left out")
    if dropped and study.shape == "factorial":
        raise InputError(
            [Problem(f"{said}: give each factor values that differ") for said in dropped]
        )
    return kept, dropped

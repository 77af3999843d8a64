"""From what was asked for to arms: by their names, or by a study's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spsam.config.study import Study, StudyFile, load_study
from spsam.errors import InputError, Problem, nearest
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
    made = listed_arms(request.arms, loader) if study is None else study_arms(study, loader)
    return made if request.reference is None else _against(request.reference, made)


def _against(reference: str, made: list[MadeArm]) -> list[MadeArm]:
    """The arms, each compared with one of them."""
    names = [each.arm.name for each in made]
    if reference not in names:
        raise InputError(
            f"reference: no arm of the study is called '{reference}'{nearest(reference, names)}"
        )
    other = made[names.index(reference)].arm
    return [each if each.arm is other else replace(each, parent=other) for each in made]


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

"""From what was asked for to arms: by their names, or by a study's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.config.study import Study, StudyFile, load_study
from spsam.errors import InputError, Problem
from spsam.registry.files import study_path
from spsam.studies.planning.shapes import Loader, MadeArm, listed_arms, study_arms

if TYPE_CHECKING:
    from spsam.studies.planning.planner import PlannedArm, Request


def named_study(request: Request) -> StudyFile | None:
    """The study that a request is about.

    Raises:
        InputError: If it is named among others, or its file is wrong.
    """
    paths = {word: path for word in request.arms if (path := study_path(word)) is not None}
    if paths and len(request.arms) > 1:
        raise InputError(f"{next(iter(paths))} is a study: name it alone, or list arms in it")
    return load_study(next(iter(paths.values()))) if paths else None


def completed(request: Request, study: Study | None) -> Request:
    """The request with the study's values where it has none, and defaults where neither has."""
    return replace(
        request,
        preset=request.preset or (study.preset if study else None),
        seeds=tuple(request.seeds) or (study.seed_numbers if study else (0,)),
        folds=tuple(request.folds) or (study.folds if study else (0,)),
        overrides={**(study.set if study else {}), **request.overrides},
    )


def asked_arms(
    request: Request, study: StudyFile | None, preset: str, protocol: Path | None = None
) -> list[MadeArm]:
    """The arms that a request names, or that its study's shape makes.

    `protocol` is the file of what the preset sets for the data set.

    Raises:
        InputError: With every mistake in them.
    """
    overrides = dict(request.overrides)
    if request.checkpoint:
        # Naming a file means using it, unless the user said otherwise.
        overrides.setdefault("backbone.weights", "checkpoint")
    load = Loader(overrides, preset, request.plugins, protocol)
    return listed_arms(request.arms, load) if study is None else study_arms(study, load)


def without_twins(arms: Sequence[PlannedArm], study: Study) -> tuple[list[PlannedArm], list[str]]:
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

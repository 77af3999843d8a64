"""Recipes of a study, and the arm with which each of its arms is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spsam.config.problems import gather, raise_all
from spsam.config.schema import ArmConfig
from spsam.config.study import Arms, Recipe, StudyFile
from spsam.config.tune import as_tune
from spsam.errors import InputError, Problem, nearest
from spsam.registry.arms import ArmLoader
from spsam.studies.planning.shapes import MadeArm


def by_recipes(
    study: StudyFile | None, made: Sequence[MadeArm], loader: ArmLoader
) -> list[MadeArm]:
    """Combines the arms with every recipe of their study, and adds the tuning of each.

    The combination is named after both, e.g. `S9:shared`.

    Args:
        study: The study; None if the request lists arms.
        made: The arms that the study's shape generates.
        loader: The loader that resolved them.

    Raises:
        InputError: With every problem in the recipes.
    """
    if study is None:
        return list(made)
    config, problems = study.config, list[Problem]()
    if config.tune is not None:
        made = [replace(each, tune=as_tune(config.tune)) for each in made]
    if not isinstance(config, Arms) or not config.recipes:
        return list(made)
    if config.tune is not None:
        line = study.file.line(("tune",))
        message = "tune: the study has recipes; move 'tune' into the recipes to be tuned"
        problems.append(Problem(message, study.file.path, line))
    arms: list[MadeArm] = []
    for name, recipe in config.recipes.items():
        problems += _fixed(study, name, recipe.set, loader)
        for each in made:
            with gather(problems):
                arms.append(_by(name, recipe, each, loader))
    raise_all(problems)
    return arms


def _by(name: str, recipe: Recipe, made: MadeArm, loader: ArmLoader) -> MadeArm:
    assert made.file is not None, "arms of a list come from files"
    parent = None if made.parent is None else _labelled(made.parent, name)
    return replace(
        made,
        arm=_labelled(loader.load(made.file, recipe.set), name),
        parent=parent,
        values=recipe.set,
        tune=None if recipe.tune is None else as_tune(recipe.tune, ("recipes", name, "tune")),
        recipe=name,
    )


def _labelled(arm: ArmConfig, recipe: str) -> ArmConfig:
    parent = None if arm.parent is None else f"{arm.parent}:{recipe}"
    labels = {"name": f"{arm.name}:{recipe}", "title": f"{arm.title}, {recipe} recipe"}
    return arm.model_copy(update={**labels, "parent": parent})


def _fixed(
    study: StudyFile, name: str, values: Mapping[str, Any], loader: ArmLoader
) -> list[Problem]:
    """Returns a problem for each value of a recipe that is also set for all arms."""
    return [
        Problem(
            f"recipes.{name}.set.{key}: is also fixed by 'set' or --set; remove one of them",
            study.file.path,
            study.file.line(("recipes", name, "set", key)),
        )
        for key in values
        if key in loader.overrides
    ]


def against(reference: str | None, made: Sequence[MadeArm]) -> list[MadeArm]:
    """Changes the parent of all arms to the reference; if there are recipes, of the same recipe.

    Args:
        reference: The reference's name; None keeps each arm's own parent.
        made: The study's arms.

    Raises:
        InputError: If there is no arm with this name.
    """
    if reference is None:
        return list(made)
    arms = {each.arm.name: each.arm for each in made}
    found: list[MadeArm] = []
    for each in made:
        other = arms.get(reference) or arms.get(f"{reference}:{each.recipe}")
        if other is None:
            names = dict.fromkeys(name.removesuffix(f":{each.recipe}") for name in arms)
            raise InputError(
                f"reference: no arm of the study is named '{reference}'{nearest(reference, names)}"
            )
        found.append(each if each.arm is other else replace(each, parent=other))
    return found

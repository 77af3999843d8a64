"""The schema of study files: a shape, arms, seeds and folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from spsam.config.choices import choice_problems
from spsam.config.fields import Section, Seeds, Whole, chosen
from spsam.config.problems import check, places_in, raise_all
from spsam.config.tune import Tune, as_tune
from spsam.config.yaml_file import YamlFile, read_yaml
from spsam.errors import InputError, Problem, nearest

SHAPE = "shape"
"""The key that distinguishes a study's file from an arm's."""

SeedChoice = Seeds | tuple[Whole, ...]
"""The number of seeds (3: 0, 1, 2), or a list ([0, 4])."""


def seed_numbers(seeds: SeedChoice) -> tuple[int, ...]:
    """The seeds as a tuple."""
    return tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)


class Study(Section):
    """The values common to studies of every shape."""

    title: str = chosen(..., "Title of the study.")
    shape: str = chosen(..., "Rule that generates the arms.")
    preset: str | None = chosen(None, "Preset; null: demo for the phantom, cpu otherwise.")
    set: dict[str, Any] = chosen({}, "Values that override those of every arm, by dotted key.")
    seeds: SeedChoice = chosen(1, "Number of seeds (3), or a list ([0, 4]).")
    folds: tuple[Whole, ...] = chosen((0,), "Folds of the split.")
    external: dict[str, Path] = chosen(
        {}, "Name -> folder with another program's label maps, relative to this file."
    )
    reference: str | None = chosen(
        None, "Arm that all others are compared with; null: each is compared with its parent."
    )
    tune: dict[str, Any] | None = chosen(
        None,
        "Values to tune by a sweep of each arm: dotted key -> choices or {low, high, log}; also "
        "trials and other settings of the search.",
    )

    @field_validator("seeds", "folds")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        if not isinstance(value, int) and (not value or len(set(value)) < len(value)):
            raise PydanticCustomError("said", "expected at least one number, each only once")
        return value

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds as a tuple."""
        return seed_numbers(self.seeds)

    @property
    def tunes(self) -> bool:
        """Whether values of any arm are tuned on validation cases."""
        return self.tune is not None

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The arms as written in the file."""
        raise NotImplementedError


class Recipe(Section):
    """Settings that apply to all arms of a list."""

    set: dict[str, Any] = chosen({}, "Values that override those of every arm, by dotted key.")
    tune: dict[str, Any] | None = chosen(None, "Values to tune, as for a study.")


class Arms(Study):
    """A list of existing arms, as on the command line."""

    shape: Literal["arms"] = chosen(..., "A list of arms.")
    arms: tuple[str, ...] = chosen(..., "Names, ranges (A1..A9), or paths relative to this file.")
    recipes: dict[str, Recipe] = chosen(
        {}, "Name -> set and tune; every arm is trained with every recipe."
    )

    @property
    def tunes(self) -> bool:
        """Whether values are tuned by the study or by any of its recipes."""
        return self.tune is not None or any(each.tune for each in self.recipes.values())

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The arms as listed."""
        return self.arms


class LeaveOneOut(Study):
    """A full arm, and variants of it that each lack one block."""

    shape: Literal["leave_one_out"] = chosen(..., "The full arm, and the full arm minus one block.")
    full: str = chosen(..., "Arm with all blocks.")
    base: str | None = chosen(
        None, "Arm that provides the replacement of a removed block; null: the full arm's root."
    )
    slots: tuple[str, ...] | None = chosen(
        None, "Slots to reset; null: all that differ from the base."
    )

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The full arm, then the base if it is set."""
        return (self.full,) if self.base is None else (self.full, self.base)


class OneAtATime(Study):
    """A base arm, and variants of it that each change one value."""

    shape: Literal["one_at_a_time"] = chosen(..., "The base arm, and one arm per changed value.")
    base: str = chosen(..., "Arm to vary.")
    factors: dict[str, Any] = chosen(..., "Dotted key -> list of values; one arm per value.")

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The base arm."""
        return (self.base,)


class Factorial(Study):
    """An arm with every combination of the given values."""

    shape: Literal["factorial"] = chosen(..., "All combinations of the factors' values.")
    base: str = chosen(..., "Arm to vary.")
    factors: dict[str, Any] = chosen(
        ..., "Dotted key -> list of values; the first value is the reference."
    )

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The base arm."""
        return (self.base,)


SHAPES: Mapping[str, type[Study]] = {
    "arms": Arms,
    "leave_one_out": LeaveOneOut,
    "one_at_a_time": OneAtATime,
    "factorial": Factorial,
}


@dataclass(frozen=True)
class StudyFile:
    """A study's file.

    Attributes:
        config: The validated content.
        file: The parsed file, with the line of each value.
    """

    config: Study
    file: YamlFile


def is_study(path: Path) -> bool:
    """Whether a file describes a study; False for files that cannot be read."""
    try:
        return SHAPE in read_yaml(path).data
    except InputError:
        return False


def load_study(path: Path) -> StudyFile:
    """Reads a study. Keys and values are not compared with its arms yet.

    Raises:
        InputError: With every mistake in the file and its line.
    """
    file = read_yaml(path)
    place = places_in(file)
    shape = file.data[SHAPE]
    if not isinstance(shape, str) or shape not in SHAPES:
        said = f"{SHAPE}: unknown shape {shape!r}{nearest(str(shape), SHAPES)}"
        raise InputError(place((SHAPE,)).problem(said))
    config, problems = check(SHAPES[shape], file.data, place)
    problems += _factor_problems(file, least=2 if shape == "factorial" else 1)
    for tune in _tunes(file.data):
        problems += tune.problems(place)
    raise_all(problems)
    assert isinstance(config, Study)
    return StudyFile(config, file)


def _tunes(data: Mapping[str, Any]) -> Iterator[Tune]:
    """Every `tune` section of a file, even if the file has mistakes."""
    if isinstance(data.get("tune"), dict):
        yield as_tune(data["tune"])
    recipes = data.get("recipes")
    for name, recipe in recipes.items() if isinstance(recipes, dict) else ():
        if isinstance(recipe, dict) and isinstance(recipe.get("tune"), dict):
            yield as_tune(recipe["tune"], ("recipes", name, "tune"))


def _factor_problems(file: YamlFile, least: int) -> list[Problem]:
    place, factors = places_in(file), file.data.get("factors")
    if not isinstance(factors, dict):
        return []  # reported by the schema, if the shape has factors
    if not factors:
        return [place(("factors",)).problem("factors: expected at least one")]
    return [
        problem
        for key, entry in factors.items()
        for problem in choice_problems(entry, place, ("factors", key), least=least)
    ]

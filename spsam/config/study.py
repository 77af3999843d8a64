"""What a study's file may say: a shape, the arms it is made of, seeds and folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from spsam.config.choices import choice_problems
from spsam.config.fields import Section, Seeds, Whole, chosen
from spsam.config.problems import check, places_in, raise_all
from spsam.config.yaml_file import YamlFile, read_yaml
from spsam.errors import InputError, Problem, nearest

SHAPE = "shape"
"""The key that makes a file a study's, and no arm's."""

SeedChoice = Seeds | tuple[Whole, ...]
"""How many (3: 0, 1, 2), or which ([0, 4])."""


def seed_numbers(seeds: SeedChoice) -> tuple[int, ...]:
    """The seeds themselves."""
    return tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)


class Study(Section):
    """What studies of every shape say."""

    title: str = chosen(..., "The study in words.")
    shape: str = chosen(..., "How its arms are made.")
    preset: str | None = chosen(None, "Schedule; null: demo on the phantom, cpu elsewhere.")
    set: dict[str, Any] = chosen({}, "Values on top of every arm, by dotted key.")
    seeds: SeedChoice = chosen(1, "How many (3), or which ([0, 4]).")
    folds: tuple[Whole, ...] = chosen((0,), "Folds of the split.")

    @field_validator("seeds", "folds")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        if not isinstance(value, int) and (not value or len(set(value)) < len(value)):
            raise PydanticCustomError("said", "expected at least one number, each once")
        return value

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return seed_numbers(self.seeds)

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The arms that it names, in its own words."""
        raise NotImplementedError


class Arms(Study):
    """Arms that there are, as on the command line."""

    shape: Literal["arms"] = chosen(..., "A list of arms.")
    arms: tuple[str, ...] = chosen(..., "Names, ranges (A1..A9), paths beside this file.")

    @property
    def named_arms(self) -> tuple[str, ...]:
        """As they are listed."""
        return self.arms


class LeaveOneOut(Study):
    """A full arm, and the same without one block at a time."""

    shape: Literal["leave_one_out"] = chosen(..., "The full arm minus each block.")
    full: str = chosen(..., "The arm with all blocks.")
    base: str | None = chosen(
        None, "Whose component a slot goes back to; null: the root that the full arm starts from."
    )
    slots: tuple[str, ...] | None = chosen(None, "Which; null: all that differ from the base.")

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The full arm, then the base where one is named."""
        return (self.full,) if self.base is None else (self.full, self.base)


class OneAtATime(Study):
    """A base arm, and the same with one value changed at a time."""

    shape: Literal["one_at_a_time"] = chosen(..., "A base arm plus each variation.")
    base: str = chosen(..., "The arm that is varied.")
    factors: dict[str, Any] = chosen(..., "Dotted key -> values; each is an arm.")

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The arm that is varied."""
        return (self.base,)


class Factorial(Study):
    """An arm with every combination of chosen values."""

    shape: Literal["factorial"] = chosen(..., "The product of all factors.")
    base: str = chosen(..., "The arm that is varied.")
    factors: dict[str, Any] = chosen(..., "Dotted key -> values; the first is the reference.")

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The arm that is varied."""
        return (self.base,)


SHAPES: Mapping[str, type[Study]] = {
    "arms": Arms,
    "leave_one_out": LeaveOneOut,
    "one_at_a_time": OneAtATime,
    "factorial": Factorial,
}


@dataclass(frozen=True)
class StudyFile:
    """A study as it was read.

    Attributes:
        config: What it says.
        file: Where each value stands.
    """

    config: Study
    file: YamlFile


def is_study(path: Path) -> bool:
    """Whether a file is a study's; one that cannot be read is none, and others say why."""
    try:
        return SHAPE in read_yaml(path).data
    except InputError:
        return False


def load_study(path: Path) -> StudyFile:
    """Reads a study; keys and values of its arms are not compared with them yet.

    Raises:
        InputError: With every mistake of the file, each with its line.
    """
    file = read_yaml(path)
    place = places_in(file)
    shape = file.data[SHAPE]
    if not isinstance(shape, str) or shape not in SHAPES:
        said = f"{SHAPE}: unknown shape {shape!r}{nearest(str(shape), SHAPES)}"
        raise InputError(place((SHAPE,)).problem(said))
    config, problems = check(SHAPES[shape], file.data, place)
    problems += _factor_problems(file, least=2 if shape == "factorial" else 1)
    raise_all(problems)
    assert isinstance(config, Study)
    return StudyFile(config, file)


def _factor_problems(file: YamlFile, least: int) -> list[Problem]:
    place, factors = places_in(file), file.data.get("factors")
    if not isinstance(factors, dict):
        return []  # the schema says so, where the shape has any
    if not factors:
        return [place(("factors",)).problem("factors: expected at least one")]
    return [
        problem
        for key, entry in factors.items()
        for problem in choice_problems(entry, place, ("factors", key), least=least)
    ]

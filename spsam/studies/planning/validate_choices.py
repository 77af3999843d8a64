"""Tries values on an arm when a file is read, so that no mistake waits for its turn to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spsam.config.overrides import flag
from spsam.config.problems import Place, gather
from spsam.config.schema import ArmConfig
from spsam.config.yaml_file import YamlFile
from spsam.errors import Problem
from spsam.studies.planning.space import Dimension, as_numbers

Load = Callable[[Mapping[str, Any]], ArmConfig]


def validate_choices(
    space: Sequence[Dimension],
    places: Mapping[str, Place],
    section: str,
    load: Load,
    known: Sequence[Problem] = (),
) -> tuple[list[Dimension], list[Problem]]:
    """Tries every choice and both ends of every range.

    Args:
        space: Of `dimensions`.
        places: Where each key was written.
        section: Of the file that the keys stand in.
        load: The arm with some overrides, checked.
        known: Mistakes that the arm has without them, which are not said again.

    Returns:
        The space with numbers of the kinds that its settings have, and all mistakes.
    """
    checked, problems = [], []
    for dimension in space:
        said: dict[str, list[Any]] = {}
        for probe in dimension.probes():
            value = probe[dimension.path]
            tried: list[Problem] = []
            with gather(tried):
                arm = load(probe)
                if dimension.range is not None and value == dimension.range.low:
                    dimension = as_numbers(dimension, value_of(arm, dimension.path))  # noqa: PLW2901
            for problem in tried:
                if problem not in known:
                    said.setdefault(_bare(problem.message, dimension.path, value), []).append(value)
        for message, values in said.items():
            # What is wrong with the key itself is so with every value.
            which = f"with {values[0]!r}: " if len(values) == 1 else ""
            told = f"{section}.{dimension.key}: {which}{message}"
            problems.append(places[dimension.key].problem(told))
        checked.append(dimension)
    return checked, problems


def in_file(problem: Problem, file: YamlFile, arm: Sequence[str]) -> Problem:
    """A mistake of an arm, at the line of the file that makes it.

    Args:
        problem: Of loading the arm with the file's `set`.
        file: The sweep's or the study's.
        arm: Keys whose value names an arm.
    """
    for key, value in (file.data.get("set") or {}).items():
        if problem.message.startswith(flag(tuple(key.split(".")), value)):
            message = f"set.{key}: {_bare(problem.message, key, value)}"
            return Place(file.path, file.line(("set", key))).problem(message)
    for key in arm:
        name = file.data.get(key)
        if problem.file is None and problem.message.startswith(f"unknown arm '{name}'"):
            return Place(file.path, file.line((key,))).problem(f"{key}: {problem.message}")
    return problem


def value_of(arm: ArmConfig, path: str) -> Any:
    """What the schema made of a value; a slot's is the component's name."""
    keys = path.split(".")
    value: Any = arm.model_dump()
    if keys[0] == "blocks" and len(keys) > 1:
        blocks = arm.blocks.of(keys[1])
        if len(keys) == 2:
            return blocks[0].name if len(blocks) == 1 else [block.name for block in blocks]
        named = next((block for block in blocks if block.name == keys[2]), blocks[0])
        value, keys = named.params, keys[3 if len(keys) > 3 else 2 :]
    for key in keys:
        value = value[key]
    return value


def _bare(message: str, key: str, value: Any) -> str:
    """A message without the words that say where an override came from."""
    said = f"{flag(tuple(key.split('.')), value)}: "
    return message.removeprefix(said).removeprefix(f"{key}: ")

"""Validation of a space's values on an arm, so that errors are reported before any run."""

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
        space: The space, from `dimensions`.
        places: The place of each key in the file.
        section: The section of the file that contains the keys.
        load: Resolves the arm with overrides, and checks it.
        known: Problems of the arm without overrides, which are not reported again.

    Returns:
        The space, with ranges of integers or floats as the settings require, and all problems.
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
            # If every value fails with the same message, the key itself is wrong.
            which = f"with {values[0]!r}: " if len(values) == 1 else ""
            told = f"{section}.{dimension.key}: {which}{message}"
            problems.append(places[dimension.key].problem(told))
        checked.append(dimension)
    return checked, problems


def at_set(problem: Problem, file: YamlFile) -> Problem:
    """Adds to a problem caused by a file's `set` the line there; keeps other problems."""
    for key, value in (file.data.get("set") or {}).items():
        if problem.message.startswith(flag(tuple(key.split(".")), value)):
            message = f"set.{key}: {_bare(problem.message, key, value)}"
            return Place(file.path, file.line(("set", key))).problem(message)
    return problem


def value_of(arm: ArmConfig, path: str) -> Any:
    """Returns an arm's value at a dotted key, as the schema parsed it; of a slot, its names."""
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
    """Removes the prefix of a message that shows the origin of an override."""
    said = f"{flag(tuple(key.split('.')), value)}: "
    return message.removeprefix(said).removeprefix(f"{key}: ")

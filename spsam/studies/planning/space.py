"""Spaces of values for an arm: dotted keys with choices or ranges.

If a slot's component is itself a choice, the keys of its parameters contain the component's name:
`blocks.adapter.dfused.ratio` applies only if `blocks.adapter` is `dfused`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spsam.config.choices import Range
from spsam.config.problems import Place
from spsam.errors import Problem, nearest
from spsam.registry.checked_blocks import COMPONENTS

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Dimension:
    """One entry of a space.

    Attributes:
        key: The key in the file, which is also the parameter's name in a sweep.
        path: The dotted key that it overrides.
        choices: The choices of a list; None for a range.
        range: The range; None for a list.
        whole: Whether the values of a range are integers.
        needs: The key and the component of the slot on which it depends; None: always applies.
    """

    key: str
    path: str
    choices: tuple[Any, ...] | None = None
    range: Range | None = None
    whole: bool = True
    needs: tuple[str, str] | None = None

    def suggest(self, trial: BaseTrial) -> Any:
        """Suggests a value by an Optuna trial."""
        if self.choices is not None:
            labels = [label(choice) for choice in self.choices]
            picked = trial.suggest_categorical(self.key, labels)
            return self.choices[labels.index(picked)]
        assert self.range is not None
        low, high, step = self.range.low, self.range.high, self.range.step
        if self.whole:
            return trial.suggest_int(
                self.key, int(low), int(high), step=int(step or 1), log=self.range.log
            )
        return trial.suggest_float(self.key, low, high, step=step, log=self.range.log)

    def probes(self) -> Iterator[dict[str, Any]]:
        """Yields overrides that try every choice or both ends; the value to try is the last."""
        before = {} if self.needs is None else {self.needs[0]: self.needs[1]}
        if self.choices is not None:
            yield from ({**before, self.path: choice} for choice in self.choices)
        else:
            assert self.range is not None
            yield {**before, self.path: self.range.low}
            yield {**before, self.path: self.range.high}

    def holds(self, value: Any) -> bool:
        """Whether the dimension contains a value; a component is given by its name."""
        if self.choices is not None:
            return label(value) in [label(choice) for choice in self.choices]
        assert self.range is not None
        if not isinstance(value, int | float) or not self.range.low <= value <= self.range.high:
            return False
        steps = (value - self.range.low) / (self.range.step or 1)
        return self.range.step is None or abs(steps - round(steps)) < 1e-9

    def named(self, value: Any) -> Any:
        """Returns Optuna's representation of a value of this dimension."""
        return value if self.choices is None else label(value)

    def describe(self) -> dict[str, Any]:
        """Returns plain values, which are equal for equal dimensions."""
        if self.choices is not None:
            return {"choices": list(self.choices)}
        assert self.range is not None
        return {**self.range.model_dump(), "whole": self.whole}


def dimensions(
    space: Mapping[str, Any],
    fixed: Mapping[str, Any],
    place: Mapping[str, Place],
    section: str = "space",
) -> tuple[list[Dimension], list[Problem]]:
    """Parses a space.

    Args:
        space: Dotted key -> choices or a range, already validated by the schema.
        fixed: Values that are set for all arms, by dotted key.
        place: The place of each key in the file.
        section: The section of the file that contains the keys.

    Returns:
        The dimensions, slots first, since others may depend on their choice; and all problems.
    """
    chosen = {key: _names(entry) for key, entry in space.items() if _is_slot(key)}
    found: list[Dimension] = []
    problems: list[Problem] = []
    for key in sorted(space, key=lambda key: not _is_slot(key)):
        path, needs, wrong = _meaning(key, chosen)
        if key.split(".")[0] == COMPONENTS:
            wrong = _in_blocks(key)
        elif wrong is None and path in fixed:
            wrong = "is also fixed by 'set' or --set; remove one of them"
        if wrong is not None:
            problems.append(place[key].problem(f"{section}.{key}: {wrong}"))
            continue
        entry = space[key]
        if isinstance(entry, Mapping):
            found.append(Dimension(key, path, range=Range(**entry), needs=needs))
        else:
            found.append(Dimension(key, path, choices=tuple(entry), needs=needs))
    return found, problems


def as_numbers(dimension: Dimension, accepted: Any) -> Dimension:
    """Returns the dimension with integers or floats, as its setting requires.

    Args:
        dimension: The parsed dimension.
        accepted: Its lowest value as parsed by the schema: `1` for a ratio becomes `1.0`.
    """
    return replace(dimension, whole=isinstance(accepted, int)) if dimension.range else dimension


def suggest(space: Sequence[Dimension], trial: BaseTrial) -> dict[str, Any]:
    """Suggests a trial's overrides, by dotted key."""
    values: dict[str, Any] = {}
    for dimension in space:
        if dimension.needs is not None:
            slot, component = dimension.needs
            if component_name(values.get(slot)) != component:
                continue
        values[dimension.path] = dimension.suggest(trial)
    return values


def overrides(space: Sequence[Dimension], params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the overrides that correspond to the parameters of a finished trial."""
    values = {}
    for dimension in space:
        if dimension.key in params:
            value = params[dimension.key]
            if dimension.choices is not None:
                labels = [label(choice) for choice in dimension.choices]
                value = dimension.choices[labels.index(value)]
            values[dimension.path] = value
    return values


def _meaning(
    key: str, chosen: Mapping[str, Sequence[str]]
) -> tuple[str, tuple[str, str] | None, str | None]:
    """Returns the key's override path, the component that it needs, and what is wrong with it."""
    parts = key.split(".")
    slot = ".".join(parts[:2])
    if parts[0] != "blocks" or len(parts) <= 2:
        return key, None, None
    names = chosen.get(slot)
    if names is None:
        if len(parts) == 3:
            return key, None, None
        return (
            key,
            None,
            (
                f"no key here chooses the {parts[1]}: write {slot}.{parts[-1]} for the arm's own, "
                f"or add {slot} with a list of components"
            ),
        )
    if len(parts) == 3:
        first = names[0] if names else "NAME"
        return (
            key,
            None,
            (
                f"the {parts[1]} is itself a choice, and each has its own parameters: add the "
                f"component's name to the key, such as {slot}.{first}.{parts[2]}"
            ),
        )
    if parts[2] not in names:
        return key, None, f"{slot} has no choice '{parts[2]}'{nearest(parts[2], names)}"
    return ".".join([slot, *parts[3:]]), (slot, parts[2]), None


def _in_blocks(key: str) -> str:
    """Returns the keys to write instead of one of a preset's `components`."""
    parts = key.split(".")
    slot, name, parameter = (*parts[1:4], *("SLOT", "NAME", "PARAMETER")[len(parts) - 1 :])
    return (
        f"'{COMPONENTS}' is a section of presets: write blocks.{slot}.{parameter} for the arm's "
        f"own component, or blocks.{slot}.{name}.{parameter} beside a list of components in "
        f"blocks.{slot}"
    )


def _is_slot(key: str) -> bool:
    return key.startswith("blocks.") and key.count(".") == 1


def _names(entry: Any) -> list[str]:
    return [component_name(item) for item in entry] if isinstance(entry, list | tuple) else []


def component_name(choice: Any) -> str:
    """Returns the name of a slot's choice; the names of several components are joined by `+`."""
    if isinstance(choice, list | tuple):
        return "+".join(component_name(item) for item in choice)
    return str(choice.get("name")) if isinstance(choice, Mapping) else str(choice)


def label(choice: Any) -> str | int | float | bool | None:
    """Returns Optuna's representation of a choice: JSON for lists and mappings, else the value."""
    if choice is None or isinstance(choice, str | int | float | bool):
        return choice
    return json.dumps(choice, sort_keys=True)

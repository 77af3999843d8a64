"""What may vary in an arm: dotted keys with choices or ranges, checked by trying them.

A parameter of a component that may or may not be chosen has the component's name in its key:
`blocks.adapter.dfused.ratio` means something only where `blocks.adapter` came out as `dfused`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spsam.config.choices import Range
from spsam.config.problems import Place
from spsam.errors import Problem, nearest

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Dimension:
    """One entry of a space.

    Attributes:
        key: As it was written; a sweep's name of it.
        path: The dotted key that it overrides.
        choices: What a list named; None of a range.
        range: The numbers; None of a list.
        whole: Whether a range's numbers are whole.
        needs: Slot's key and component without which it means nothing; None: always meant.
    """

    key: str
    path: str
    choices: tuple[Any, ...] | None = None
    range: Range | None = None
    whole: bool = True
    needs: tuple[str, str] | None = None

    def suggest(self, trial: BaseTrial) -> Any:
        """A value from Optuna."""
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
        """Overrides that try every choice, or both ends; the value in question is the last."""
        before = {} if self.needs is None else {self.needs[0]: self.needs[1]}
        if self.choices is not None:
            yield from ({**before, self.path: choice} for choice in self.choices)
        else:
            assert self.range is not None
            yield {**before, self.path: self.range.low}
            yield {**before, self.path: self.range.high}

    def holds(self, value: Any) -> bool:
        """Whether a value may come out; a component by its name."""
        if self.choices is not None:
            return label(value) in [label(choice) for choice in self.choices]
        assert self.range is not None
        if not isinstance(value, int | float) or not self.range.low <= value <= self.range.high:
            return False
        steps = (value - self.range.low) / (self.range.step or 1)
        return self.range.step is None or abs(steps - round(steps)) < 1e-9

    def named(self, value: Any) -> Any:
        """What Optuna calls a value that the dimension holds."""
        return value if self.choices is None else label(value)

    def describe(self) -> dict[str, Any]:
        """Plain values that are equal for equal dimensions."""
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
    """Reads a space.

    Args:
        space: Dotted key -> choices or a range, already well formed.
        fixed: What is set everywhere, by dotted key.
        place: Where each key was written.
        section: Of the file that they stand in.

    Returns:
        Slots first, since other dimensions may need their choice; and all mistakes.
    """
    chosen = {key: _names(entry) for key, entry in space.items() if _is_slot(key)}
    found: list[Dimension] = []
    problems: list[Problem] = []
    for key in sorted(space, key=lambda key: not _is_slot(key)):
        path, needs, wrong = _meaning(key, chosen)
        if wrong is None and path in fixed:
            wrong = "is fixed by 'set' or --set too: take one of them out"
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
    """The dimension with numbers of the kind that its setting has.

    Args:
        dimension: As it was read.
        accepted: Its lowest value as the schema understood it: `1` for a ratio is `1.0`.
    """
    return replace(dimension, whole=isinstance(accepted, int)) if dimension.range else dimension


def suggest(space: Sequence[Dimension], trial: BaseTrial) -> dict[str, Any]:
    """A trial's overrides, by dotted key."""
    values: dict[str, Any] = {}
    for dimension in space:
        if dimension.needs is not None:
            slot, component = dimension.needs
            if component_name(values.get(slot)) != component:
                continue
        values[dimension.path] = dimension.suggest(trial)
    return values


def overrides(space: Sequence[Dimension], params: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that a finished trial's parameters stand for."""
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
    """The key's override path, what it needs, and what is wrong with it."""
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
                f"nothing here chooses the {parts[1]}: write {slot}.{parts[-1]} for the arm's own, "
                f"or give {slot} a list of components"
            ),
        )
    if len(parts) == 3:
        first = names[0] if names else "NAME"
        return (
            key,
            None,
            (
                f"the {parts[1]} is chosen, and parameters belong to one: write the "
                f"component too, such as {slot}.{first}.{parts[2]}"
            ),
        )
    if parts[2] not in names:
        return key, None, f"{slot} has no choice '{parts[2]}'{nearest(parts[2], names)}"
    return ".".join([slot, *parts[3:]]), (slot, parts[2]), None


def _is_slot(key: str) -> bool:
    return key.startswith("blocks.") and key.count(".") == 1


def _names(entry: Any) -> list[str]:
    return [component_name(item) for item in entry] if isinstance(entry, list | tuple) else []


def component_name(choice: Any) -> str:
    """What a choice of a slot's component is called; of several their names, joined by +."""
    if isinstance(choice, list | tuple):
        return "+".join(component_name(item) for item in choice)
    return str(choice.get("name")) if isinstance(choice, Mapping) else str(choice)


def label(choice: Any) -> str | int | float | bool | None:
    """What Optuna keeps of a choice: itself, or JSON of a list or a mapping."""
    if choice is None or isinstance(choice, str | int | float | bool):
        return choice
    return json.dumps(choice, sort_keys=True)

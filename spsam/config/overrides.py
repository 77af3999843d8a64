"""Values from the command line or Python that override all files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spsam.config.problems import dotted
from spsam.config.yaml_file import read_value
from spsam.errors import InputError, Problem, shortened


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
    """Parses the values of `--set`.

    Args:
        items: Texts such as `train.optimizer.lr=1e-3`; the last value of a repeated key counts.

    Returns:
        Dotted key -> value, the input of `compose`.

    Raises:
        InputError: With every text that is not `key=value` or whose value is not valid YAML.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for item in items:
        key, equals, text = item.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            problems.append(
                Problem(f"--set {shortened(item)}: expected key=value, e.g. --set train.epochs=20")
            )
            continue
        try:
            value = read_value(text, f"--set {shortened(item)}: the value")
        except InputError as error:
            problems.extend(error.problems)
            continue
        values.pop(key, None)  # keys are in the order of their last occurrence
        values[key] = value
    if problems:
        raise InputError(problems)
    return values


def leaves(
    overrides: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The individual values of dotted keys and nested mappings, in order."""
    for key, value in overrides.items():
        path = (*above, *str(key).split("."))
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def flag(path: tuple[str, ...], value: Any) -> str:
    """The option that sets a value: `--set train.epochs=2`."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"--set {shortened(dotted(path), 200)}={shortened(text, 200)}"

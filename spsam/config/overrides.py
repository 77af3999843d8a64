"""Values given on the command line or in Python, on top of all files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spsam.config.problems import dotted
from spsam.config.yaml_file import read_value
from spsam.errors import InputError, Problem, shortened


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
    """Reads `--set` arguments.

    Args:
        items: Texts such as `train.optimizer.lr=1e-3`; of a key given twice, the last counts.

    Returns:
        Dotted key -> value, as `compose` takes them.

    Raises:
        InputError: If a text is not `key=value` or its value no YAML; all mistakes at once.
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
        values.pop(key, None)  # the order is that of the last mention
        values[key] = value
    if problems:
        raise InputError(problems)
    return values


def leaves(
    overrides: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The single values of dotted keys and nested mappings, in order."""
    for key, value in overrides.items():
        path = (*above, *str(key).split("."))
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def flag(path: tuple[str, ...], value: Any) -> str:
    """How a value is given on the command line: `--set train.epochs=2`."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"--set {shortened(dotted(path), 200)}={shortened(text, 200)}"

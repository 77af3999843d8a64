"""Candidate values of a dotted key: a list of choices, or a range of numbers."""

from __future__ import annotations

import json
from typing import Any

from pydantic import model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from spsam.config.fields import Section, chosen
from spsam.config.problems import PlaceOf, check, dotted
from spsam.config.yaml_file import KeyPath
from spsam.errors import Problem


class Range(Section):
    """Numbers from `low` to `high`, both included."""

    low: int | float = chosen(..., "Minimum value.")
    high: int | float = chosen(..., "Maximum value.")
    step: int | float | None = chosen(
        None, "Distance between values; null: continuous (1 for whole numbers)."
    )
    log: bool = chosen(False, "Sample on a logarithmic scale.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        wrong = None
        if self.low >= self.high:
            wrong = f"expected low below high, got {self.low} and {self.high}"
        elif self.log and self.low <= 0:
            wrong = f"expected low above 0, since log is true, got {self.low}"
        elif self.log and self.step is not None:
            wrong = "expected log or step, got both"
        elif self.step is not None and self.step <= 0:
            wrong = f"expected a step above 0, got {self.step}"
        if wrong:
            raise PydanticCustomError("said", "{wrong}", {"wrong": wrong})
        return self


def choice_or_range_problems(entry: Any, place: PlaceOf, path: KeyPath) -> list[Problem]:
    """Checks an entry that is either a list of choices or a range.

    Args:
        entry: The entry.
        place: Maps a key path to its place in the file.
        path: Key path of the entry.

    Returns:
        All mistakes in the entry.
    """
    if isinstance(entry, dict):
        return check(Range, entry, place, path)[1]
    return choice_problems(entry, place, path, words="a list of choices or {low: ..., high: ...}")


def choice_problems(
    entry: Any, place: PlaceOf, path: KeyPath, *, least: int = 2, words: str = "a list of values"
) -> list[Problem]:
    """Checks a list of choices.

    Args:
        entry: The entry.
        place: Maps a key path to its place in the file.
        path: Key path of the entry.
        least: Minimum number of choices.
        words: The expected kind of entry, for messages.

    Returns:
        All mistakes in the entry.
    """
    key = dotted(path)
    if not isinstance(entry, list):
        got = json.dumps(entry, default=str)
        return [place(path).problem(f"{key}: expected {words}, got {got}")]
    labels = [json.dumps(item, sort_keys=True, default=str) for item in entry]
    if len(labels) < least:
        said = f"{key}: expected at least {'two choices' if least > 1 else 'one value'}"
        said += "; put constant values under 'set'" if least > 1 else ""
        return [place(path).problem(said)]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    return [place(path).problem(f"{key}: contains {label} twice") for label in twice]

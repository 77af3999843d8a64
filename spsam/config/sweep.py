"""What a sweep may say: its space, what it looks for, and how it searches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from spsam.config.fields import Count, Section, chosen
from spsam.config.problems import check, places_in, raise_all
from spsam.config.schema import Block
from spsam.config.yaml_file import KeyPath, YamlFile, read_yaml
from spsam.errors import Problem

Objective = Literal["dice", "trained_parameters", "step_seconds"]


class Range(Section):
    """Numbers from `low` to `high`, both included."""

    low: int | float = chosen(..., "The smallest value.")
    high: int | float = chosen(..., "The largest value.")
    step: int | float | None = chosen(None, "Distance of two values; null: any (whole: 1).")
    log: bool = chosen(False, "Search by orders of magnitude.")

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


class SweepConfig(Section):
    """A search for better values of one arm.

    Nothing here looks at test cases: trials train on the split's training cases and are scored
    on its validation cases.
    """

    title: str = chosen(..., "The sweep in a caption.")
    arm: str = chosen(..., "The arm that every trial is a change of.")
    preset: str | None = chosen(None, "Schedule; null: demo on the phantom, cpu elsewhere.")
    set: dict[str, Any] = chosen({}, "Values of every trial, by dotted key.")
    space: dict[str, Any] = chosen(..., "Dotted key -> a list of choices, or {low, high, ...}.")
    objectives: tuple[Objective, ...] = chosen(
        ("dice",), "dice is maximised, trained_parameters and step_seconds are minimised."
    )
    sampler: Block = chosen(Block(name="tpe"), "Who suggests values.")
    pruner: Block = chosen(Block(name="none"), "Who stops a trial that does badly.")
    prune_by: Literal["dice", "loss"] = chosen(
        "dice", "What a pruner sees: Dice of the validation cases, or the training loss."
    )
    prune_every: Count = chosen(5, "Epochs between two looks.")
    trials: Count = chosen(30, "Trials in all.")
    seed: int = chosen(0, "Of every trial's run.")

    @field_validator("space", "objectives")
    @classmethod
    def _says_something(cls, value: Any) -> Any:
        if not value:
            raise PydanticCustomError("said", "expected at least one entry")
        if len(set(value)) < len(value):
            raise PydanticCustomError("said", "names one of them twice")
        return value

    @model_validator(mode="after")
    def _prunes_one_objective(self) -> Self:
        if self.pruner.name != "none" and len(self.objectives) > 1:
            raise PydanticCustomError(
                "said",
                "pruner '{name}': expected none, since a trial with several objectives cannot be "
                "called worse half-way",
                {"name": self.pruner.name},
            )
        return self


def load_sweep(path: Path) -> tuple[SweepConfig, YamlFile]:
    """Reads a sweep; its space's keys and values are not compared with the arm yet.

    Raises:
        InputError: With every mistake of the file, each with its line.
    """
    file = read_yaml(path)
    place = places_in(file)
    config, problems = check(SweepConfig, file.data, place)
    space = file.data.get("space")
    for key, entry in space.items() if isinstance(space, dict) else ():
        problems += _entry_problems(entry, place, ("space", key))
    raise_all(problems)
    assert isinstance(config, SweepConfig)
    return config, file


def _entry_problems(entry: Any, place: Any, path: KeyPath) -> list[Problem]:
    if isinstance(entry, dict):
        return check(Range, entry, place, path)[1]
    if not isinstance(entry, list):
        said = f"{path[0]}.{path[1]}: expected a list of choices or {{low: ..., high: ...}}"
        return [place(path).problem(f"{said}, got {json.dumps(entry, default=str)}")]
    labels = [json.dumps(item, sort_keys=True, default=str) for item in entry]
    if len(labels) < 2:
        said = f"{path[0]}.{path[1]}: expected at least two choices; what never changes belongs"
        return [place(path).problem(f"{said} under 'set'")]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    return [place(path).problem(f"{path[0]}.{path[1]}: names {label} twice") for label in twice]

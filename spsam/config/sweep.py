"""What a sweep may say: its space, what it looks for, and how it searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from spsam.config.choices import choice_or_range_problems
from spsam.config.fields import Count, Section, Whole, chosen
from spsam.config.problems import check, places_in, raise_all
from spsam.config.schema import Block
from spsam.config.yaml_file import YamlFile, read_yaml

Objective = Literal["dice", "trained_parameters", "step_seconds"]


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
    seed: Whole = chosen(0, "Of every trial's run.")

    @field_validator("space", "objectives")
    @classmethod
    def _says_something(cls, value: Any) -> Any:
        if not value:
            raise PydanticCustomError("said", "expected at least one entry")
        if len(set(value)) < len(value):
            raise PydanticCustomError("said", "names one of them twice")
        return value

    @model_validator(mode="after")
    def _searches_by_one_objective(self) -> Self:
        if self.sampler.name == "cmaes" and len(self.objectives) > 1:
            raise PydanticCustomError(
                "said", "sampler 'cmaes': expected one objective; nsga2 and tpe take several"
            )
        return self

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
        problems += choice_or_range_problems(entry, place, ("space", key))
    raise_all(problems)
    assert isinstance(config, SweepConfig)
    return config, file

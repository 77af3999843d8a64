"""The schema of sweeps: the search space, the objectives and the search."""

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
    """A hyperparameter search for one arm.

    Trials are trained on the split's training cases and scored on its validation cases. Test cases
    are never used.
    """

    title: str = chosen(..., "Title of the sweep in captions.")
    arm: str = chosen(..., "Arm to optimise; trials are variants of it.")
    preset: str | None = chosen(None, "Preset; null: demo for the phantom, cpu otherwise.")
    set: dict[str, Any] = chosen({}, "Values fixed in every trial, by dotted key.")
    space: dict[str, Any] = chosen(
        ..., "Search space: dotted key -> list of choices, or {low, high, ...}."
    )
    objectives: tuple[Objective, ...] = chosen(
        ("dice",), "Objectives; dice is maximised, trained_parameters and step_seconds minimised."
    )
    sampler: Block = chosen(Block(name="tpe"), "Sampler that suggests values.")
    pruner: Block = chosen(Block(name="none"), "Pruner that stops unpromising trials early.")
    prune_by: Literal["dice", "loss"] = chosen(
        "dice", "Pruning criterion: Dice on the validation cases, or the training loss."
    )
    prune_every: Count = chosen(5, "Epochs between pruning decisions.")
    trials: Count = chosen(30, "Total number of trials.")
    seed: Whole = chosen(0, "Seed of every trial's run.")

    @field_validator("space", "objectives")
    @classmethod
    def _says_something(cls, value: Any) -> Any:
        if not value:
            raise PydanticCustomError("said", "expected at least one entry")
        if len(set(value)) < len(value):
            raise PydanticCustomError("said", "contains an entry twice")
        return value

    @model_validator(mode="after")
    def _searches_by_one_objective(self) -> Self:
        if self.sampler.name == "cmaes" and len(self.objectives) > 1:
            raise PydanticCustomError(
                "said", "sampler 'cmaes': expected one objective; nsga2 and tpe support several"
            )
        return self

    @model_validator(mode="after")
    def _prunes_one_objective(self) -> Self:
        if self.pruner.name != "none" and len(self.objectives) > 1:
            raise PydanticCustomError(
                "said",
                "pruner '{name}': expected none, since intermediate results cannot be ranked by "
                "several objectives",
                {"name": self.pruner.name},
            )
        return self


def load_sweep(path: Path) -> tuple[SweepConfig, YamlFile]:
    """Reads a sweep. Keys and values of its space are not compared with the arm yet.

    Raises:
        InputError: With every mistake in the file and its line.
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

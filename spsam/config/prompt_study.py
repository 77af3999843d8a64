"""The schema of prompt studies."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from spsam.config.fields import Fraction, NotNegative, Positive, Section, chosen
from spsam.config.schema import Block
from spsam.config.study import SeedChoice, seed_numbers

SOURCES = ("ground_truth", "auxiliary", "disturbed")


class Disturbance(Section):
    """A disturbance of ground-truth prompts; several amounts can be combined."""

    name: Annotated[str, Field(min_length=1)] = chosen(..., "Name in tables.")
    box_jitter: NotNegative = chosen(
        0.0, "Maximum shift of each side of a box, as a fraction of its width (height)."
    )
    erode: NotNegative = chosen(0.0, "Distance by which every class is eroded, pixels.")
    dilate: NotNegative = chosen(0.0, "Distance by which every class is dilated, pixels.")
    point_shift: NotNegative = chosen(
        0.0, "Distance by which a point is moved in a random direction, pixels."
    )
    drop: Fraction = chosen(0.0, "Probability that a class has no prompt in a slice.")

    @field_validator("drop")
    @classmethod
    def _does_something(cls, value: float, info: Any) -> float:
        amounts = [amount for key, amount in info.data.items() if key != "name"]
        # Fields with errors of their own are missing here; the errors are reported elsewhere.
        if not any([value, *amounts]) and len(amounts) == 4:
            raise PydanticCustomError("said", "expected at least one amount above 0")
        return value

    def felt_by(self, use: tuple[str, ...]) -> bool:
        """Whether the disturbance changes prompts of these kinds."""
        if self.erode or self.dilate or self.drop:
            return True
        return bool((self.box_jitter and "box" in use) or (self.point_shift and "point" in use))

    def is_random(self, use: tuple[str, ...]) -> bool:
        """Whether the disturbed prompts of these kinds depend on the seed."""
        return bool(
            self.drop or (self.box_jitter and "box" in use) or (self.point_shift and "point" in use)
        )


class MaskPrompt(Section):
    """A form of the mask prompt: `binary`, or `{name: binary, values: [-10, 10]}`."""

    name: str = chosen(..., "binary, logits or log_odds.")
    values: tuple[float, float] | None = chosen(
        None, "Values outside and inside a binary mask; null: those of the component."
    )

    @model_validator(mode="before")
    @classmethod
    def _a_word_is_a_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        # After this validator, values no longer count as JSON, where a list may be a tuple.
        if isinstance(value, dict) and isinstance(value.get("values"), list):
            return {**value, "values": tuple(value["values"])}
        return value


class PromptStudyConfig(Section):
    """The axes of a prompt study, and its network if no run is given."""

    title: str = chosen(..., "Title of the study in captions.")
    prompts: tuple[str, ...] = chosen(..., "Combinations of point, box and mask, joined by +.")
    point: tuple[Block, ...] | None = chosen(
        None, "Point strategies; null: every component of the slot."
    )
    source: tuple[str, ...] | None = chosen(
        None, "Sources of prompts; null: all that are available."
    )
    disturbances: tuple[Disturbance, ...] = chosen(
        (), "Disturbances applied by the source `disturbed`."
    )
    seeds: SeedChoice = chosen(1, "Number of random draws (3), or their seeds ([0, 4]).")
    mask: tuple[MaskPrompt, ...] | None = chosen(
        None, "Mask forms; null: all, or the one used by the run."
    )
    mask_logit: Positive = chosen(10.0, "Logit inside a class of the ground truth.")
    arm: str = chosen(..., "Arm without adapters, for plain SAM.")
    preset: str = chosen(..., "Preset applied to the arm.")
    set: dict[str, Any] = chosen({}, "Values that override those of the arm, by dotted key.")

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds as a tuple."""
        return seed_numbers(self.seeds)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        if not isinstance(value, int) and (not value or len(set(value)) < len(value)):
            raise PydanticCustomError("said", "expected at least one number, each only once")
        return value

    @field_validator("mask", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        if isinstance(value, str | dict):
            return (value,)
        return tuple(value) if isinstance(value, list) else value

    @field_validator("disturbances")
    @classmethod
    def _each_name_once(cls, value: tuple[Disturbance, ...]) -> tuple[Disturbance, ...]:
        names = [disturbance.name for disturbance in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PydanticCustomError("said", "contains '{name}' twice", {"name": twice[0]})
        return value

"""What a study of prompts may say."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from spsam.config.fields import Fraction, NotNegative, Positive, Section, chosen
from spsam.config.schema import Block
from spsam.config.study import SeedChoice, seed_numbers

SOURCES = ("ground_truth", "auxiliary", "disturbed")


class Disturbance(Section):
    """How prompts of the ground truth are made worse; several amounts may be given at once."""

    name: Annotated[str, Field(min_length=1)] = chosen(..., "What it is called in tables.")
    box_jitter: NotNegative = chosen(
        0.0, "Every side of a box moves by up to so many widths (heights) of the box."
    )
    erode: NotNegative = chosen(0.0, "Every class loses what is so near its border, pixels.")
    dilate: NotNegative = chosen(0.0, "Every class grows into the background, pixels.")
    point_shift: NotNegative = chosen(0.0, "A point moves so far in a random direction, pixels.")
    drop: Fraction = chosen(0.0, "Probability that a class has no prompt in a slice.")

    @field_validator("drop")
    @classmethod
    def _does_something(cls, value: float, info: Any) -> float:
        amounts = [amount for key, amount in info.data.items() if key != "name"]
        # Fields with mistakes of their own are missing, and said elsewhere.
        if not any([value, *amounts]) and len(amounts) == 4:
            raise PydanticCustomError("said", "expected at least one amount above 0")
        return value

    def felt_by(self, use: tuple[str, ...]) -> bool:
        """Whether prompts of these kinds differ from undisturbed ones."""
        if self.erode or self.dilate or self.drop:
            return True
        return bool((self.box_jitter and "box" in use) or (self.point_shift and "point" in use))

    def is_random(self, use: tuple[str, ...]) -> bool:
        """Whether another seed gives other prompts of these kinds."""
        return bool(
            self.drop or (self.box_jitter and "box" in use) or (self.point_shift and "point" in use)
        )


class MaskPrompt(Section):
    """A form of the mask prompt: `binary`, or `{name: binary, values: [-10, 10]}`."""

    name: str = chosen(..., "binary, logits or log_odds.")
    values: tuple[float, float] | None = chosen(
        None, "Outside and inside a binary mask; null: the component's."
    )

    @model_validator(mode="before")
    @classmethod
    def _a_word_is_a_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        # What a validator hands on is no longer YAML, whose lists are taken for tuples.
        if isinstance(value, dict) and isinstance(value.get("values"), list):
            return {**value, "values": tuple(value["values"])}
        return value


class PromptStudyConfig(Section):
    """The axes of a study, and the network where no run is given."""

    title: str = chosen(..., "The study in a table's caption.")
    prompts: tuple[str, ...] = chosen(..., "Subsets of point, box and mask, joined by +.")
    point: tuple[Block, ...] | None = chosen(
        None, "How the point is chosen; null: every component of the slot."
    )
    source: tuple[str, ...] | None = chosen(
        None, "Where prompts come from; null: wherever it is possible."
    )
    disturbances: tuple[Disturbance, ...] = chosen((), "What `disturbed` stands for.")
    seeds: SeedChoice = chosen(1, "Draws of what is random: how many (3), or which ([0, 4]).")
    mask: tuple[MaskPrompt, ...] | None = chosen(
        None, "Forms of the mask prompt; null: every form, of a run its own."
    )
    mask_logit: Positive = chosen(10.0, "Logit inside a class of the ground truth.")
    arm: str = chosen(..., "Plain SAM: an arm without adapters.")
    preset: str = chosen(..., "The preset laid over it.")
    set: dict[str, Any] = chosen({}, "Values on top of it, by dotted key.")

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return seed_numbers(self.seeds)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        if not isinstance(value, int) and (not value or len(set(value)) < len(value)):
            raise PydanticCustomError("said", "expected at least one number, each once")
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
            raise PydanticCustomError("said", "names '{name}' twice", {"name": twice[0]})
        return value

"""Declarations of configuration values with their source: `paper`, `author`, `chosen`.

The source is stored in a field's `json_schema_extra`, its meaning in `description`. The fidelity
ledger is generated from these declarations.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spsam.config.numbers import LARGEST, MOST_LISTED

Source = Literal["P", "A", "C"]

Whole = Annotated[int, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Seeds = Annotated[int, Field(ge=1, le=MOST_LISTED)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Times = Annotated[str, Field(pattern=r"^[1-9][0-9]?x$", title="a multiple such as 2x")]
"""A whole factor, such as `2x`."""


class Section(BaseModel):
    """A section of a configuration: frozen, and unknown keys are rejected."""

    # Defaults are validated as well: a default may contradict another value.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def paper(default: Any, meaning: str) -> Any:
    """A value that the paper states. The default `...` marks a required value."""
    return _field(default, meaning, "P")


def author(default: Any, meaning: str) -> Any:
    """A value from the author's other code, the design it is derived from, or nnU-Net."""
    return _field(default, meaning, "A")


def chosen(default: Any, meaning: str) -> Any:
    """A value chosen here, because no publication specifies it."""
    return _field(default, meaning, "C")


def _field(default: Any, meaning: str, source: Source) -> Any:
    return Field(default, description=meaning, json_schema_extra={"source": source})

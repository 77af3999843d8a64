"""Declarations of configuration values with their source: `paper`, `author`, `chosen`.

The source goes into a field's `json_schema_extra`, its meaning into `description`: the fidelity
ledger is generated from what the code reads.
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


class Section(BaseModel):
    """A part of a configuration: frozen, and no key is let through unread."""

    # Defaults too: a default may contradict what was written beside it.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def paper(default: Any, meaning: str) -> Any:
    """A value that the paper states. `...` as default: it must be given."""
    return _field(default, meaning, "P")


def author(default: Any, meaning: str) -> Any:
    """A value from the author's other code, its parent design or nnU-Net."""
    return _field(default, meaning, "A")


def chosen(default: Any, meaning: str) -> Any:
    """A value chosen here, because nothing published settles it."""
    return _field(default, meaning, "C")


def _field(default: Any, meaning: str, source: Source) -> Any:
    return Field(default, description=meaning, json_schema_extra={"source": source})

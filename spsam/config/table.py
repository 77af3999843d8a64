"""The schema of custom tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from spsam.config.fields import Section, chosen
from spsam.config.problems import check, places_in, raise_all
from spsam.config.yaml_file import YamlFile, read_yaml


class Filters(Section):
    """Filters of the scores; null: no filter."""

    arm: tuple[str, ...] | None = chosen(None, "Names of arms, in the order of the table.")
    seed: tuple[int, ...] | None = chosen(None, "Seeds.")
    case: tuple[str, ...] | None = chosen(None, "Ids of cases.")
    patient: tuple[str, ...] | None = chosen(None, "Ids of patients.")
    classes: tuple[str, ...] | None = chosen(None, "Names of classes.")


class TableConfig(Section):
    """A custom table of one study."""

    title: Annotated[str, Field(min_length=1)] = chosen(..., "First part of the caption.")
    rows: Literal["arm", "seed", "case", "patient", "class"] = chosen("arm", "Meaning of a row.")
    metric: Literal["dice", "hd95"] = chosen("dice", "Metric, unless rows are arms.")
    columns: tuple[str, ...] | None = chosen(
        None, "Columns of the ablation table if rows are arms, else names of arms. null: all."
    )
    filters: Filters = chosen(Filters(), "Filters of the scores.")
    groups: dict[str, tuple[str, ...]] | None = chosen(
        None, "Title -> names of rows; rows without a group come last."
    )

    @field_validator("groups")
    @classmethod
    def _each_row_once(
        cls, value: dict[str, tuple[str, ...]] | None
    ) -> dict[str, tuple[str, ...]] | None:
        rows = [row for group in (value or {}).values() for row in group]
        twice = sorted({row for row in rows if rows.count(row) > 1})
        if twice:
            raise PydanticCustomError("said", "row '{name}' is in two groups", {"name": twice[0]})
        return value


def load_table(path: Path) -> tuple[TableConfig, YamlFile]:
    """Reads a custom table.

    Raises:
        InputError: With every mistake in the file and its line.
    """
    file = read_yaml(path)
    table, problems = check(TableConfig, file.data, places_in(file))
    raise_all(problems)
    assert isinstance(table, TableConfig)
    return table, file

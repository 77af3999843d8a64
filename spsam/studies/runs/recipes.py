"""Recipes and scores of trained runs, read from their folders or from an exported model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.errors import InputError, Problem
from spsam.results.rows import Row, read_rows
from spsam.results.run_folder import RunFolder
from spsam.studies.runs.reference import MODEL

if TYPE_CHECKING:
    from spsam.engine.recipe import Recipe


def is_model(file: Path) -> bool:
    """Whether a file is an exported model, judging by its name."""
    return file.suffix.lower() == MODEL


def read_recipes(file: Path, plugins: Sequence[Path] = ()) -> list[Recipe]:
    """Reads the runs of a checkpoint or of an exported model.

    Args:
        file: A file from `find_runs`.
        plugins: Folders with components that the user trusts.

    Raises:
        InputError: If the file is missing or damaged, or has a component that is unavailable.
    """
    from spsam.engine.exchange.model import read_model
    from spsam.engine.recipe import read_recipe

    if is_model(file):
        return list(read_model(file, plugins).recipes)
    return [read_recipe(file, plugins)]


def rows_of(recipe: Recipe) -> list[Row]:
    """Reads the scores stored beside a checkpoint.

    Raises:
        InputError: If there are none.
        SpsamError: If they are damaged.
    """
    if is_model(recipe.path):
        message = "an exported model contains mean scores (summary), but none of single cases"
        raise InputError(Problem(message, recipe.path))
    folder = recipe.path.resolve().parent
    file = folder / "rows.jsonl"
    if not file.is_file():
        raise InputError(Problem("there are no scores beside the checkpoint: not scored", file))
    if folder.parent.name == "runs":
        return RunFolder(folder.parents[1], folder.name).read_rows()
    return read_rows(file)


def summary_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the mean scores of each class and metric, without names of cases.

    Returns:
        Mappings with class_name, metric, convention, mean, std (None for a single value) and n,
        the number of values. The background and values that the convention excludes do not count.
    """
    values: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row.class_id and not math.isnan(row.value):
            values.setdefault((row.class_name, row.metric, row.convention), []).append(row.value)
    return [
        {
            **dict(zip(("class_name", "metric", "convention"), key, strict=True)),
            "mean": sum(each) / len(each),
            "std": _deviation(each),
            "n": len(each),
        }
        for key, each in values.items()
    ]


def as_records(recipe: Recipe) -> list[Mapping[str, Any]]:
    """Returns the rows of a run as plain values, with its arm's name."""
    arm = recipe.config.arm.name
    return [{**dataclasses.asdict(row), "arm": arm} for row in rows_of(recipe)]


def _deviation(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))

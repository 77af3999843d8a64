"""The table of an ablation: one row an arm, in percent of Dice."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spsam.config.places import shipped
from spsam.results.rows import Row

FAILED = "failed"
PARTIAL = "partial"
FINISHED = "finished"
MISSING = "missing"


@dataclass(frozen=True)
class SeedResult:
    """One run of an arm.

    Attributes:
        seed: Its seed.
        status: `finished`, `failed`, or anything else for a run without result.
        rows: Its scores; counted only if it is finished.
    """

    seed: int
    status: str
    rows: Sequence[Row] = ()


@dataclass(frozen=True)
class ArmResult:
    """One arm with its runs.

    Attributes:
        name: The arm's file without `.yaml`.
        title: The arm in words.
        parent: The arm that it is a change of.
        trained_parameters: Of all its added blocks.
        runs: One a seed.
    """

    name: str
    title: str
    parent: str | None
    trained_parameters: int
    runs: Sequence[SeedResult]


@dataclass(frozen=True)
class Provenance:
    """What a reader must know to read the table.

    Attributes:
        data: The data set's name.
        fingerprint: Of its content.
        split: The split's name.
        split_hash: Of its case lists.
        fold: Of the split.
        cases: How many were scored.
        seeds: As many runs an arm.
        preset: The schedule's name.
        convention: What an empty class scores.
    """

    data: str
    fingerprint: str
    split: str
    split_hash: str
    fold: int
    cases: int
    seeds: Sequence[int]
    preset: str
    convention: str


def ablation_table(
    arms: Sequence[ArmResult],
    class_names: Sequence[str],
    published: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Gathers the table.

    A class's Dice is the mean over cases, without those where the convention leaves it out; a run's
    mean Dice is the mean over its foreground classes; an arm's is the mean over its seeds.

    Args:
        arms: In the order of the rows.
        class_names: All classes, background first.
        published: Mean Dice in percent by arm name; None reads the paper's ablation.

    Returns:
        Columns arm, title, state, seeds (finished runs), dice, std (over seeds, NaN for one), one
        `dice: <class>` a foreground class, trained_parameters, parent, change (points against the
        parent's dice), published. Dice in percent; NaN where there is no number.
    """
    known = published_ablation() if published is None else published
    records = [_record(arm, class_names, known) for arm in arms]
    dice = {record["arm"]: record["dice"] for record in records}
    for record in records:
        above = dice.get(record["parent"], math.nan)
        record["change"] = float(str(record["dice"])) - float(str(above))
    columns = ["arm", "title", "state", "seeds", "dice", "std"]
    columns += [class_column(name) for name in class_names[1:]]
    columns += ["trained_parameters", "parent", "change", "published"]
    return pd.DataFrame.from_records(records, columns=columns)


def class_column(name: str) -> str:
    """The column of a class's Dice."""
    return f"dice: {name}"


def class_means(rows: Iterable[Row], num_classes: int, metric: str = "dice") -> NDArray[np.float64]:
    """Mean of each foreground class over the cases of one run.

    Args:
        rows: The run's rows.
        num_classes: K, background included.
        metric: Which rows count.

    Returns:
        `(K - 1,)` in 0…1; NaN for a class that no case scores.
    """
    values: list[list[float]] = [[] for _ in range(num_classes)]
    for row in rows:
        if row.metric == metric and not math.isnan(row.value):
            values[row.class_id].append(row.value)
    return np.array([_mean(of_class) for of_class in values[1:]])


def mean_dice(rows: Iterable[Row], num_classes: int, metric: str = "dice") -> float:
    """Mean Dice of a run over its foreground classes, in 0…1."""
    means = class_means(rows, num_classes, metric)
    return _mean(means[~np.isnan(means)].tolist())


def published_ablation() -> dict[str, float]:
    """Mean Dice of the paper's ablation on ACDC, percent, by arm name."""
    return _read_published(shipped("reports") / "published" / "table4_ablation_acdc.csv")


def caption(provenance: Provenance) -> str:
    """The sentence below the table."""
    about = provenance
    count = len(about.seeds)
    spread = "mean ± standard deviation over seeds" if count > 1 else "no spread"
    return (
        f"Dice in percent on {about.data} (fingerprint {about.fingerprint}; split {about.split}, "
        f"fold {about.fold}, hash {about.split_hash}): mean over {about.cases} "
        f"case{'s' if about.cases != 1 else ''}, then over classes; n={count} "
        f"seed{'s' if count != 1 else ''}, {spread}. "
        f"Preset {about.preset}; empty classes by the convention {about.convention}. "
        "Change: points against the named arm. Published: the paper's values on ACDC, under its "
        "own schedule and weights."
    )


def _record(
    arm: ArmResult, class_names: Sequence[str], published: Mapping[str, float]
) -> dict[str, object]:
    finished = [run for run in arm.runs if run.status == FINISHED]
    means = [class_means(run.rows, len(class_names)) for run in finished]
    totals = [mean_dice(run.rows, len(class_names)) for run in finished]
    by_class = [_mean([float(mean[k]) for mean in means]) for k in range(len(class_names) - 1)]
    return {
        "arm": arm.name,
        "title": arm.title,
        "state": _state(arm.runs, len(finished)),
        "seeds": len(finished),
        "dice": 100 * _mean(totals),
        "std": 100 * float(np.std(totals, ddof=1)) if len(totals) > 1 else math.nan,
        **{
            class_column(name): 100 * value
            for name, value in zip(class_names[1:], by_class, strict=True)
        },
        "trained_parameters": arm.trained_parameters,
        "parent": arm.parent,
        "published": published.get(arm.name, math.nan),
    }


def _state(runs: Sequence[SeedResult], finished: int) -> str:
    if finished == len(runs) > 0:
        return FINISHED
    if finished:
        return PARTIAL
    return FAILED if any(run.status == FAILED for run in runs) else MISSING


def _mean(values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def _read_published(file: Path) -> dict[str, float]:
    with file.open(encoding="utf-8", newline="") as lines:
        return {line["arm"]: float(line["dsc"]) for line in csv.DictReader(lines)}

"""Scores, comparisons, sources and captions shared by the tables of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from spsam.reporting.render.model import Source, Table
from spsam.reporting.statistics.bootstrap import bootstrap_interval, resampling_weights
from spsam.reporting.statistics.compare import Comparison, compare_all
from spsam.reporting.statistics.scores import Scores, arm_scores
from spsam.reporting.study_data import FINISHED, StudyData, folds_of
from spsam.reporting.tables.tuning import checkpoint_words, initial_words, tuning_words


@dataclass(frozen=True)
class Metric:
    """A metric as shown in tables.

    Attributes:
        key: Name in the rows.
        head: Title.
        scale: Factor from the rows' unit to the table's unit.
        higher: Whether higher is better.
    """

    key: str
    head: str
    scale: float
    higher: bool


METRICS: Mapping[str, Metric] = {
    "dice": Metric("dice", "Dice", 100.0, True),
    "hd95": Metric("hd95", "HD95 (mm)", 1.0, False),
}


@dataclass(frozen=True)
class CostColumn:
    """A cost of a run as shown in tables.

    Attributes:
        key: Name of the column.
        head: Title.
        column: Column of `StudyData.runs`.
        scale: Factor from that column's unit to the table's unit.
        digits: Number of printed digits.
        how: Description.
    """

    key: str
    head: str
    column: str
    scale: float
    digits: int
    how: str


STEP_TIME = CostColumn(
    "step_time", "step (s)", "step_seconds", 1.0, 3, "median optimiser step, joint phase"
)

COSTS: Sequence[CostColumn] = (
    CostColumn("gflops", "GFLOPs", "gflops", 1.0, 1, "one forward pass of one patch"),
    CostColumn(
        "peak_memory",
        "memory (GiB)",
        "peak_memory_bytes",
        2.0**-30,
        2,
        "peak while training and scoring",
    ),
    STEP_TIME,
)


class StudyResults:
    """A study with cached results of computations.

    Args:
        measured: The result of `read_study`.
    """

    def __init__(self, measured: StudyData) -> None:
        self.measured = measured
        self._scores: dict[str, dict[str, Scores]] = {}
        self._comparisons: dict[str, dict[str, Comparison]] = {}
        runs = measured.runs
        self._states = {
            str(arm): dict(zip(lines["run_id"], lines["state"], strict=True))
            for arm, lines in runs.groupby("arm", sort=False)
        }
        self._costs = runs[runs["state"] == FINISHED].groupby("arm")

    @property
    def metrics(self) -> list[Metric]:
        """The metrics in the study's rows; always includes Dice."""
        there = set(self.measured.rows["metric"].unique())
        return [metric for key, metric in METRICS.items() if key in there or key == "dice"]

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """The cases that were scored."""
        return tuple(map(str, self.measured.rows["case"].cat.categories))

    @cached_property
    def patients(self) -> int:
        """Number of patients of these cases."""
        return len(self.measured.rows["patient"].cat.categories)

    def scores(self, metric: str) -> dict[str, Scores]:
        """Every arm's scores."""
        if metric not in self._scores:
            self._scores[metric] = arm_scores(self.measured, metric)
        return self._scores[metric]

    def comparisons(self, metric: str) -> dict[str, Comparison]:
        """Comparisons of each arm with its parent, if both are in the study; by arm."""
        if metric not in self._comparisons:
            scores = self.scores(metric)
            pairs = [(arm.name, arm.parent) for arm in self.measured.arms if arm.parent in scores]
            self._comparisons[metric] = compare_all(scores, pairs, self.measured.externals)
        return self._comparisons[metric]

    def shown(self, arm: str) -> str:
        """The name of an arm in tables."""
        return next(each.shown for each in self.measured.arms if each.name == arm)

    def interval(self, metric: str, arm: str) -> tuple[float, float]:
        """The 95% confidence interval of an arm's mean over patients."""
        scores = self.scores(metric)[arm]
        if not len(scores.seeds):
            return math.nan, math.nan
        return bootstrap_interval(scores.mean, resampling_weights(len(scores.sums)))

    def states(self, arm: str) -> Sequence[str]:
        """The state of each of an arm's runs."""
        return list(self._states.get(arm, {}).values())

    def finished(self, arm: str) -> tuple[str, ...]:
        """The ids of an arm's finished runs."""
        return tuple(run for run, state in self._states.get(arm, {}).items() if state == FINISHED)

    def cost(self, cost: CostColumn, arm: str) -> float:
        """The mean over an arm's finished runs; NaN if none recorded it."""
        if arm not in self._costs.groups:
            return math.nan
        return float(self._costs.get_group(arm)[cost.column].mean()) * cost.scale

    def source(self, how: str, *arms: str, scored: bool = True) -> Source:
        """The source of a number computed from some arms."""
        runs = tuple(run for arm in arms for run in self.finished(arm))
        return Source(how, runs, self.cases if scored else ())

    def runs(self) -> dict[str, Any]:
        """Provenance of each run, as plain values without paths."""
        told = self.measured.runs.drop(columns=["folder"]).drop_duplicates("run_id")
        return {str(line["run_id"]): _told(line) for line in told.to_dict("records")}

    @property
    def identity(self) -> tuple[str, str]:
        """Data and split for captions: with their hashes, and without hashes for papers."""
        measured, data = self.measured, self.measured.data
        folds = ", ".join(str(fold["fold"]) for fold in folds_of(measured.about))
        many = "s" if "," in folds else ""
        return (
            f"fingerprint {data['fingerprint']}; split {measured.split_words}",
            f"split {data['split_name']}, fold{many} {folds}",
        )

    def identified(self, table: Table) -> Table:
        """Adds the part of the caption that contains hashes to a table."""
        return (
            replace(table, identity=self.identity) if self.identity[0] in table.caption else table
        )

    def words(self, how: str) -> str:
        """The facts in a caption: data, split, cases, seeds, convention, SAM's weights.

        Args:
            how: Start of the sentence, e.g. `Dice in percent`.
        """
        about, data = self.measured.about, self.measured.data
        seeds, cases = len(self.measured.seeds), self.measured.test_cases
        rows = self.measured.rows
        dice = rows[rows["metric"] == "dice"]
        # All origins are listed, as arms may differ in them.
        weights = "; ".join(self.measured.weights)
        conventions = ", ".join(map(str, dice["convention"].unique())) or "none scored yet"
        of = f" of {counted(self.patients, 'patient')}" if self.patients else ""
        return (
            f"{how} on {data['name']} ({self.identity[0]}): mean over "
            f"{counted(cases, 'case')}{of}, then over classes; n={counted(seeds, 'seed')}. "
            f"Preset {about['preset']}; empty classes by the convention {conventions}."
            + (f" SAM's weights: {weights}." if weights else "")
            + "".join(f" {sentence}" for sentence in tuning_words(self.measured.arms))
            + "".join(f" {sentence}" for sentence in checkpoint_words(self.measured.arms))
            + "".join(f" {sentence}" for sentence in initial_words(self.measured.arms))
            + self._of_externals()
        )

    def _of_externals(self) -> str:
        """The part of a caption on external predictions."""
        names = self.measured.externals
        if not names:
            return ""
        return (
            f" {', '.join(names)} (external): predicted by another program, scored by spsam; each "
            "counts as one seed. Tests over patients refer to these predictions, not to another "
            "training, and are not marked."
        )


def counted(number: int, noun: str) -> str:
    """A number followed by a noun."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _told(line: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(key): None
        if isinstance(value, float) and math.isnan(value)
        else (value.item() if isinstance(value, np.generic) else value)
        for key, value in line.items()
    }

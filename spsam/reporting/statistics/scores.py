"""Scores of a study as arrays of sums and counts, to resample patients efficiently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spsam.reporting.study_data import FINISHED, StudyData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores of one arm in one metric.

    The score of a class is the mean over cases, that of a run the mean over its foreground classes,
    and that of an arm the mean over its finished seeds.

    Attributes:
        sums: `(P, S, K)` sums over each patient's cases, without values that the convention
            excludes; P patients, S finished seeds, K foreground classes.
        counts: `(P, S, K)` number of summed values.
        seeds: The finished seeds.
    """

    sums: Array
    counts: Array
    seeds: Sequence[int]

    def class_means(self, weights: Array | None = None) -> Array:
        """Mean of each class in each run.

        Args:
            weights: `(..., P)` weight of each patient; None: weight 1.

        Returns:
            `(..., S, K)`; NaN if no case scores the class.
        """
        if weights is None:
            weights = np.ones(len(self.sums))
        total = np.tensordot(weights, self.sums, axes=1)
        count = np.tensordot(weights, self.counts, axes=1)
        return divide(total, count)

    def seed_means(self) -> Array:
        """`(S,)` mean of each run over its foreground classes."""
        return nan_mean(self.class_means(), -1)

    def mean(self, weights: Array | None = None) -> Array:
        """The arm's mean, `(...)`."""
        of_runs = nan_mean(self.class_means(weights), -1)
        return nan_mean(of_runs, -1)

    def patient_classes(self) -> Array:
        """`(P, K)` mean of each patient over cases and seeds."""
        total, count = self.sums.sum(1), self.counts.sum(1)
        return divide(total, count)

    def classes(self, indices: Sequence[int]) -> Scores:
        """The scores of some classes; index 0 is the first class after the background."""
        return Scores(self.sums[..., indices], self.counts[..., indices], self.seeds)


def arm_scores(measured: StudyData, metric: str) -> dict[str, Scores]:
    """The scores of every arm, over the same patients in the same order.

    Args:
        measured: The study.
        metric: Name of the metric, e.g. `dice`.

    Returns:
        Arm name -> scores; S = 0 for an arm without a finished run.
    """
    rows = measured.rows
    rows = rows[(rows["metric"] == metric) & (rows["class_id"] > 0)]
    arms, seeds = [arm.name for arm in measured.arms], list(measured.seeds)
    patients = len(rows["patient"].cat.categories)
    shape = (len(arms), patients, len(seeds), len(measured.class_names) - 1)
    seed_numbers = {seed: number for number, seed in enumerate(seeds)}
    where = np.ravel_multi_index(
        (
            rows["arm"].cat.codes.to_numpy(),
            rows["patient"].cat.codes.to_numpy(),
            rows["seed"].map(seed_numbers).to_numpy(np.int64),
            rows["class_id"].to_numpy() - 1,
        ),
        shape,
    )
    values = rows["value"].to_numpy()
    there = ~np.isnan(values)
    size = int(np.prod(shape))
    sums = np.bincount(where[there], values[there], minlength=size).reshape(shape)
    counts = np.bincount(where[there], minlength=size).astype(np.float64).reshape(shape)
    seen = np.bincount(where, minlength=size).reshape(shape).sum(axis=(1, 3)) > 0
    # A seed without all folds covers other patients than the rest: it is excluded.
    unfinished = measured.runs[measured.runs["state"] != FINISHED]
    for arm, seed in zip(unfinished["arm"], unfinished["seed"], strict=True):
        if arm in arms and seed in seed_numbers:
            seen[arms.index(arm), seed_numbers[seed]] = False
    scored = np.flatnonzero(np.bincount(where, minlength=size).reshape(shape).sum(axis=(0, 2, 3)))
    return {
        arm: Scores(
            sums[a][scored][:, seen[a]],
            counts[a][scored][:, seen[a]],
            [seed for seed, finished in zip(seeds, seen[a], strict=True) if finished],
        )
        for a, arm in enumerate(arms)
    }


def divide(total: Array, count: Array) -> Array:
    """Means from sums and counts; NaN if the count is zero."""
    found: Array = np.full_like(total, np.nan)
    np.divide(total, count, out=found, where=count > 0)
    return found


def nan_mean(values: Array, axis: int) -> Array:
    """Mean without NaN values; NaN if there are no others."""
    there = ~np.isnan(values)
    return divide(
        np.where(there, values, 0.0).sum(axis=axis), there.sum(axis=axis).astype(np.float64)
    )

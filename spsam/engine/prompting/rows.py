"""Conversion of pixel counts to rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spsam.config.schema import RunConfig
from spsam.data.preparation.store import PreparedCase
from spsam.engine.prompting.evaluator import PromptAnswer
from spsam.engine.prompting.quality import Quality
from spsam.metrics.dice import dice_of_counts
from spsam.results.rows import Row

BY_SLICE = "slices"
"""Convention of means over the slices whose reference contains the class."""


@dataclass(frozen=True)
class Rows:
    """Creates the rows of one case.

    Attributes:
        key: Id of the cell.
        seed: Seed of the cell.
        case: The case.
        config: Names of classes and convention of label maps.
    """

    key: str
    seed: int
    case: PreparedCase
    config: RunConfig

    def answer(self, answer: PromptAnswer) -> list[Row]:
        """Creates rows for `mask`, each class's binary mask, and `labels`, the label map if any."""
        rows = self._rows("mask", BY_SLICE, slice_means(answer.masks))
        if answer.labels is not None:
            rows += self._rows("labels", *self._volume(answer.labels))
        return rows

    def quality(self, pieces: Sequence[Quality]) -> list[Row]:
        """Creates rows for the own prompts: `auxiliary`, `box_iou`, `inside`, `distance`."""
        counts = np.sum([piece.counts for piece in pieces], axis=0)
        rows = self._rows("auxiliary", *self._volume(counts))
        for metric in ("box_iou", "inside", "distance"):
            values = np.concatenate([getattr(piece, metric) for piece in pieces])
            rows += self._rows(metric, BY_SLICE, _mean(values))
        return rows

    def _volume(self, counts: NDArray[np.int64]) -> tuple[str, NDArray[np.float64]]:
        convention = self.config.arm.evaluation.convention
        return convention, dice_of_counts(counts[:, 0], counts[:, 1], counts[:, 2], convention)

    def _rows(self, metric: str, convention: str, values: NDArray[np.float64]) -> list[Row]:
        return [
            Row(
                run_id=self.key,
                seed=self.seed,
                fold=self.config.data.fold,
                case=self.case.id,
                patient=self.case.patient,
                class_id=k,
                class_name=name,
                metric=metric,
                convention=convention,
                value=float(values[k]),
            )
            for k, name in enumerate(self.config.data.class_names)
            if k > 0
        ]


def slice_means(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Computes each class's mean Dice over the slices whose reference contains the class.

    Args:
        counts: `(S, K, 3)` pixels of overlap, prediction and reference.

    Returns:
        `(K,)`, NaN for a class that occurs in no slice.
    """
    return _mean(slice_dice(counts))


def slice_dice(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Computes each class's Dice in each slice, `(S, K)`; NaN if the reference lacks the class."""
    dice = dice_of_counts(counts[..., 0], counts[..., 1], counts[..., 2])
    return np.where(counts[..., 2] > 0, dice, np.nan)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        # The mean of a class that occurs nowhere is NaN, as intended.
        warnings.simplefilter("ignore", RuntimeWarning)
        means: NDArray[np.float64] = np.nanmean(values, axis=0)
    return means

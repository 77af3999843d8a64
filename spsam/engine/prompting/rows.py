"""From counted pixels to tidy rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spsam.config.schema import RunConfig
from spsam.data.store import PreparedCase
from spsam.engine.prompting.answer import Answer
from spsam.engine.prompting.quality import Quality
from spsam.metrics.dice import dice_of_counts
from spsam.results.rows import Row

BY_SLICE = "slices"
"""The convention of what is a mean over the slices that have the class in the reference."""


def answer_rows(
    answer: Answer, key: str, seed: int, case: PreparedCase, config: RunConfig
) -> list[Row]:
    """Two metrics: `mask`, each class's binary mask, and `labels`, the mask head's label map.

    Args:
        answer: Of one cell.
        key: The cell's identity.
        seed: Its seed.
        case: The case.
        config: Names of classes and the convention of `labels`.
    """
    return [
        *_rows("mask", BY_SLICE, slice_means(answer.masks), key, seed, case, config),
        *_rows("labels", *_volume(answer.labels, config), key, seed, case, config),
    ]


def quality_rows(
    pieces: Sequence[Quality], key: str, case: PreparedCase, config: RunConfig
) -> list[Row]:
    """How good a case's own prompts are: `auxiliary`, `box_iou`, `inside` and `distance`."""
    counts = np.sum([piece.counts for piece in pieces], axis=0)
    rows = _rows("auxiliary", *_volume(counts, config), key, 0, case, config)
    for metric in ("box_iou", "inside", "distance"):
        values = np.concatenate([getattr(piece, metric) for piece in pieces])
        rows += _rows(metric, BY_SLICE, _mean(values), key, 0, case, config)
    return rows


def slice_means(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean Dice of each class over the slices whose reference has it.

    Args:
        counts: `(S, K, 3)` pixels in both, in the prediction, in the reference.

    Returns:
        `(K,)`, NaN for a class that no slice has.
    """
    return _mean(slice_dice(counts))


def slice_dice(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """`(S, K)` Dice of each class in each slice; NaN where the reference lacks it."""
    dice = dice_of_counts(counts[..., 0], counts[..., 1], counts[..., 2])
    return np.where(counts[..., 2] > 0, dice, np.nan)


def _volume(counts: NDArray[np.int64], config: RunConfig) -> tuple[str, NDArray[np.float64]]:
    convention = config.arm.evaluation.convention
    return convention, dice_of_counts(counts[:, 0], counts[:, 1], counts[:, 2], convention)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        # A class that is nowhere has no mean: NaN, which is what is wanted.
        warnings.simplefilter("ignore", RuntimeWarning)
        means: NDArray[np.float64] = np.nanmean(values, axis=0)
    return means


def _rows(
    metric: str,
    convention: str,
    values: NDArray[np.float64],
    key: str,
    seed: int,
    case: PreparedCase,
    config: RunConfig,
) -> list[Row]:
    return [
        Row(
            run_id=key,
            seed=seed,
            fold=config.data.fold,
            case=case.id,
            patient=case.patient,
            class_id=k,
            class_name=name,
            metric=metric,
            convention=convention,
            value=float(values[k]),
        )
        for k, name in enumerate(config.data.class_names)
        if k > 0
    ]

"""Bootstrap confidence intervals by resampling patients."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]

RESAMPLES = 2000
CONFIDENCE = 0.95


@lru_cache(maxsize=4)
def resampling_weights(count: int, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Number of draws of each unit in bootstrap resamples; deterministic for equal arguments.

    Using the same weights for two statistics resamples them in pairs.

    Args:
        count: Number of units, P.
        resamples: Number of resamples, B.
        seed: Seed of the draws.

    Returns:
        `(B, P)`, every row with sum P; shared and therefore read-only.
    """
    drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
    lines = np.arange(resamples)[:, None] * count
    flat = np.bincount((drawn + lines).ravel(), minlength=resamples * count)
    weights = flat.reshape(resamples, count).astype(np.float64)
    weights.flags.writeable = False
    return weights


def bootstrap_interval(
    statistic: Statistic, weights: Array, *, confidence: float = CONFIDENCE, bca: bool = True
) -> tuple[float, float]:
    """A confidence interval of a statistic over P units.

    Bias-corrected and accelerated (Efron 1987), as in `scipy.stats.bootstrap`. If that is undefined
    (for a nearly constant statistic), plain percentiles are used. Resamples without a value are
    excluded. SciPy does neither; see decision 48.

    Args:
        statistic: Maps weights `(..., P)` to values `(...)`.
        weights: The result of `resampling_weights`.
        confidence: Confidence level, e.g. 0.95.
        bca: If False, use plain percentiles.

    Returns:
        Lower and upper end; NaN with fewer than two units or without values.
    """
    count = weights.shape[1]
    if count < 2:
        return float("nan"), float("nan")
    values = statistic(weights)
    values = values[~np.isnan(values)]
    if values.size == 0:
        return float("nan"), float("nan")
    alpha = (1 - confidence) / 2
    ends = np.array([alpha, 1 - alpha])
    if bca:
        ends = _corrected(statistic, values, count, ends)
    low, high = np.percentile(values, 100 * ends)
    return float(low), float(high)


def _corrected(statistic: Statistic, values: Array, count: int, ends: Array) -> Array:
    from scipy.special import ndtr, ndtri

    seen = statistic(np.ones(count))
    below = (np.mean(values < seen) + np.mean(values <= seen)) / 2
    # Each row omits one unit.
    jackknife = statistic(np.ones((count, count)) - np.eye(count))
    gap = jackknife.mean() - jackknife
    spread = 6 * float(np.sum(gap**2)) ** 1.5
    if not 0 < below < 1 or not spread > 0:
        return ends
    acceleration = float(np.sum(gap**3)) / spread
    bias = ndtri(below)
    shifted = bias + ndtri(ends)
    corrected: Array = ndtr(bias + shifted / (1 - acceleration * shifted))
    return ends if np.isnan(corrected).any() else corrected

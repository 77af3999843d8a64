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
    """How often each unit is drawn, with replacement; equal arguments give equal draws.

    Two statistics under the same weights are resampled as pairs.

    Args:
        count: P, how many units there are.
        resamples: B.
        seed: Of the draws.

    Returns:
        `(B, P)`, every line of sum P; shared, so read-only.
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

    Bias-corrected and accelerated (Efron 1987), as `scipy.stats.bootstrap` computes it; where that
    is undefined (a statistic that hardly varies) the plain percentiles. Resamples without a value
    are left out. SciPy does neither: decision 48.

    Args:
        statistic: From weights `(..., P)` to values `(...)`.
        weights: Of `resampling_weights`.
        confidence: E.g. 0.95.
        bca: False takes plain percentiles.

    Returns:
        Lower and upper end; NaN with fewer than two units or no value.
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
    # Each line leaves one unit out.
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

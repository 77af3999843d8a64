"""Tests and effect size of paired differences, one a patient."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PERMUTATIONS = 9999
MOST_SEEDS = 999


def wilcoxon_p(differences: Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; zero differences are left out.

    Args:
        differences: `(P,)` without NaN.

    Returns:
        NaN for no pair, 1 where no pair differs.
    """
    from scipy.stats import wilcoxon

    if differences.size == 0:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences[differences != 0]).pvalue)


def permutation_p(differences: Array, seed: int = 0) -> float:
    """Two-sided p of the mean difference when signs are flipped (Fisher's randomisation test).

    Exact where there are no more than 9,999 ways to flip them, else of so many random ones, the
    data's own counted. Drawn here and not by SciPy, whose draws change with its version: a result
    of record must come out the same.

    Args:
        differences: `(P,)` without NaN.
        seed: Of the flips.
    """
    count = differences.size
    if count == 0:
        return float("nan")
    signs = _signs(count, seed)
    sums, seen = np.abs(signs @ differences), abs(float(differences.sum()))
    # Equal sums differ in their last digits by the order of their terms.
    as_far = int(np.count_nonzero(sums >= seen * (1 - 1e-12)))
    exact = len(signs) == 2**count
    return as_far / len(signs) if exact else (as_far + 1) / (len(signs) + 1)


@lru_cache(maxsize=4)
def _signs(count: int, seed: int) -> Array:
    """`(ways, P)` of −1 and 1: all ways, or random ones where there are too many."""
    if 2**count <= PERMUTATIONS:
        flips = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        flips = np.random.default_rng(seed).integers(0, 2, (PERMUTATIONS, count))
    return (1 - 2 * flips).astype(np.float64)


def rank_biserial(differences: Array) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): −1…1, the effect of Wilcoxon's test.

    The share of ranks in favour minus the share against: 1 where every patient gains.

    Args:
        differences: `(P,)` without NaN; zeros are left out.

    Returns:
        NaN where no pair differs.
    """
    from scipy.stats import rankdata

    moved = differences[differences != 0]
    if moved.size == 0:
        return float("nan")
    ranks = rankdata(np.abs(moved))
    return float(np.sum(np.sign(moved) * ranks) / np.sum(ranks))


def holm(p_values: Array) -> Array:
    """P-values corrected for the number of comparisons (Holm 1979).

    Args:
        p_values: `(M,)`; NaN is no comparison and stays NaN.

    Returns:
        `(M,)` in the order given.
    """
    corrected = np.full(len(p_values), np.nan)
    there = np.flatnonzero(~np.isnan(p_values))
    order = there[np.argsort(p_values[there], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def seeds_needed(differences: Array, power: float = 0.8, alpha: float = 0.05) -> float:
    """How many seeds a paired t-test over seeds needs to find a difference like the one seen.

    Args:
        differences: `(S,)` one a seed: the mean over patients of arm minus parent.
        power: Probability of finding it.
        alpha: Two-sided level.

    Returns:
        A whole number from 2 to 999; infinity where more are needed, NaN with one seed.
    """
    if len(differences) < 2:
        return float("nan")
    mean, spread = abs(float(np.mean(differences))), float(np.std(differences, ddof=1))
    if mean == 0:
        return float("inf")
    # Seeds may agree to the last digit.
    effect = mean / max(spread, 1e-9 * mean)
    most = bisect_left(range(2, MOST_SEEDS + 1), power, key=lambda n: _power(effect, n, alpha)) + 2
    return float(most) if most <= MOST_SEEDS else float("inf")


def _power(effect: float, count: int, alpha: float) -> float:
    """Power of a two-sided one-sample t-test, from the noncentral t distribution."""
    from scipy.stats import nct, t

    shift = effect * np.sqrt(count)
    if shift > 30:  # found for certain, and SciPy's series give NaN so far out
        return 1.0
    limit = t.ppf(1 - alpha / 2, count - 1)
    wrong_way = nct.cdf(-limit, count - 1, shift)
    return float(nct.sf(limit, count - 1, shift) + np.nan_to_num(wrong_way))

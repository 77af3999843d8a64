"""Tests and effect size of paired differences, one per patient."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PERMUTATIONS = 9999
MOST_SEEDS = 999
LARGEST_EFFECT = 100


def wilcoxon_p(differences: Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; zero differences are excluded.

    Args:
        differences: `(P,)` without NaN.

    Returns:
        NaN without differences, 1 if all are zero.
    """
    from scipy.stats import wilcoxon

    if differences.size == 0:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences[differences != 0]).pvalue)


def permutation_p(differences: Array, seed: int = 0) -> float:
    """Two-sided p of the mean difference under sign flips (Fisher's randomisation test).

    Exact if there are at most 9,999 sign patterns; otherwise, 9,999 random patterns are drawn and
    the observed one is included. Agrees with `scipy.stats.permutation_test` for the same patterns;
    decision 48 explains why they are drawn here.

    Args:
        differences: `(P,)` without NaN.
        seed: Seed of the random patterns.
    """
    count = differences.size
    if count == 0:
        return float("nan")
    signs = _signs(count, seed)
    sums, seen = np.abs(signs @ differences), abs(float(differences.sum()))
    # Equal sums may differ in their last digits, depending on the order of summation.
    as_far = int(np.count_nonzero(sums >= seen * (1 - 1e-12)))
    exact = len(signs) == 2**count
    return as_far / len(signs) if exact else (as_far + 1) / (len(signs) + 1)


@lru_cache(maxsize=4)
def _signs(count: int, seed: int) -> Array:
    """`(patterns, P)` of −1 and 1: all patterns, or random ones if there are too many."""
    if 2**count <= PERMUTATIONS:
        flips = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        flips = np.random.default_rng(seed).integers(0, 2, (PERMUTATIONS, count))
    return (1 - 2 * flips).astype(np.float64)


def rank_biserial(differences: Array) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): −1…1, effect size of Wilcoxon's test.

    Share of ranks in favour minus share of ranks against: 1 if every patient gains.

    Args:
        differences: `(P,)` without NaN; zeros are excluded.

    Returns:
        NaN if all differences are zero.
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
        p_values: `(M,)`; NaN is not counted as a comparison and stays NaN.

    Returns:
        `(M,)` in the order given.
    """
    from statsmodels.stats.multitest import multipletests

    corrected = np.full(len(p_values), np.nan)
    there = ~np.isnan(p_values)
    if there.any():
        corrected[there] = multipletests(p_values[there], method="holm")[1]
    return corrected


def seeds_needed(differences: Array, power: float = 0.8, alpha: float = 0.05) -> float:
    """Number of seeds for which a paired t-test over seeds detects the observed difference.

    Args:
        differences: `(S,)`, one per seed: the mean over patients of arm minus parent.
        power: Probability of detecting it.
        alpha: Two-sided level.

    Returns:
        A whole number from 2 to 999; infinity if more are required, NaN with one seed.
    """
    from statsmodels.stats.power import TTestPower

    if len(differences) < 2:
        return float("nan")
    mean, spread = abs(float(np.mean(differences))), float(np.std(differences, ddof=1))
    if mean == 0:
        return float("inf")
    # Seeds may agree to the last digit; an effect size of 100 requires only two seeds.
    effect = mean / max(spread, mean / LARGEST_EFFECT)

    def chance(seeds: int) -> float:
        # The opposite tail is negligible at a power near 0.8, and NaN for large effects.
        return float(TTestPower().power(effect, seeds, alpha / 2, alternative="larger"))

    most = bisect_left(range(2, MOST_SEEDS + 1), power, key=chance) + 2
    return float(most) if most <= MOST_SEEDS else float("inf")
